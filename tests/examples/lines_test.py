"""demix-prepare --lines: </s> ends every line, byte for byte as in the data-bins of the original system."""

import io
import json
import os
import random
import shutil
import subprocess
import unittest
from pathlib import Path

import programs
import tiny_data
from reference_bpe import EOS, UNK, ReferenceVocabulary, read_split

PREFIX = "<|endoftext|> "
ORDINARY = ["the court", "it's", "12", "a", "  ", "<|endoftext|> ", "caf\u00e9", "\U0001f600\u4e2d", "...", "\ufeff", "\0",
            "'ll"]
BLANK = [" ", "\t", "\u00a0", "\u3000", "\u0085", "\u2028", "\u2029", "\v", "\f", "\x1c", "\x1f", "\u200b", "\u180e"]
LINE_ENDS = ["\n", "\r\n", "\r", "\n\n", "\n\r"]
HAND_PICKED = [
    " ", "\n", "\r\n", "\u3000\n\t", "one line", "a last line without newline\nb", "ends\n", "blank lines at the end\n\n \n",
    "\n\nblank lines first", "a\n\n\nb",
    "spaces at line ends  \n b \t\r\n c\u00a0\nd\u3000", "one\r\ntwo\r\n\r\nthree", "old\rMac\r",
    "\tindented\n\t\tmore", "form\ffeed\fs\n\fx", "next\u0085line\u2028and\u2029paragraph\n\u2028", "\x1cgroup\x1d\n\x1e", "\ufeffmark\n",
    "<|endoftext|> within\n<|endoftext|> a line", "<|endoftext|>", "\0\n\0", "word\u180e\n\u200bword",
]


def adversarial_documents(seed, count):
    rng = random.Random(seed)
    result = list(HAND_PICKED)
    while len(result) < count:
        parts = rng.choices([ORDINARY, BLANK, LINE_ENDS], weights=[3, 2, 2], k=rng.randrange(1, 40))
        result.append("".join(rng.choice(part) for part in parts))
    return result


def text_file(content):
    """A text file as Python opens it: line ends become newlines."""
    return io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8")


def lines_of(text, prefix):
    """What the original makes of a document: it is read, gets its prefix, is stripped, written, and read line by line."""
    return [line.strip() for line in text_file((prefix + text_file(text).read()).strip() + "\n")]


def write_inputs(folder, texts, as_files):
    if as_files:
        for number, text in enumerate(texts):
            path = folder / f"{number // 10}" / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return folder
    folder.mkdir()
    path = folder / "all.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


