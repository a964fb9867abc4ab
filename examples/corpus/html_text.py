"""Text blocks of HTML, and An Anarchist FAQ (Debian's anarchism)."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from text import Document, RepeatedParagraphs, decode, one_line

_BLOCKS = frozenset(
    "p div h1 h2 h3 h4 h5 h6 li dt dd tr td th table ul ol dl blockquote center hr pre section body".split()
)
_HIDDEN = frozenset("script style head nav".split())
_HEADINGS = frozenset("h1 h2 h3 h4".split())


class Block(NamedTuple):
    """A run of text without a block-level tag in it; the tag is the innermost one that opened or closed
    before it.
    """

    tag: str
    text: str


class _BlockParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._tag = ""
        self._text: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self._finish(tag)
        elif tag == "br":
            self._text.append("\n")

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN and self._hidden:
            self._hidden -= 1
        if tag in _BLOCKS:
            self._finish("")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data)

    def close(self) -> None:
        super().close()
        self._finish("")

    def _finish(self, next_tag: str) -> None:
        text = one_line("".join(self._text))
        if text:
            self.blocks.append(Block(self._tag, text))
        self._tag = next_tag
        self._text = []


def html_blocks(html: str) -> list[Block]:
    """The visible text of a page as blocks of one line each, entities decoded."""
    parser = _BlockParser()
    parser.feed(html)
    parser.close()
    return parser.blocks


def sections(
    name: str, blocks: list[Block], repeated: RepeatedParagraphs, min_length: int
) -> Iterator[Document]:
    """A document per heading (h1 to h4) that has at least `min_length` characters of text not seen before."""
    parts: list[list[str]] = [[]]
    for block in blocks:
        if block.tag in _HEADINGS:
            parts.append([block.text])
        elif "GNU Free Documentation License" not in block.text and not repeated.seen(block.text):
            parts[-1].append(block.text)
    for number, part in enumerate(parts):
        text = "\n\n".join(part)
        if len(text) >= min_length:
            yield Document(f"{name}#{number}", text)


# Lists of links and of books, and news of the web site.
_NOT_PROSE = re.compile(
    r"(alinks|arlinks|links|biblio|book|contact|index|new|pdf|translations|supplementary)"
)
_NAVIGATION = re.compile(r'<a [^>]*class="page-(previous|up|next)".*?</a>', re.S)


def documents(root: Path) -> Iterator[Document]:
    """One document per section of the FAQ."""
    repeated = RepeatedParagraphs()
    for path in sorted((root / "usr/share/doc/anarchism/html").glob("*.html")):
        if not _NOT_PROSE.match(path.stem):
            html = _NAVIGATION.sub("", decode(path.read_bytes()))
            yield from sections(path.stem, html_blocks(html), repeated, min_length=1500)
