import gzip
import struct
import tempfile
import unittest
import zlib
from pathlib import Path

import rdata


def integer(value):
    return struct.pack(">i", value)


def char(text):
    if text is None:
        return integer(9) + integer(-1)
    data = text.encode()
    return integer(9) + integer(len(data)) + data


def strings(*texts):
    return integer(16) + integer(len(texts)) + b"".join(map(char, texts))


def integers(*values, attributes=b""):
    return (
        integer(13 | (0x200 if attributes else 0))
        + integer(len(values))
        + b"".join(map(integer, values))
        + attributes
    )


def symbol(name):
    return integer(1) + char(name)


def pair(tag, value, rest):
    return integer(2 | 0x400) + tag + value + rest


END = integer(254)


def named_list(names, *items):
    return (
        integer(19 | 0x200)
        + integer(len(items))
        + b"".join(items)
        + pair(symbol("names"), strings(*names), END)
    )


def stream(item, version=2):
    header = b"X\n" + integer(version) + integer(0x040202) + integer(0x020300)
    if version == 3:
        header += integer(5) + b"UTF-8"
    return header + item


def read(item, version=2):
    return rdata.RReader(stream(item, version)).read()


class Reader(unittest.TestCase):
    def test_vectors(self):
        self.assertEqual(read(strings("a", "é", None)), ["a", "é", None])
        self.assertEqual(read(integers(1, -2, 3)), [1, -2, 3])
        self.assertEqual(read(integer(14) + integer(2) + struct.pack(">dd", 0.5, -3.0)), [0.5, -3.0])
        self.assertEqual(read(strings("v3"), version=3), ["v3"])

    def test_long_length(self):
        self.assertEqual(read(integer(13) + integer(-1) + integer(0) + integer(1) + integer(7)), [7])

    def test_named_list(self):
        self.assertEqual(read(named_list(["x", "y"], strings("1"), integers(2))), {"x": ["1"], "y": [2]})

    def test_factor(self):
        levels = pair(symbol("levels"), strings("low", "high"), END)
        self.assertEqual(read(integers(2, 1, -(2**31), attributes=levels)), ["high", "low", None])

    def test_symbols_are_referred_to_by_number(self):
        first = pair(symbol("names"), strings("a"), END)
        second = pair(integer(255 | 1 << 8), strings("b"), END)
        item = integer(19) + integer(2)
        item += integer(19 | 0x200) + integer(1) + integers(1) + first
        item += integer(19 | 0x200) + integer(1) + integers(2) + second
        self.assertEqual(read(item), [{"a": [1]}, {"b": [2]}])

    def test_what_is_not_supported_says_so(self):
        with self.assertRaisesRegex(ValueError, "type 3"):
            read(integer(3) + integer(0))
        with self.assertRaisesRegex(ValueError, "ALTREP"):
            read(integer(238))
        with self.assertRaisesRegex(ValueError, "version 9"):
            read(strings("a"), version=9)
        with self.assertRaisesRegex(ValueError, "XDR"):
            rdata.RReader(b"A\n2\n").read()

    def test_every_truncation_is_noticed(self):
        whole = stream(named_list(["x"], strings("text", None)), version=3)
        for length in range(len(whole)):
            with self.assertRaises(ValueError):
                rdata.RReader(whole[:length]).read()

    def test_a_huge_length_does_not_allocate(self):
        with self.assertRaisesRegex(ValueError, "ends early"):
            read(integer(13) + integer(2**31 - 1))
        with self.assertRaisesRegex(ValueError, "ends early"):
            read(integer(13) + integer(-1) + integer(1) + integer(1) + integer(7))


class LazyLoad(unittest.TestCase):
    def test_database(self):
        chunk = zlib.compress(stream(strings("EMMA", "CHAPTER I")))
        chunk = struct.pack(">I", 99) + chunk
        padding = b"other data"
        variables = named_list(["emma"], integers(len(padding), len(chunk)))
        index = stream(named_list(["variables", "references"], variables, END))
        for compress in (gzip.compress, zlib.compress):
            with tempfile.TemporaryDirectory() as folder:
                base = Path(folder, "Rdata")
                base.with_suffix(".rdx").write_bytes(compress(index))
                base.with_suffix(".rdb").write_bytes(padding + chunk)
                self.assertEqual(rdata.read_lazy_load(base), {"emma": ["EMMA", "CHAPTER I"]})


class Chapters(unittest.TestCase):
    def test_paragraphs_are_unwrapped_and_front_matter_and_end_left_out(self):
        lines = [
            "EMMA",
            "",
            "VOLUME I",
            "",
            "CHAPTER I",
            "",
            "It was",
            "_very_ late.",
            "",
            "Chapter by",
            "chapter.",
            "VOLUME II",
            "Chapter 2",
            "Snake_case_name.",
            None,
            "FINIS",
            "",
            "Publisher's note",
        ]
        documents = list(rdata.chapters("emma", lines))
        self.assertEqual(
            [d.text for d in documents], ["It was very late.\n\nChapter by chapter.", "Snake_case_name."]
        )
        self.assertEqual([d.id for d in documents], ["emma.1", "emma.2"])
