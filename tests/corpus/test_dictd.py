import gzip
import tempfile
import unittest
from pathlib import Path

import dictd


class Container(unittest.TestCase):
    def test_numbers(self):
        self.assertEqual(
            [dictd.base64_number(digits) for digits in ("A", "B", "BA", "//", "")], [0, 1, 64, 4095, 0]
        )
        with self.assertRaises(ValueError):
            dictd.base64_number("A=")

    def test_entries_in_file_order_once_and_without_notes(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "x.dict.dz").write_bytes(gzip.compress("ABOUTfirst éntrysecond".encode()))
            Path(folder, "x.index").write_text(
                "00-database-info\tA\tF\nb\tR\tG\na\tF\tM\nalias\tF\tM\n", encoding="utf-8"
            )
            entries = list(dictd.read_entries(Path(folder, "x")))
        self.assertEqual(entries, [("a", "first éntry"), ("b", "second")])


class Gcide(unittest.TestCase):
    def test_source_tags_links_and_symbols(self):
        entry = (
            "Cafe \\Ca`fe\"\\ (k[a^]f[=a]), n. [F. caf['e], fr. {Caf[`e]}.]\n"
            "   1. A {coffee} house at 5[deg]; a kn[oe]d.\n      [1913 Webster +PJC]\n\n"
            "            Meet me there. --Shak.\n      [Webster 1913 Suppl.]\n\n"
            "   2. (a) One. [Obs.]\n      (b) Two.\n"
            "      [WordNet 1.5]\n"
        )
        self.assertEqual(
            dictd.clean_gcide(entry),
            'Cafe \\Ca`fe"\\ (kăfā), n. [F. café, fr. Cafè.]\n1. A coffee house at 5°; a knœd.\n'
            "Meet me there. --Shak.\n2. (a) One. [Obs.]\n(b) Two.",
        )

    def test_brackets_that_are_no_symbols_stay(self):
        self.assertEqual(
            dictd.clean_gcide("he deserves it [armor] [R.] [Written also x.]"),
            "he deserves it [armor] [R.] [Written also x.]",
        )

    def test_ligatures_with_accents_are_one_letter(self):
        self.assertEqual(dictd.clean_gcide('[=ae]r [oo^]k Zo["o]l.'), "ǣr ŏok Zoöl.")


class Foldoc(unittest.TestCase):
    def test_entry(self):
        entry = (
            "\nFree thing%%%thing\nfree\n\n   <language, tool> A {thing} in\n   the <head>.\n\n"
            "   [{Jargon File}]\n\n"
            "   [Details?]\n\n   (1995-01-18)\n"
        )
        self.assertEqual(dictd.clean_foldoc(entry), "Free thing, thing, free\nA thing in the <head>.")

    def test_a_date_inside_the_text_stays(self):
        self.assertEqual(
            dictd.clean_foldoc("X\n\n   Made\n   (1990-02-03)\n   in Rome.\n"),
            "X\nMade (1990-02-03) in Rome.",
        )
