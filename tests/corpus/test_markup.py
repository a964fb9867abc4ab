"""HTML, roff, POD, Metamath, source code, SQLite."""

import gzip
import sqlite3
import tempfile
import unittest
from pathlib import Path

import gene_ontology
import html_text
import metamath
import pod
import roff
import source_code
from roff_escapes import unescape
from text import RepeatedParagraphs


class Html(unittest.TestCase):
    def blocks(self, html):
        return [tuple(block) for block in html_text.html_blocks(html)]

    def test_blocks_and_entities(self):
        self.assertEqual(
            self.blocks(
                "<title>no</title><head>no</head><h1>A &amp; B</h1><p>one<br/>two <i>th</i>ree&nbsp;4<p>5"
            ),
            [("", "no"), ("h1", "A & B"), ("p", "one two three 4"), ("p", "5")],
        )

    def test_scripts_and_comments_are_invisible(self):
        self.assertEqual(
            self.blocks("<script>if (a<b) x()</script><!-- c --><style>p{}</style>t"), [("", "t")]
        )

    def test_stray_end_tags_do_not_hide_the_rest(self):
        self.assertEqual(self.blocks("</script></nav>a<nav>menu</nav>b"), [("", "ab")])

    def test_sections_start_at_headings_and_drop_repeated_text(self):
        long = "word " * 30
        blocks = html_text.html_blocks(
            f"<h2>One</h2><p>{long}</p><h2>Two</h2><p>{long}</p><h3>Three</h3><p>{long}new</p>"
        )
        documents = list(html_text.sections("f", blocks, RepeatedParagraphs(), min_length=20))
        self.assertEqual([d.id for d in documents], ["f#1", "f#3"])
        self.assertTrue(documents[0].text.startswith("One\n\nword word"))


class RoffEscapes(unittest.TestCase):
    def test_table(self):
        for source, plain in {
            r"\fBbold\fP \f[CW]x\f[] \f(BIy\fR": "bold x y",
            r"a\-b\(em\(aqc\(aq \[lq]d\[rq]": "a-b--'c' \"d\"",
            r"\*(lqq\*(rq \*(Aqs\*(Aq": "\"q\" 's'",
            r"\s-1small\s0 \s+2x\s[10]": "small x",
            r"back\eslash \\n": "back\\slash \\n",
            r"\['e]\(:a\[u00E9]\[u0061_0308]\[char176]": "éäéä°",
            r"no\&t\%hing\|\^\/\,\c": "nothing",
            r"\h'-04'x\w'abc'y\v'1'\N'65'": "xyA",
            r"\m[blue]link\m[]\n(.gz": "linkz",
            r"\ \~\0.": "   .",
            "trailing\\": "trailing\\",
        }.items():
            self.assertEqual(unescape(source), plain, source)


