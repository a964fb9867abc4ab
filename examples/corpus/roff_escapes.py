"""Escape sequences of roff (groff_char(7), groff(7)) as plain text."""

import re
import unicodedata


def _pairs(table: str) -> dict[str, str]:
    """A dict from "name glyph name glyph ..."."""
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_GLYPHS = _pairs(r"""
    aq '  oq '  cq '  lq "  rq "  dq "  Lq "  Rq "  Bq "  bq ,  Fo «  Fc »  fo ‹  fc ›  co ©  rg ®  tm ™
    em --  en -  hy -  mi -  bu *  ci o  sq *  ti ~  ha ^  ga `  rs \  at @  sh #  Do $  ba |  or |  sl /
    lB [  rB ]  lC {  rC }  la <  ra >  -> ->  <- <-  +- ±  mc µ  de °  sc §  dg †  dd ‡  mu ×  di ÷  pd ∂
    is ∫  if ∞  <= ≤  >= ≥  != ≠  eq =  pl +  ss ß  *a α  *b β  *p π  *m µ  *W Ω  Eu €  Po £  12 ½  14 ¼
    34 ¾  S1 ¹  S2 ²  S3 ³  ae æ  oe œ  o/ ø  /o ø  ul _  ru _  pc ·  ^o °  tf :.
""")
_ACCENTS = {
    "'": "\u0301",
    "`": "\u0300",
    ":": "\u0308",
    "^": "\u0302",
    "~": "\u0303",
    ",": "\u0327",
    "v": "\u030c",
}
_STRINGS = _pairs(r"""
    lq "  rq "  L" "  R" "  Aq '  C` "  C' "  -- --  R ®  Tm ™  la <  ra >  Gt >  Lt <  Am &  dg †  PI pi
    C+ C++
""")
_SINGLE = {
    "\\": "\\",
    "e": "\\",
    "E": "\\",
    "-": "-",
    " ": " ",
    "~": " ",
    "0": " ",
    "t": "\t",
    "'": "'",
    "`": "`",
    ".": ".",
    "_": "_",
}

_ESCAPE = re.compile(
    r"""\\(?:
    (?P<nothing>f(?:\(..|\[[^\]]*\]|.)|s(?:[-+]?\d{1,2}|\[[^\]]*\]|\([-+]?..)|[mM](?:\[[^\]]*\]|\(..|.)
       |[hvwlLDxoZbRXSHB]'[^']*'|[nkgF][-+]?(?:\(..|\[[^\]]*\]|.)|z.)
    |N'(?P<code>\d+)'
    |\*(?:\((?P<string2>..)|\[(?P<string>[^\]]*)\]|(?P<string1>.))
    |\((?P<glyph2>..)
    |\[(?P<glyph>[^\]]*)\]
    |(?P<single>.)
    )""",
    re.X,
)


def _glyph(name: str) -> str:
    if unicode := re.fullmatch(r"u([0-9A-F]{4,6})((?:_[0-9A-F]{4,6})*)", name):
        codes = [unicode[1], *unicode[2].split("_")[1:]]
        return unicodedata.normalize("NFC", "".join(chr(int(code, 16)) for code in codes))
    if name.startswith("char") and name[4:].isdigit():
        return chr(int(name[4:]))
    if len(name) == 2 and name not in _GLYPHS and name[0] in _ACCENTS and name[1].isalpha():
        return unicodedata.normalize("NFC", name[1] + _ACCENTS[name[0]])
    return _GLYPHS.get(name, "")


def _plain(match: re.Match) -> str:
    if match["nothing"] is not None:
        return ""
    if match["code"] is not None:
        return chr(int(match["code"]))
    for group in ("string2", "string", "string1"):
        if match[group] is not None:
            return _STRINGS.get(match[group], "")
    for group in ("glyph2", "glyph"):
        if match[group] is not None:
            return _glyph(match[group])
    return _SINGLE.get(match["single"], "")


def unescape(text: str) -> str:
    """The text as a terminal would show it: fonts, sizes, motions and hyphenation hints dropped, glyphs by
    name.
    """
    return _ESCAPE.sub(_plain, text)
