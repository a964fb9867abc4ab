"""Manual pages in roff's man macros as plain text: prose and short examples."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from roff_escapes import unescape
from text import Document, Paragraph, RepeatedParagraphs, decode, join_paragraphs, one_line

# Left out: signatures (code), and sections that are alike in every page.
_SKIPPED_SECTIONS = frozenset(
    "SYNOPSIS|LIBRARY|ATTRIBUTES|COLOPHON|COPYRIGHT|LICENSE|AUTHOR|AUTHORS|REPORTING BUGS|ÜBERSICHT"
    "|ÜBERSETZUNG|BIBLIOTHEK|ATTRIBUTE|AUTOR|AUTOREN|LIZENZ|FEHLER MELDEN|KOLOPHON|URHEBERRECHT".split("|")
)
_MAX_EXAMPLE_LINES = 40  # longer displays are program listings and tables
_PARAGRAPH = frozenset("PP P LP HP RS RE br sp Sp ti bp INDENT UNINDENT".split())
_FONT = frozenset("B I R SM SB CW".split())
_ALTERNATING_FONTS = frozenset("BR RB BI IB RI IR".split())
_DISPLAY_START = frozenset("nf EX Vb DS".split())
_DISPLAY_END = frozenset("fi EE Ve DE".split())
_SKIP_UNTIL = {"TS": "TE", "EQ": "EN", "PS": "PE", "SY": "YS"}
_BULLET = re.compile(r"[*o•·+-]|--|\(?\w{1,2}[.)]")


def arguments(text: str) -> list[str]:
    """The arguments of a macro call: separated by spaces, double quotes around those that have spaces."""
    return [
        quoted.replace('""', '"') if quoted or not plain else plain
        for quoted, plain in re.findall(r'"((?:[^"]|"")*)(?:"|$)|((?:\\ |\S)+)', text)
    ]


class _Page:
    """Interprets the lines of one page."""

    def __init__(self) -> None:
        self.paragraphs: list[Paragraph] = []
        self._line: list[str] = []  # words of the paragraph that is being filled
        self._display: list[str] | None = None
        self._tag_lines = 0  # how many of the next text lines are the tag of .TP
        self._heading_next = ""  # the kind of heading whose title comes on the next line
        self._section_skipped = False
        self._skip_until = ""  # the macro that ends a part that is left out
        self._false_depth = 0  # open \{ of a condition that is false
        self._last_condition = True
        self._link = ""

    def feed(self, line: str) -> None:
        if self._false_depth:
            self._false_depth += line.count("\\{") - line.count("\\}")
            return
        request = re.match(r"[.'][ \t]*([^ \t\\]*)[ \t]*(.*)", line)
        if self._skip_until:
            if request and request[1] == self._skip_until:
                self._skip_until = ""
        elif request:
            self._request(request[1], request[2])
        else:
            self._text(line)

    def finish(self) -> None:
        self._end_display()
        self._end_paragraph()

    def _text(self, line: str) -> None:
        if self._heading_next:
            self._heading(line)
            return
        if self._display is not None:
            self._display.append(unescape(line))
            return
        if not line.strip():
            self._end_paragraph()
            return
        if line[0] in " \t":
            self._end_paragraph()
        self._word(unescape(line), glue=line.endswith("\\c"))
        if self._tag_lines:
            self._tag_lines -= 1
            if not self._tag_lines:
                self._end_tag()

    def _word(self, word: str, glue: bool = False) -> None:
        self._line.append(word if glue else word + " ")

    def _request(self, name: str, rest: str) -> None:
        if name in ("if", "ie", "el"):
            self._condition(name, rest)
        elif name in ("de", "de1", "am", "ig"):
            words = rest.split()
            given = words[1:] if name != "ig" else words
            self._skip_until = given[0] if given else "."
        elif name in _SKIP_UNTIL:
            self._drop_lead_in()
            self._skip_until = _SKIP_UNTIL[name]
        elif name in ("SH", "SS"):
            self.finish()
            self._heading_next = "heading1" if name == "SH" else "heading2"
            if rest.strip():
                self._heading(" ".join(arguments(rest)))
        elif name in _DISPLAY_START:
            self._end_paragraph()
            self._end_display()
            self._display = []
        elif name in _DISPLAY_END:
            self._end_display()
        elif name in _PARAGRAPH:
            if self._display is None:
                self._end_paragraph()
        elif name in ("TP", "TQ"):
            self._end_display()
            self._end_paragraph()
            self._tag_lines = 1
        elif name == "IP":
            self._end_display()
            self._end_paragraph()
            tag = arguments(rest)
            if tag:
                self._word(unescape(tag[0]))
                self._end_tag()
        elif name in _FONT:
            self._styled(" ".join(arguments(rest)))
        elif name in _ALTERNATING_FONTS:
            self._styled("".join(arguments(rest)))
        elif name == "OP":
            self._styled("[" + " ".join(arguments(rest)) + "]")
        elif name in ("UR", "MT"):
            self._link = unescape(rest.strip())
        elif name in ("UE", "ME"):
            self._styled(f"<{self._link}>{rest.strip()}")
        elif name in ("URL", "MTO"):
            link, label, after = (arguments(rest) + ["", "", ""])[:3]
            self._styled(f"{label} <{link}>{after}" if label else f"<{link}>{after}")

    def _styled(self, text: str) -> None:
        if text:
            self._text(text.lstrip())

    def _condition(self, name: str, rest: str) -> None:
        if name == "el":
            holds = not self._last_condition
        else:
            condition = re.match(r"(!?)(\w(?= |\\)|\\n\(\.g|\S+)\s*(.*)", rest)
            if not condition:
                return
            holds = condition[2] in ("n", "\\n(.g")
            holds = holds != bool(condition[1])
            rest = condition[3]
            self._last_condition = holds
        if holds:
            rest = rest.replace("\\{", "").strip()
            if rest:
                self.feed(rest)
        elif "\\{" in rest:
            self._false_depth = max(0, rest.count("\\{") - rest.count("\\}"))

    def _heading(self, title: str) -> None:
        title = one_line(unescape(title))
        if self._heading_next == "heading1":
            self._section_skipped = title.upper() in _SKIPPED_SECTIONS
        self._add(self._heading_next, title)
        self._heading_next = ""

    def _end_tag(self) -> None:
        """The tag of a list item: bullets and numbers stay on the line of their text, others do not."""
        tag = one_line("".join(self._line))
        if not _BULLET.fullmatch(tag):
            self._line = []
            self._add("tag", tag)

    def _end_paragraph(self) -> None:
        self._tag_lines = 0
        text = one_line("".join(self._line))
        self._line = []
        if not _BULLET.fullmatch(text):
            self._add("text", text)

    def _end_display(self) -> None:
        if self._display is None:
            return
        lines = [line.expandtabs(8).rstrip() for line in self._display]
        self._display = None
        if len(lines) <= _MAX_EXAMPLE_LINES:
            self._add("example", "\n".join("    " + line if line else "" for line in lines).strip("\n"))
        else:
            self._drop_lead_in()

    def _drop_lead_in(self) -> None:
        """Drops a last paragraph like "The flags are as follows:" when what it announces is left out."""
        self._end_paragraph()
        if self.paragraphs and self.paragraphs[-1].kind == "text" and self.paragraphs[-1].text.endswith(":"):
            self.paragraphs.pop()

    def _add(self, kind: str, text: str) -> None:
        if text.strip() and not self._section_skipped:
            self.paragraphs.append(Paragraph(kind, text))


def man_paragraphs(source: str) -> list[Paragraph]:
    """The paragraphs of a page; examples are indented by 4."""
    page = _Page()
    source = re.sub(r"\\\n", "", source)
    for line in source.split("\n"):
        if re.match(r"[.']?[ \t]*\\[\"#]", line) or re.match(r"[.'][ \t]*$", line):
            continue
        page.feed(re.sub(r"[ \t]*(?<!\\)\\[\"#].*", "", line))
    page.finish()
    return page.paragraphs


def _pages(root: Path, pattern: str) -> Iterator[Document]:
    repeated = RepeatedParagraphs()
    for path in sorted(root.glob(pattern)):
        if path.is_symlink():
            continue
        source = decode(gzip.decompress(path.read_bytes()))
        if not re.search(r"^\.TH\b", source, re.M):  # an alias (.so), or mdoc macros, which few pages use
            continue
        text = join_paragraphs(man_paragraphs(source), repeated)
        if len(text) >= 400:
            yield Document(path.name.removesuffix(".gz"), text)


def english(root: Path) -> Iterator[Document]:
    """The Linux manual pages, one document each."""
    return _pages(root, "usr/share/man/man*/*.gz")


def german(root: Path) -> Iterator[Document]:
    """German translations of manual pages, one document each."""
    return _pages(root, "usr/share/man/de/man*/*.gz")