class Roff(unittest.TestCase):
    def paragraphs(self, *lines):
        return [tuple(paragraph) for paragraph in roff.man_paragraphs("\n".join(lines))]

    def test_fonts_and_paragraphs(self):
        self.assertEqual(
            self.paragraphs('.SH "A B"', "one", "two", ".BR ls (1),", '.B "x y"', "", "next", ".PP", "last"),
            [("heading1", "A B"), ("text", "one two ls(1), x y"), ("text", "next"), ("text", "last")],
        )

    def test_heading_on_the_next_line(self):
        self.assertEqual(self.paragraphs(".SH", "NAME", "x"), [("heading1", "NAME"), ("text", "x")])

    def test_lists(self):
        self.assertEqual(
            self.paragraphs(
                ".TP",
                '.BR \\-v ", " \\-\\-verbose',
                "Talk.",
                ".TP",
                ".B q",
                ".TQ",
                ".B r",
                "Quit.",
                ".IP \\(bu 2",
                "dot",
                ".IP 1.",
                "num",
                ".IP ERR 8",
                "bad",
            ),
            [
                ("tag", "-v, --verbose"),
                ("text", "Talk."),
                ("tag", "q"),
                ("tag", "r"),
                ("text", "Quit."),
                ("text", "* dot"),
                ("text", "1. num"),
                ("tag", "ERR"),
                ("text", "bad"),
            ],
        )

    def test_sections_that_are_left_out(self):
        self.assertEqual(
            self.paragraphs(
                ".SH NAME",
                "n",
                ".SH SYNOPSIS",
                "int f();",
                ".SS sub",
                "x",
                ".SH NOTES",
                "kept",
                ".SH ÜBERSETZUNG",
                "y",
            ),
            [("heading1", "NAME"), ("text", "n"), ("heading1", "NOTES"), ("text", "kept")],
        )

    def test_examples_keep_their_lines(self):
        self.assertEqual(
            self.paragraphs("See:", ".EX", "a", ".PP", "  \\fBb\\fP\\e", ".EE", "end"),
            [("text", "See:"), ("example", "    a\n      b\\"), ("text", "end")],
        )

    def test_long_listings_and_tables_go_with_what_announces_them(self):
        listing = [".nf", *["x"] * 41, ".fi"]
        self.assertEqual(
            self.paragraphs("Kept.", "", "As follows:", *listing, "after"),
            [("text", "Kept."), ("text", "after")],
        )
        self.assertEqual(
            self.paragraphs("Table:", ".TS", "l l.", "a\tb", ".TE", "after"), [("text", "after")]
        )

    def test_comments_definitions_and_conditions(self):
        self.assertEqual(
            self.paragraphs(
                '.\\" no',
                "'\\\" t",
                'a \\" no',
                ".de XX",
                "no",
                "..",
                ".ig",
                "no",
                "..",
                ".if t no",
                ".if n b",
                ".ie t \\{\\",
                "no",
                ".\\}",
                ".el \\{\\",
                "c",
                ".\\}",
                ".ie n d",
                ".el no",
                ".if !n no",
                "e\\",
                "f",
            ),
            [("text", "a b c d ef")],
        )

    def test_links(self):
        self.assertEqual(
            self.paragraphs("See", ".UR http://x.org", "the page", ".UE .", ".MT a@b.c", ".ME"),
            [("text", "See the page <http://x.org>. <a@b.c>")],
        )

    def test_arguments(self):
        self.assertEqual(
            roff.arguments('a "b c" "" "d""e" f\\ g "open'), ["a", "b c", "", 'd"e', "f\\ g", "open"]
        )

    def test_pages_skip_aliases_and_mdoc(self):
        body = "word " * 100
        with tempfile.TemporaryDirectory() as folder:
            man = Path(folder, "usr/share/man/man1")
            man.mkdir(parents=True)
            for name, source in {
                "a": f".TH A 1\n.SH NAME\n{body}",
                "b": ".so man1/a.1\n",
                "c": f".Dd x\n.Sh NAME\n{body}",
            }.items():
                Path(man, f"{name}.1.gz").write_bytes(gzip.compress(source.encode()))
            self.assertEqual([document.id for document in roff.english(Path(folder))], ["a.1"])


class Pod(unittest.TestCase):
    def test_codes(self):
        for source, plain in {
            "B<bold> I<it> C<code> F<file>": "bold it code file",
            "C<< a->b >> C<<< x >> y >>>": "a->b x >> y",
            "B<nested I<deep C<er>> out>": "nested deep er out",
            "L<perlfunc> L<text|perlop/x> L<http://x.org/y>": "perlfunc text http://x.org/y",
            'L<perlre/"Sec"> L</Here>': '"Sec" in perlre "Here"',
            "E<lt>E<gt>E<sol>E<verbar>E<eacute>E<233>E<0x41>E<0101>": "<>/|éé" + "AA",
            "aX<index entry>bZ<>c": "abc",
            "a < b and B<unclosed": "a < b and unclosed",
            "if $x->{y} > 3": "if $x->{y} > 3",
        }.items():
            self.assertEqual(pod.render_codes(source), plain, source)

    def test_sections(self):
        source = (
            "not pod\n\n=pod\n\nintro\nwraps\n\n=head1 ONE\nX<one>\n\ntext C<x>\n\n"
            "  code  B<kept>\n\n=over 4\n\n=item *\n\ndot\n\n"
            "=item $x\n\nvar\n\n=back\n\n=begin html\n\n<b>no</b>\n\n=end html\n\n"
            "=for comment no\n\n=head2 Sub\n\nt\n\n=cut\n\n"
            "sub code;\n\n=head1 TWO\n\nend\n"
        )
        sections = pod.read_sections(source)
        self.assertEqual([section.title for section in sections], ["", "ONE", "TWO"])
        self.assertEqual(
            [tuple(paragraph) for paragraph in sections[1].paragraphs],
            [
                ("heading1", "ONE"),
                ("text", "text x"),
                ("example", "  code  B<kept>"),
                ("text", "* dot"),
                ("tag", "$x"),
                ("text", "var"),
                ("heading2", "Sub"),
                ("text", "t"),
            ],
        )
        self.assertEqual(sections[0].paragraphs[0].text, "intro wraps")


