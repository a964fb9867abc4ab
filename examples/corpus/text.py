"""Documents, and what every domain's text needs: tidying, paging and dropping repeated paragraphs."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Document(NamedTuple):
    """One document of a domain. The id says where in its source the text came from."""

    id: str
    text: str


def decode(data: bytes) -> str:
    """UTF-8 where the bytes are valid UTF-8, else Latin-1 (which never fails)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def one_line(text: str) -> str:
    """The text with every run of white space made one space."""
    return " ".join(text.split())


_NEWLINES = re.compile(r"\r\n?|[\u2028\u2029\f]")
_SPACES = re.compile(r"[\u00a0\u2007\u202f\t]")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff]")


def tidy(text: str) -> str:
    """Plain text: \\n line ends, no invisible characters, no trailing blanks, no two empty lines together."""
    text = _NEWLINES.sub("\n", text)
    text = _SPACES.sub(" ", text)
    text = _INVISIBLE.sub("", text)
    text = re.sub(r" +$", "", text, flags=re.M)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip("\n") + "\n"


def pages(entries: Iterable[Document], size: int) -> Iterator[Document]:
    """Joins short entries, in order, into documents of at least `size` characters named after their first
    entry.
    """
    batch: list[Document] = []
    length = 0
    for entry in entries:
        batch.append(entry)
        length += len(entry.text) + 2
        if length >= size:
            yield _page(batch)
            batch, length = [], 0
    if batch:
        yield _page(batch)


def _page(entries: list[Document]) -> Document:
    return Document(entries[0].id, "\n\n".join(entry.text.strip("\n") for entry in entries))


def split_long(document: Document, limit: int) -> Iterator[Document]:
    """The document, cut at empty lines into parts of at most `limit` characters where that is possible."""
    part: list[str] = []
    length = 0
    number = 1
    for paragraph in document.text.split("\n\n"):
        if part and length + len(paragraph) > limit:
            yield Document(f"{document.id}/{number}", "\n\n".join(part))
            part, length, number = [], 0, number + 1
        part.append(paragraph)
        length += len(paragraph) + 2
    yield Document(document.id if number == 1 else f"{document.id}/{number}", "\n\n".join(part))


class Paragraph(NamedTuple):
    """A piece of a page; its kind is "heading1", "heading2", "tag" (of a list item), "example" or "text"."""

    kind: str
    text: str


class RepeatedParagraphs:
    """Recognises paragraphs that were seen before, ignoring case and punctuation.

    Only paragraphs of `min_letters` or more letters and digits count: short ones ("See also") may recur.
    """

    def __init__(self, min_letters: int = 80):
        self._min_letters = min_letters
        self._seen: set[int] = set()

    def seen(self, paragraph: str) -> bool:
        """True when the paragraph was given to this function before."""
        key = re.sub(r"\W+", "", paragraph).lower()
        if len(key) < self._min_letters:
            return False
        repeated = hash(key) in self._seen
        self._seen.add(hash(key))
        return repeated


def join_paragraphs(paragraphs: Iterable[Paragraph], repeated: RepeatedParagraphs) -> str:
    """Page text without repeated text paragraphs and without headings that have nothing under them.

    A tag stands on the line above its description, everything else is set apart by an empty line.
    """
    kept: list[Paragraph] = []
    for paragraph in paragraphs:
        if paragraph.kind == "text" and repeated.seen(paragraph.text):
            continue
        if paragraph.kind.startswith("heading"):
            _drop_empty_headings(kept, paragraph.kind)
        kept.append(paragraph)
    _drop_empty_headings(kept, "heading1")
    ends = ["\n" if paragraph.kind == "tag" else "\n\n" for paragraph in kept]
    return "".join(paragraph.text + end for paragraph, end in zip(kept, ends))


def _drop_empty_headings(kept: list[Paragraph], next_heading: str) -> None:
    """Before a heading comes, drops the trailing headings of its level and below ("heading2" is below)."""
    while kept and kept[-1].kind.startswith("heading") and kept[-1].kind >= next_heading:
        kept.pop()
