"""The King James Bible of Debian's bible-kjv-text: /usr/lib/bible.data.

The file has a big-endian header (window size at 0x54, number of windows at 0x58, file offsets from 0x5c on)
and windows of 64 KiB of text, each compressed by itself with LZW.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

from text import Document, one_line

VERSES = 31102
CHAPTERS = 1189
BOOKS = 66

_FIRST_CODE_WIDTH = 9
_LAST_CODE_WIDTH = 16
_END_OF_WINDOW = 256
_FIRST_FREE_CODE = 257


def lzw_decode(data: bytes) -> bytes:
    """Decodes one LZW window: codes of 9 to 16 bits, least significant bit first, code 256 ends the window.

    Raises ValueError for a code that cannot occur yet.
    """
    bits = int.from_bytes(data, "little")
    bit_count = 8 * len(data)
    table = {code: bytes([code]) for code in range(256)}
    next_code = _FIRST_FREE_CODE
    width = _FIRST_CODE_WIDTH
    position = 0
    previous = None
    output = bytearray()
    while True:
        if next_code >= 1 << width and width < _LAST_CODE_WIDTH:
            width += 1
        if position + width > bit_count:
            break
        code = bits >> position & (1 << width) - 1
        position += width
        if code == _END_OF_WINDOW:
            break
        if code in table:
            entry = table[code]
        elif previous is not None and code == next_code:
            entry = previous + previous[:1]
        else:
            raise ValueError(f"LZW code {code} at bit {position - width} is not in the table yet")
        if previous is not None and next_code < 1 << _LAST_CODE_WIDTH:
            table[next_code] = previous + entry[:1]
            next_code += 1
        output += entry
        previous = entry
    return bytes(output)


def read_windows(data: bytes) -> str:
    """The whole text of a bible.data file. Raises ValueError when its header makes no sense."""
    if len(data) < 0x60:
        raise ValueError(f"bible.data: {len(data)} bytes are too few for its header")
    (count,) = struct.unpack_from(">I", data, 0x58)
    if 0x5C + 4 * count > len(data):
        raise ValueError(f"bible.data: header says {count} windows, but the file has only {len(data)} bytes")
    offsets = [*struct.unpack_from(f">{count}I", data, 0x5C), len(data)]
    windows = (lzw_decode(data[start:end]) for start, end in zip(offsets, offsets[1:]))
    return b"".join(windows).decode("latin-1")


def documents(root: Path) -> Iterator[Document]:
    """One document per chapter, one verse a line. Raises ValueError unless the whole canon is there."""
    text = read_windows((root / "usr/lib/bible.data").read_bytes())
    chapters: dict[tuple[str, int], list[str]] = {}
    for book, chapter, verse in re.findall(r"^([123]?[A-Z][A-Za-z]*)(\d+):\d+ (.*)$", text, re.M):
        chapters.setdefault((book, int(chapter)), []).append(one_line(verse))
    found = (sum(map(len, chapters.values())), len(chapters), len({book for book, _ in chapters}))
    if found != (VERSES, CHAPTERS, BOOKS):
        raise ValueError(
            f"bible.data: found {found[0]} verses, {found[1]} chapters, {found[2]} books; "
            f"expected {VERSES}, {CHAPTERS}, {BOOKS}"
        )
    for (book, chapter), verses in chapters.items():
        yield Document(f"{book}.{chapter}", "\n".join(verses))