class Metamath(unittest.TestCase):
    SOURCE = """
      $( About the file $)  $c -> |- $.
      ${ min $e |- ph $.  maj $e |- ( ph -> $( inside $) ps ) $.
        $( Rule of _modus ponens_ of ` ph ` .  See ~ id , and (Contributed by NM,
           5-Aug-1993 (revised).)  (Proof shortened
           by X, 1-Jan-2000.) $)
        ax-mp $a |- ps $. $}
      no-comment $p |- x $= ( a b ) ABC $.
      $( Identity. $) id $p |- ( ph -> ph ) $= ( ax-mp $( in proof $) ) AB $.
      $( Old. $) idOLD $p |- x $= ? $.
    """

    def test_theorems(self):
        self.assertEqual(
            [tuple(theorem) for theorem in metamath.theorems(self.SOURCE)],
            [
                ("ax-mp", "ax-mp. Rule of modus ponens of ph. See id, and\n|- ph & |- ( ph -> ps ) => |- ps"),
                ("id", "id. Identity.\n|- ( ph -> ph )"),
            ],
        )

    def test_hypotheses_are_not_repeated(self):
        source = (
            "${ a $e |- A $. $( 1 $) t1 $p |- X $= ? $. $( 2 $) t2 $p |- Y $= ? $. b $e |- B $. c $e |- C $. "
            "$( 3 $) t3 $p |- Z $= ? $. $} $( 4 $) t4 $p |- W $= ? $. "
            "${ a2 $e |- A $. $( 5 $) t5 $p |- V $= ? $. $} ${ d $e |- D $. $( 6 $) t6 $p |- U $= ? $. $}"
        )
        self.assertEqual(
            [theorem.text.split("\n")[1] for theorem in metamath.theorems(source)],
            ["|- A => |- X", "=> |- Y", "& |- B & |- C => |- Z", "|- W", "|- A => |- V", "|- D => |- U"],
        )

    def test_truncated_database(self):
        for cut in ("$( no end", "a $p |- x $= y", "${ h $e |- x"):
            with self.assertRaises(ValueError):
                list(metamath.theorems(cut))


class SourceCode(unittest.TestCase):
    def test_legal_comments_go_and_others_stay(self):
        source = (
            "// Copyright (c) A\n//\n// more\n\n/* See LICENSE\n * text */\n#pragma once\n\n"
            "// What it does.\nint x; // Copyright\n"
            "\t/* All Rights Reserved */ int y;\n"
        )
        self.assertEqual(
            source_code.clean_source(source),
            "\n#pragma once\n\n// What it does.\nint x; // Copyright\nint y;\n",
        )

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            Path(base, "a.go").write_text("package a\n" + "x" * 50)
            Path(base, "generated.go").write_text("// Code generated by y. DO NOT EDIT.\n\n" + "x" * 50)
            Path(base, "short.go").write_text("// Copyright " + "x" * 90 + "\npackage a\n")
            Path(base, "long.go").write_text("x" * 500)
            Path(base, "link.go").symlink_to("a.go")
            found = list(
                source_code.source_files(base, list(base.glob("*.go")), min_length=40, max_length=400)
            )
        self.assertEqual([document.id for document in found], ["a.go"])


class GeneOntology(unittest.TestCase):
    def test_definitions_in_order_without_undefined_terms(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "GO file?.sqlite")
            connection = sqlite3.connect(path)
            connection.execute("create table go_term (go_id, term, definition)")
            connection.executemany(
                "insert into go_term values (?, ?, ?)",
                [("GO:2", "b", "Second\n one."), ("GO:3", "c", None), ("GO:1", "a", "First.")],
            )
            connection.commit()
            connection.close()
            self.assertEqual(
                list(gene_ontology.definitions(path)), [("GO:1", "a\nFirst."), ("GO:2", "b\nSecond one.")]
            )
