"""Source files in C++ and Go, without their licence comments."""

import re
from collections.abc import Iterator
from pathlib import Path

from text import Document, decode

_COMMENT_BLOCK = re.compile(r"^[ \t]*(?:/\*.*?\*/[ \t]*\n?|(?://[^\n]*(?:\n[ \t]*(?=//)|\n?))+)", re.S | re.M)
_LEGAL = re.compile(
    r"copyright|licen[cs]e|all rights reserved|modified by|originally written by|on behalf of", re.I
)
_GENERATED = re.compile(r"^// Code generated .* DO NOT EDIT\.$", re.M)


def clean_source(source: str) -> str:
    """The source without comment blocks about copyright, licence or authors, tabs as 4 spaces."""
    source = source.replace("\r\n", "\n").expandtabs(4)
    return _COMMENT_BLOCK.sub(lambda block: "" if _LEGAL.search(block[0]) else block[0], source)


def source_files(
    base: Path, paths: list[Path], min_length: int, max_length: int = 100_000
) -> Iterator[Document]:
    """A document per written (not generated) file whose cleaned text has from min_length to max_length
    characters.
    """
    for path in sorted(paths):
        if path.is_symlink() or not path.is_file():
            continue
        source = decode(path.read_bytes())
        if _GENERATED.search(source):
            continue
        source = clean_source(source)
        if min_length <= len(source) <= max_length:
            yield Document(str(path.relative_to(base)), source)


_BOOST_LIBRARIES = (
    "asio beast container date_time geometry graph interprocess intrusive log multi_index multiprecision "
    "property_tree regex serialization unordered"
).split()


def boost(root: Path) -> Iterator[Document]:
    """Headers of some larger Boost libraries."""
    base = root / "usr/include/boost"
    paths = [path for library in _BOOST_LIBRARIES for path in (base / library).rglob("*.hpp")]
    return source_files(base, paths, min_length=400)


def go_tools(root: Path) -> Iterator[Document]:
    """The Go files of golang.org/x/tools."""
    base = root / "usr/share/gocode/src/golang.org/x/tools"
    return source_files(base, list(base.rglob("*.go")), min_length=200)
