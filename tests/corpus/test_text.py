import unittest

from text import (
    Document,
    Paragraph,
    RepeatedParagraphs,
    decode,
    join_paragraphs,
    pages,
    split_long,
    tidy,
)

LONG = "the quick brown fox jumps over the lazy dog while the cat looks on" + 8 * " and on"


class Tidy(unittest.TestCase):
    def test_line_ends_blanks_and_invisible_characters(self):
        self.assertEqual(tidy("\n\na \r\nb\rc\u00a0d\x00\u200b\ufeff  \n\n\n\ne"), "a\nb\nc d\n\ne\n")

    def test_is_idempotent_and_keeps_indentation(self):
        once = tidy("x:\n    code\n\n\n\u00ad  y\t z \n")
        self.assertEqual(once, "x:\n    code\n\n  y  z\n")
        self.assertEqual(tidy(once), once)

    def test_decode_falls_back_to_latin_1(self):
        self.assertEqual(decode("é".encode()), "é")
        self.assertEqual(decode(b"caf\xe9"), "café")


class Pages(unittest.TestCase):
    def test_every_page_but_the_last_has_the_size_and_nothing_is_lost(self):
        entries = [Document(str(i), "x" * i) for i in range(1, 40)]
        result = list(pages(entries, 100))
        self.assertTrue(all(len(page.text) + 2 >= 100 for page in result[:-1]))
        self.assertEqual("\n\n".join(page.text for page in result), "\n\n".join(e.text for e in entries))
        self.assertEqual(result[0].id, "1")

    def test_no_entries_no_pages(self):
        self.assertEqual(list(pages([], 10)), [])

    def test_split_long_cuts_only_at_empty_lines(self):
        document = Document("a", "1111\n\n2222\n\n" + "3" * 30 + "\n\n4")
        parts = list(split_long(document, 12))
        self.assertEqual([part.text for part in parts], ["1111\n\n2222", "3" * 30, "4"])
        self.assertEqual([part.id for part in parts], ["a/1", "a/2", "a/3"])

    def test_split_long_leaves_short_documents_alone(self):
        document = Document("a", "1\n\n2")
        self.assertEqual(list(split_long(document, 100)), [document])


class Join(unittest.TestCase):
    def join(self, *pairs):
        return join_paragraphs([Paragraph(*pair) for pair in pairs], RepeatedParagraphs())

    def test_tags_stand_above_their_text(self):
        self.assertEqual(self.join(("tag", "-v"), ("text", "verbose")), "-v\nverbose\n\n")

    def test_headings_without_text_go(self):
        text = self.join(
            ("heading1", "EMPTY"), ("heading1", "A"), ("heading2", "sub"), ("text", "t"), ("heading2", "end")
        )
        self.assertEqual(text, "A\n\nsub\n\nt\n\n")

    def test_repeated_text_goes_and_takes_its_heading_along(self):
        text = self.join(
            ("text", LONG),
            ("heading1", "H"),
            ("text", LONG.upper() + "!"),
            ("text", "kept"),
            ("text", "kept"),
        )
        self.assertEqual(text, f"{LONG}\n\nH\n\nkept\n\nkept\n\n")
        self.assertEqual(self.join(("text", LONG), ("heading1", "H"), ("text", LONG)), f"{LONG}\n\n")

    def test_repeated_examples_stay(self):
        self.assertEqual(self.join(("example", LONG), ("example", LONG)).count(LONG), 2)
