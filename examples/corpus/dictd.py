"""Databases of the DICT protocol (NAME.index, NAME.dict.dz), and the two dictionaries read from them."""

import gzip
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from text import Document, decode, one_line, pages

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def base64_number(digits: str) -> int:
    """The number that dictd writes with base-64 digits, most significant first. Raises ValueError for another
    digit.
    """
    value = 0
    for digit in digits:
        value = 64 * value + _BASE64.index(digit)
    return value


def read_entries(base: Path) -> Iterator[Document]:
    """The entries of a database in file order, each once, named by its first headword."""
    data = gzip.decompress(base.with_name(base.name + ".dict.dz").read_bytes())
    headwords: dict[tuple[int, int], str] = {}
    with open(base.with_name(base.name + ".index"), encoding="utf-8", errors="replace") as index:
        for line in index:
            word, offset, length = line.rstrip("\n").split("\t")[:3]
            if not word.startswith("00"):  # 00-database-...: notes about the database itself
                headwords.setdefault((base64_number(offset), base64_number(length)), word)
    for (offset, length), word in sorted(headwords.items()):
        yield Document(word, decode(data[offset : offset + length]))


def _join_lines(text: str) -> str:
    """Paragraphs on one line each, without empty lines between them."""
    return "\n".join(filter(None, (one_line(paragraph) for paragraph in re.split(r"\n\s*\n", text))))


# The Collaborative International Dictionary of English writes letters outside ASCII as [names].
_ACCENT_BEFORE = {
    "'": "\u0301",
    "`": "\u0300",
    '"': "\u0308",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "-": "\u0304",
    ",": "\u0327",
    ".": "\u0307",
}
_NAMED = dict(
    pair.split("=")
    for pair in """
    ae=æ AE=Æ oe=œ OE=Œ imac=ī aum=ä eth=ð thorn=þ yogh=ȝ ng=ŋ th=th root=√ add=ạ udd=ụ asl=ȧ oo=oo deg=°
    sect=§ para=¶ pounds=£ sharp=♯ flat=♭ times=× div=÷ divby=÷ middot=· rarr=→ prime=′ min=′ sec=″ hand=☞
    ldqo=“ rdqo=” frac12=½ frac14=¼ frac34=¾ alpha=α beta=β gamma=γ delta=δ epsilon=ε eta=η theta=θ iota=ι
    kappa=κ lambda=λ mu=μ nu=ν pi=π rho=ρ sigma=σ tau=τ upsilon=υ phi=φ chi=χ psi=ψ omega=ω omicron=ο
""".split()
)
_SYMBOL = re.compile(
    r"""\[(?:(?P<accent>['`"^~=.,-])(?P<after>[A-Za-z]{1,2})|(?P<before>[A-Za-z]{1,2})\^"""
    r"""|(?P<name>[A-Za-z]{2,7}(?:12|14|34)?)|(?P<digit>\d))\]"""
)


def _symbol(match: re.Match) -> str:
    if match["after"]:
        letters = match["after"]
        letters = {"ae": "æ", "oe": "œ"}.get(letters, letters)
        return unicodedata.normalize("NFC", letters[0] + _ACCENT_BEFORE[match["accent"]] + letters[1:])
    if match["before"]:
        return unicodedata.normalize("NFC", match["before"][0] + "\u0306" + match["before"][1:])
    return match["digit"] or _NAMED.get(match["name"], match[0])


_SOURCE = re.compile(
    r"\s*\[[^\[\]]{0,50}\b(?:PJC|RDH|RP|AS|CM|1913 Webster|Webster 1913|WordNet|Century Dict)[^\[\]]{0,30}\]"
)


def clean_gcide(entry: str) -> str:
    """An entry of the dictionary of English: no source tags or link braces, real letters, a numbered sense a
    line.
    """
    entry = _SOURCE.sub("", entry)
    entry = _SYMBOL.sub(_symbol, re.sub(r"[{}]", "", entry).replace("[nbsp]", " "))
    entry = re.sub(r"\n(?= {3,6}(?:\d+\.|\([a-z]\)) )", "\n\n", entry)
    return _join_lines(entry)


def english(root: Path) -> Iterator[Document]:
    """The Collaborative International Dictionary of English: pages of about 4 KB of entries."""
    entries = (
        Document(word, clean_gcide(text)) for word, text in read_entries(root / "usr/share/dictd/gcide")
    )
    return pages((entry for entry in entries if len(entry.text) > 60), 4096)


_LAST_CHANGE = re.compile(r"\n\s*\((?:19|20)\d\d-\d\d-\d\d\)\s*$")
_SUBJECT = re.compile(r"^\s*<[a-z][^<>]{1,60}>\s*", re.M)
_EDITOR_NOTE = re.compile(r"\n\s*\[(?:\{Jargon File\}|[A-Z][A-Za-z ]{2,20}\?)\]\.?[ ]*(?=\n|$)")
_ABOUT_ITSELF = re.compile(
    r"Free Documentation License|Please refer to the dictionary as|^Acknowledgements$|^Missing definition$",
    re.I | re.M,
)


def clean_foldoc(entry: str) -> str:
    """An entry of FOLDOC: no subject tags, link braces, editor's notes or dates of change."""
    headwords, _, body = entry.strip().partition("\n\n")
    body = _LAST_CHANGE.sub("\n", "\n" + body)
    body = _EDITOR_NOTE.sub("", _SUBJECT.sub("", body))
    headwords = ", ".join(filter(None, (one_line(word) for word in re.split(r"%%%|\n(?=\S)", headwords))))
    return _join_lines(f"{headwords}\n\n" + re.sub(r"[{}]", "", body))


def computing(root: Path) -> Iterator[Document]:
    """The Free On-line Dictionary of Computing: pages of about 2 KB of entries."""
    entries = (
        Document(word, clean_foldoc(text))
        for word, text in read_entries(root / "usr/share/dictd/foldoc")
        if not _ABOUT_ITSELF.search(text)
    )
    return pages((entry for entry in entries if len(entry.text) > 80), 2048)
