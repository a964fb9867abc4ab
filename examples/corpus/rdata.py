"""R's lazy-load databases (NAME.rdx, NAME.rdb) and the novels of the R package janeaustenr."""

import bz2
import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from text import Document, one_line

# SEXP types of R's serialisation format ("R Internals", section 1.8).
_SYMBOL, _PAIRLIST, _ENVIRONMENT, _LANGUAGE, _CHAR = 1, 2, 4, 6, 9
_LOGICAL, _INTEGER, _REAL, _STRINGS, _LIST = 10, 13, 14, 16, 19
_ALTREP = 238
_PERSISTENT, _REFERENCE = 247, 255
_EMPTY = frozenset({241, 242, 250, 251, 252, 253, 254})  # base and empty environments, NULL and their like
_HAS_ATTRIBUTES, _HAS_TAG = 0x200, 0x400


class RReader:
    """Reads R's XDR serialisation as Python values: vectors as lists, named lists as dicts."""

    def __init__(self, data: bytes):
        self._data = data
        self._position = 0
        self._references: list[Any] = []

    def read(self) -> Any:
        """The one value of the stream. Raises ValueError for a format or type that is not supported."""
        if self._take(2) != b"X\n":
            raise ValueError("not R's XDR serialisation (it starts with 'X')")
        version = self._int()
        self._take(8)  # versions of R: the writer's, and the oldest that can read it
        if version == 3:
            self._take(self._int())  # the native encoding
        elif version != 2:
            raise ValueError(f"R serialisation version {version}; only 2 and 3 are supported")
        return self._item()

    def _take(self, count: int) -> bytes:
        if count < 0 or self._position + count > len(self._data):
            raise ValueError(f"R data ends early: {count} bytes wanted at offset {self._position}")
        self._position += count
        return self._data[self._position - count : self._position]

    def _int(self) -> int:
        return struct.unpack(">i", self._take(4))[0]

    def _length(self) -> int:
        length = self._int()
        if length != -1:
            return length
        high, low = struct.unpack(">II", self._take(8))
        return (high << 32) + low

    def _item(self) -> Any:
        flags = self._int()
        kind = flags & 0xFF
        if kind in _EMPTY:
            return None
        if kind == _REFERENCE:
            return self._references[(flags >> 8 or self._int()) - 1]
        if kind == _SYMBOL:
            return self._remember(self._item())
        if kind == _PERSISTENT:
            self._int()
            return self._remember([self._item() for _ in range(self._int())])
        if kind == _ENVIRONMENT:
            self._int()
            environment = self._remember({})
            for _ in range(4):  # enclosure, frame, hash table, attributes: not needed
                self._item()
            return environment
        if kind in (_PAIRLIST, _LANGUAGE):
            return self._pairlist(flags)
        if kind == _CHAR:
            length = self._int()
            return None if length == -1 else self._take(length).decode("utf-8", "replace")
        if kind == _ALTREP:
            raise ValueError("R's compact (ALTREP) vectors are not supported")
        return self._vector(kind, bool(flags & _HAS_ATTRIBUTES))

    def _remember(self, value: Any) -> Any:
        self._references.append(value)
        return value

    def _pairlist(self, flags: int) -> list[tuple[Any, Any]]:
        pairs = []
        while flags & 0xFF in (_PAIRLIST, _LANGUAGE):
            if flags & _HAS_ATTRIBUTES:
                self._item()
            tag = self._item() if flags & _HAS_TAG else None
            pairs.append((tag, self._item()))
            flags = self._int()
        return pairs

    def _vector(self, kind: int, has_attributes: bool) -> Any:
        length = self._length()
        if kind in (_LOGICAL, _INTEGER):
            value: Any = list(struct.unpack(f">{length}i", self._take(4 * length)))
        elif kind == _REAL:
            value = list(struct.unpack(f">{length}d", self._take(8 * length)))
        elif kind in (_STRINGS, _LIST):
            value = [self._item() for _ in range(length)]
        else:
            raise ValueError(f"R type {kind} is not supported")
        attributes = dict(self._item() or []) if has_attributes else {}
        if kind == _LIST and attributes.get("names"):
            return dict(zip(attributes["names"], value))
        if kind == _INTEGER and attributes.get("levels"):
            return [attributes["levels"][code - 1] if code > 0 else None for code in value]
        return value


def _decompress_index(data: bytes) -> bytes:
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return zlib.decompress(data)


def _decompress_chunk(chunk: bytes) -> bytes:
    """A chunk is its decompressed length in 4 bytes and zlib data, or a letter for the method and data."""
    method, body = chunk[4:5], chunk[5:]
    if method == b"2":
        return bz2.decompress(body)
    if method == b"Z":
        lzma2 = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
        return lzma.decompress(body, lzma.FORMAT_RAW, filters=lzma2)
    return zlib.decompress(chunk[4:])


def read_lazy_load(base: Path) -> dict[str, Any]:
    """All variables of the database base.rdx + base.rdb, by name."""
    index = RReader(_decompress_index(base.with_suffix(".rdx").read_bytes())).read()
    data = base.with_suffix(".rdb").read_bytes()
    return {
        name: RReader(_decompress_chunk(data[offset : offset + length])).read()
        for name, (offset, length) in index["variables"].items()
    }


_CHAPTER = re.compile(r"^chapter [0-9ivxlc]+\.?$", re.I | re.M)
_VOLUME = re.compile(r"^volume [0-9ivxlc]+\.?$", re.I | re.M)
_THE_END = re.compile(r"^\s*(finis|the end)\.?\s*$", re.I | re.M)


def chapters(title: str, lines: list[str | None]) -> Iterator[Document]:
    """The chapters of a novel, each paragraph on one line; what stands before the first or after the end is
    left out.
    """
    text = _THE_END.split("\n".join(line or "" for line in lines))[0]
    text = _VOLUME.sub("", text)
    for number, chapter in enumerate(_CHAPTER.split(text)[1:], start=1):
        chapter = re.sub(r"(?<!\w)_([^_]+)_(?!\w)", r"\1", chapter)  # emphasis
        paragraphs = [one_line(paragraph) for paragraph in re.split(r"\n\s*\n", chapter)]
        yield Document(f"{title}.{number}", "\n\n".join(filter(None, paragraphs)))


def documents(root: Path) -> Iterator[Document]:
    """One document per chapter of Jane Austen's six novels."""
    novels = read_lazy_load(root / "usr/lib/R/site-library/janeaustenr/data/Rdata")
    for title, lines in sorted(novels.items()):
        yield from chapters(title, lines)
