import random
import struct
import tempfile
import unittest
from pathlib import Path

import bible


def pack_codes(codes):
    """Codes, least significant bit first; the n-th is as wide as the decoder's table needs by then."""
    bits = position = 0
    for n, code in enumerate(codes):
        width = 9
        while 257 + max(0, n - 1) >= 1 << width and width < 16:
            width += 1
        assert code < 1 << width
        bits |= code << position
        position += width
    return bits.to_bytes((position + 7) // 8, "little")


def lzw_encode(data):
    table = {bytes([i]): i for i in range(256)}
    next_code = 257
    codes = []
    current = b""
    for value in data:
        longer = current + bytes([value])
        if longer in table:
            current = longer
            continue
        codes.append(table[current])
        if next_code < 1 << 16:
            table[longer] = next_code
            next_code += 1
        current = bytes([value])
    if current:
        codes.append(table[current])
    return pack_codes([*codes, 256])


def bible_file(text, window=1000):
    data = text.encode("latin-1")
    windows = [lzw_encode(data[start : start + window]) for start in range(0, len(data), window)]
    header = bytearray(0x58)
    header[0x54:0x58] = struct.pack(">I", window)
    offset = 0x5C + 4 * len(windows)
    table = struct.pack(">I", len(windows))
    for packed in windows:
        table += struct.pack(">I", offset)
        offset += len(packed)
    return bytes(header) + table + b"".join(windows)


class Lzw(unittest.TestCase):
    def test_hand_value_with_the_code_that_is_being_defined(self):
        # A, B, AB (257), then 259 = "ABA", which the decoder learns with this very code.
        self.assertEqual(bible.lzw_decode(pack_codes([65, 66, 257, 259, 256])), b"ABABABA")

    def test_round_trip_through_all_code_widths(self):
        data = random.Random(1).randbytes(70_000)  # fills the table: more than 65,536 codes
        self.assertEqual(bible.lzw_decode(lzw_encode(data)), data)

    def test_round_trip_of_repetitive_text(self):
        data = b"In the beginning " * 3000
        self.assertEqual(bible.lzw_decode(lzw_encode(data)), data)

    def test_stops_at_the_end_code(self):
        self.assertEqual(bible.lzw_decode(pack_codes([65, 256, 66])), b"A")

    def test_empty(self):
        self.assertEqual(bible.lzw_decode(b""), b"")

    def test_impossible_codes(self):
        for codes in ([300, 256], [65, 258, 256], [65, 66, 259, 256]):
            with self.assertRaisesRegex(ValueError, "LZW code"):
                bible.lzw_decode(pack_codes(codes))


class File(unittest.TestCase):
    def test_windows_are_joined(self):
        text = "Ge1:1 In the beginning\n" * 500
        self.assertEqual(bible.read_windows(bible_file(text)), text)

    def test_short_or_lying_header(self):
        whole = bible_file("Ge1:1 x\n")
        with self.assertRaisesRegex(ValueError, "too few"):
            bible.read_windows(whole[:0x5A])
        with self.assertRaisesRegex(ValueError, "windows"):
            bible.read_windows(whole[:0x58] + struct.pack(">I", 1 << 30) + whole[0x5C:])

    def test_an_incomplete_canon_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "usr/lib/bible.data")
            path.parent.mkdir(parents=True)
            path.write_bytes(bible_file("Ge1:1 In the beginning\nGe1:2 And the earth\n"))
            with self.assertRaisesRegex(ValueError, "found 2 verses, 1 chapters, 1 books; expected 31102"):
                list(bible.documents(Path(folder)))

    def test_a_whole_canon_becomes_chapters(self):
        lines = []
        chapters = [
            (f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[b % 26]}{'abc'[b // 26]}", c)
            for b in range(66)
            for c in range(1, 19)
        ]
        chapters.append(("Ac", 19))
        self.assertEqual(len(chapters), bible.CHAPTERS)
        for number, (book, chapter) in enumerate(chapters):
            verses = 26 if number else bible.VERSES - 26 * (bible.CHAPTERS - 1)
            lines += [f"{book}{chapter}:{verse} verse  {verse}" for verse in range(1, verses + 1)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "usr/lib/bible.data")
            path.parent.mkdir(parents=True)
            path.write_bytes(bible_file("\n".join(lines) + "\n", window=60_000))
            documents = list(bible.documents(Path(folder)))
        self.assertEqual(len(documents), bible.CHAPTERS)
        self.assertEqual(documents[1].id, "Aa.2")
        self.assertEqual(documents[1].text, "\n".join(f"verse {verse}" for verse in range(1, 27)))