class LinesTest(programs.ProgramTest):
    def prepare(self, out, source, *arguments, domain="law"):
        done = programs.run("demix-prepare", "--input", f"{domain}={source}", "--output", out, "--valid-fraction", 0.2,
                            "--test-fraction", 0.2, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def prefixes(self, out, domain="law"):
        return [out / domain / name for name in ("train", f"valid_{domain}", f"test_{domain}")]

    def decode(self, prefix, *arguments):
        done = subprocess.run([programs.BIN / "demix-prepare", "--decode", prefix, *arguments], capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def dealt_texts(self, source, texts):
        """The documents of every split in their order: they are dealt the same way whatever </s> ends."""
        whole = self.folder / "whole"
        self.prepare(whole, source, "--vocab-size", 290)
        vocabulary = ReferenceVocabulary(whole)
        splits = [[vocabulary.decode(tokens[:-1]) for tokens in read_split(prefix)] for prefix in self.prefixes(whole)]
        self.assertEqual(sorted(sum(splits, [])), sorted(text for text in texts if text))
        return splits

    def check_bytes(self, out, splits, vocabulary, prefix):
        summary = json.loads((out / "summary.json").read_text())
        self.assertEqual(summary["sequence_unit"], "line")
        for texts, found, name in zip(splits, self.prefixes(out), ("train", "valid", "test")):
            lines = [line for text in texts for line in lines_of(text, prefix)]
            sequences = [[*vocabulary.encode(line), EOS] for line in lines]
            expected = self.folder / "expected" / name
            tiny_data.write_split(expected, sequences, *((8, "H") if vocabulary.size < 65500 else (4, "i")))
            for suffix in (".bin", ".idx"):
                self.assertEqual(Path(f"{found}{suffix}").read_bytes(), Path(f"{expected}{suffix}").read_bytes(), (name, suffix))
            self.assertGreater(len(lines), 2 * len(texts))
            split = summary["domains"]["law"][name]
            tokens = sum(map(len, sequences))
            self.assertEqual({key: split[key] for key in ("documents", "words", "bytes", "sequences", "tokens", "unknown_tokens")},
                             {"documents": len(texts), "words": sum(len(text.split()) for text in texts),
                              "bytes": sum(len(text.encode()) for text in texts), "sequences": len(lines), "tokens": tokens,
                              "unknown_tokens": sum(token == UNK for tokens in sequences for token in tokens)})
            if not split["unknown_tokens"]:
                self.assertEqual(self.decode(found, "--document-prefix", ""), "".join(f"{line}\n" for line in lines))


class Lines(LinesTest):
    """With a vocabulary trained here."""

    def test_every_byte_on_any_number_of_threads(self):
        for as_files in (False, True):
            texts = [*adversarial_documents(as_files, 400), ""]
            source = write_inputs(self.folder / f"in{as_files}", texts, as_files)
            splits = self.dealt_texts(source, texts)
            results = []
            for threads in (1, 2, 7):
                out = self.folder / f"out{as_files}{threads}"
                done = self.prepare(out, source, "--lines", "--vocab-size", 400, "--threads", threads)
                self.assertIn("left out 1 documents without text", done.stderr)
                results.append(programs.files_of(out))
            self.assertTrue(results[0] == results[1] == results[2])
            self.assertEqual(json.loads((out / "summary.json").read_text())["document_prefix"], PREFIX)
            self.check_bytes(out, splits, ReferenceVocabulary(out), PREFIX)
            shutil.rmtree(self.folder / "whole")

    def test_any_prefix_and_a_dictionary_with_gaps(self):
        texts = adversarial_documents(5, 120)
        source = write_inputs(self.folder / "in", texts, False)
        splits = self.dealt_texts(source, texts)
        given = ["--encoder-json", self.folder / "whole" / "encoder.json", "--vocab-bpe", self.folder / "whole" / "vocab.bpe"]
        small, large = self.folder / "small.txt", self.folder / "large.txt"
        small.write_text("".join(f"{i} 1\n" for i in range(285, 20, -1)))
        large.write_text((self.folder / "whole" / "dict.txt").read_text() + "".join(f"madeupword{i} 0\n" for i in range(65500)))
        for number, (prefix, dictionary) in enumerate((("", small), (" > ", large), ("\u00a0", large), (PREFIX, small))):
            out = self.folder / f"out{number}"
            self.prepare(out, source, "--lines", *given, "--dict", dictionary, "--document-prefix", prefix)
            self.check_bytes(out, splits, ReferenceVocabulary(self.folder / "whole", dictionary), prefix)

    def test_the_bpe_is_trained_on_what_is_encoded(self):
        text = "def f():\n        return 1\n\n\n        # end\n"
        source = write_inputs(self.folder / "in", [text * 9 + str(i) for i in range(30)], False)
        for name, *how in (("lines", "--lines"), ("whole",)):
            self.prepare(self.folder / name, source, "--vocab-size", 330, *how)
        symbols = {name: json.loads((self.folder / name / "encoder.json").read_text()) for name in ("lines", "whole")}
        newline = "\u010a"
        self.assertTrue(any(newline in symbol and len(symbol) > 1 for symbol in symbols["whole"]))
        self.assertFalse(any(newline in symbol and len(symbol) > 1 for symbol in symbols["lines"]))
        self.assertIn("endoftext", symbols["lines"])

    def test_decode_prints_lines_without_the_prefix(self):
        texts = ["one \n\n two", "\n\nthree", "  four", "five\n<|endoftext|> quoted"]
        source = write_inputs(self.folder / "in", texts, False)
        self.prepare(self.folder / "out", source, "--lines")
        printed = "".join(self.decode(prefix) for prefix in self.prefixes(self.folder / "out"))
        splits = self.dealt_texts(source, texts)
        expected = {texts[0]: "one\n\ntwo\n", texts[1]: "\n\nthree\n", texts[2]: "  four\n", texts[3]: "five\nquoted\n"}
        self.assertEqual(printed, "".join(expected[text] for split in splits for text in split))

    def test_domains_that_are_added_follow_the_data_bin(self):
        texts = adversarial_documents(7, 60)
        source, out = write_inputs(self.folder / "in", texts, False), self.folder / "out"
        splits = self.dealt_texts(source, texts)
        self.prepare(out, source, "--lines", "--vocab-size", 300, domain="code")
        for domain, *how in (("law",), ("more", "--lines")):
            done = self.prepare(out, source, "--reuse-vocabulary", *how, domain=domain)
            self.assertEqual("</s> ends every line" in done.stderr, not how, done.stderr)
        self.check_bytes(out, splits, ReferenceVocabulary(out), PREFIX)
        whole = self.folder / "whole"
        before = programs.files_of(whole)
        self.assertEqual(json.loads(before["summary.json"])["sequence_unit"], "document")
        failed = programs.run("demix-prepare", "--input", f"more={source}", "--output", whole, "--reuse-vocabulary", "--lines")
        self.assert_fails(failed, 2, "--lines", str(whole), "ends a document", "new data-bin")
        self.assertEqual(programs.files_of(whole), before)
        done = self.prepare(whole, source, "--reuse-vocabulary", domain="more")
        self.assertNotIn("every line", done.stderr)

    def test_a_data_bin_without_summary_is_the_originals(self):
        texts = adversarial_documents(8, 60)
        source, out = write_inputs(self.folder / "in", texts, False), self.folder / "out"
        splits = self.dealt_texts(source, texts)
        self.prepare(out, source, "--lines", "--vocab-size", 300, domain="code")
        printed = self.decode(out / "code" / "train")
        (out / "summary.json").unlink()
        self.assertEqual(self.decode(out / "code" / "train"), printed)
        self.prepare(out, source, "--reuse-vocabulary")
        self.check_bytes(out, splits, ReferenceVocabulary(out), PREFIX)

    def test_wrong_usage(self):
        source, out = write_inputs(self.folder / "in", HAND_PICKED, False), self.folder / "out"
        base = ["demix-prepare", "--input", f"law={source}", "--output", out, "--lines"]
        for prefix in ("> \n", "\r> "):
            self.assert_fails(programs.run(*base, "--document-prefix", prefix), 2, "--document-prefix", "end of a line")
            self.assertFalse(out.exists())
        self.assert_fails(programs.run("demix-prepare", "--decode", source, "--lines"), 2, "--decode contradicts --lines")
        self.prepare(out, source, "--lines")
        summary = json.loads((out / "summary.json").read_text())
        (out / "summary.json").write_text(json.dumps({**summary, "sequence_unit": "lines"}))
        for arguments in (["--decode", out / "law" / "train"],
                          ["--input", f"more={source}", "--output", out, "--reuse-vocabulary"]):
            self.assert_fails(programs.run("demix-prepare", *arguments), 1, "summary.json", "'sequence_unit' is \"lines\"")

    def test_a_model_is_trained_scored_and_continued(self):
        source, out = write_inputs(self.folder / "in", adversarial_documents(9, 200), False), self.folder / "out"
        self.prepare(out, source, "--lines", "--vocab-size", 300)
        self.prepare(out, source, "--reuse-vocabulary", "--seed", 2, domain="code")
        run = self.folder / "run"
        done = programs.train("demix", out, run, "--max-update", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = programs.evaluate(out, run / "checkpoint_last", "--split", "valid")
        scored = {row["domain"]: row["tokens"] for row in result["results"]}
        for domain in ("code", "law"):
            self.assertEqual(scored.pop(domain), sum(map(len, read_split(out / domain / f"valid_{domain}"))))
        self.assertFalse(scored)
        done = programs.run("demix-generate", run / "checkpoint_last", "--data", out, "--expert", "law", "--max-tokens", 5)
        self.assertEqual(done.returncode, 0, done.stderr)


GPT2 = Path(os.environ.get("DEMIX_GPT2_BPE_DIR", Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "gpt2_bpe"))


@unittest.skipUnless((GPT2 / "encoder.json").exists(), f"no GPT-2 vocabulary in {GPT2}; DEMIX_GPT2_BPE_DIR names its folder")
class LinesInGpt2(LinesTest):
    """With the original's own vocabulary."""

    def test_every_byte(self):
        texts = adversarial_documents(11, 300)
        source = write_inputs(self.folder / "in", texts, True)
        splits = self.dealt_texts(source, texts)
        given = ["--encoder-json", GPT2 / "encoder.json", "--vocab-bpe", GPT2 / "vocab.bpe", "--dict", GPT2 / "dict.txt"]
        self.prepare(self.folder / "out", source, "--lines", *given)
        self.check_bytes(self.folder / "out", splits, ReferenceVocabulary(GPT2), PREFIX)
        self.assertEqual((self.folder / "out" / "law" / "dict.txt").read_bytes(), (GPT2 / "dict.txt").read_bytes())


if __name__ == "__main__":
    unittest.main()
