"""Perl's manual, from its POD sources."""

import functools
import html
import re
from collections.abc import Iterator
from pathlib import Path

from text import Document, Paragraph, RepeatedParagraphs, decode, join_paragraphs, one_line


@functools.cache
def _next_event(closing: str) -> re.Pattern:
    """Finds the end of the code that we are in (`closing`, or never) and starts of codes inside it."""
    start = r"(?P<letter>[A-Z])(?P<brackets><<+(?=\s)|<)"
    return re.compile(f"(?P<end>{closing})|{start}" if closing else start)


def render_codes(text: str) -> str:
    """The text with POD's formatting codes (B<>, C<< >>, L<>, E<>, ...), nested or not, made plain."""
    return _render(text, 0, "")[0]


def _render(text: str, position: int, closing: str) -> tuple[str, int]:
    """Renders up to `closing` (or the end of the text); returns that and the position after it."""
    output = []
    while event := _next_event(closing).search(text, position):
        output.append(text[position : event.start()])
        position = event.end()
        if event["letter"] is None:
            return "".join(output), position
        brackets = len(event["brackets"])
        content, position = _render(text, position, (r"\s" if brackets > 1 else "") + ">" * brackets)
        output.append(_code(event["letter"], content.strip() if brackets > 1 else content))
    output.append(text[position:])
    return "".join(output), len(text)


def _code(letter: str, content: str) -> str:
    if letter in "XZ":
        return ""
    if letter == "E":
        return _escape(content)
    if letter == "L":
        return _link(content)
    return content


def _escape(name: str) -> str:
    known = {"sol": "/", "verbar": "|"}
    if name in known:
        return known[name]
    if re.fullmatch(r"0?x[0-9A-Fa-f]+|\d+", name):
        base = 16 if "x" in name else 8 if name.startswith("0") else 10
        return chr(int(name.removeprefix("0x").removeprefix("x"), base))
    return html.unescape(f"&{name};")


def _link(content: str) -> str:
    label, bar, target = content.partition("|")
    if bar:
        return label
    if re.match(r"\w+:[^:]", content):  # a URL
        return content
    page, slash, section = label.partition("/")
    section = section.strip('"')
    if not slash:
        return page
    return f'"{section}" in {page}' if page else f'"{section}"'


class _Section:
    """The paragraphs under one =head1."""

    def __init__(self, title: str):
        self.title = title
        self.paragraphs = [Paragraph("heading1", title)] if title else []

    def add(self, kind: str, text: str) -> None:
        self.paragraphs.append(Paragraph(kind, text))


def read_sections(pod: str) -> list[_Section]:
    """The sections of a POD file: ordinary paragraphs on one line, examples as they are."""
    sections = [_Section("")]
    bullet = ""
    skipping = ""  # the name of the =begin block we are in
    in_pod = False
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", pod.expandtabs(8)):
        paragraph = paragraph.strip("\n")
        command = re.match(r"=([a-z]+\d?)\s*(.*)", paragraph, re.S)
        if skipping:
            if command and command[1] == "end":
                skipping = ""
            continue
        if command:
            name, argument = command[1], render_codes(one_line(command[2])).strip()
            in_pod = name != "cut"
            if name == "begin":
                skipping = argument or "block"
            elif name == "head1":
                sections.append(_Section(argument))
            elif name.startswith("head") and argument:
                sections[-1].add("heading2", argument)
            elif name == "item":
                if re.fullmatch(r"\*|-|o|\d+\.?", argument):
                    bullet = argument + " "
                elif argument:
                    sections[-1].add("tag", re.sub(r"^\*\s+", "* ", argument))
            continue
        if not in_pod or not paragraph.strip():
            continue
        if paragraph[0] in " \t":
            sections[-1].add("example", paragraph)
            bullet = ""
        else:
            text = one_line(render_codes(paragraph))
            if text:
                sections[-1].add("text", bullet + text)
                bullet = ""
    return [section for section in sections if section.paragraphs]


# Licences, tables made by programs, translated readmes; and sections alike in every page.
_SKIPPED_PAGES = frozenset(
    "perltoc perlcn perljp perlko perltw perluniprops perlmodlib perlgpl perlartistic".split()
)
_SKIPPED_SECTIONS = re.compile(
    r"acknowledge?ments?|reporting bugs|give thanks|see also|authors?( .*)?|copyright.*|license.*|history",
    re.I,
)


def documents(root: Path) -> Iterator[Document]:
    """Runs of sections of about 8 KB of each page."""
    repeated = RepeatedParagraphs()
    for path in sorted(root.glob("usr/share/perl/5.*/pod/*.pod")):
        if path.is_symlink() or path.stem in _SKIPPED_PAGES:
            continue
        part, length, number = [], 0, 1
        for section in read_sections(decode(path.read_bytes())):
            if _SKIPPED_SECTIONS.fullmatch(section.title):
                continue
            part.append(join_paragraphs(section.paragraphs, repeated))
            length += len(part[-1])
            if length >= 8192:
                yield Document(f"{path.stem}#{number}", "".join(part))
                part, length, number = [], 0, number + 1
        if length >= 400:
            yield Document(f"{path.stem}#{number}", "".join(part))
