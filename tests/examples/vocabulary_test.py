"""Which vocabulary a model belongs to: every program asks, and refuses another of the same size."""

import json
import shutil
import unittest

from programs import ProgramTest, files_of, run, train

ONE_STEP = ["--max-update", 2, "--max-valid-steps", 1]


class Vocabularies(ProgramTest):
    """Two data-bins of the same domains whose BPEs were trained on different text."""

    def setUp(self):
        super().setUp()
        self.ours, self.theirs = self.prepare("ours", "the quick brown fox"), self.prepare("theirs", "jumps over lazy dogs")
        done = train("demix", self.ours, self.folder / "run", *ONE_STEP)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("warning", done.stderr)
        self.checkpoint = self.folder / "run" / "checkpoint_last"

    def prepare(self, name, words):
        text = self.folder / f"{name}-text"
        text.mkdir()
        for domain in ("alpha", "beta", "news"):
            lines = [json.dumps({"text": f"{domain} {i} " + f"{words} {i % 7} " * 5}) for i in range(30)]
            (text / f"{domain}.jsonl").write_text("\n".join(lines) + "\n")
        out = self.folder / name
        done = run("demix-prepare", "--input-dir", text, "--output", out, "--vocab-size", 290, "--valid-fraction", 0.1,
                   "--test-fraction", 0.1)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out

    def programs(self, data):
        """What uses a checkpoint together with data."""
        yield run("demix-eval", data, self.checkpoint, "--domain", "alpha", "--max-batches", 1)
        yield run("demix-mix", data, self.checkpoint, "--domain", "alpha", "--ensemble", "uniform_prior", "--max-batches", 1)
        yield run("demix-generate", self.checkpoint, "--data", data, "--max-tokens", 2)
        yield train("demix", data, self.folder / "run", "--train-domains", "alpha,beta,news", *ONE_STEP)

    def adapt(self, data, base, save_dir):
        return run("demix-adapt", data, base, "--domain", "news2", "--mode", "feedforward", "--save-dir", save_dir,
                   "--from", "alpha", "--max-update", 1, "--max-valid-steps", 1, "--threads", 1)

    def with_news2(self, data):
        for split in ("train", "valid_news", "test_news"):
            for suffix in (".bin", ".idx"):
                target = data / "news2" / f"{split.replace('news', 'news2')}{suffix}"
                target.parent.mkdir(exist_ok=True)
                shutil.copy(data / "news" / f"{split}{suffix}", target)

    def test_the_dictionaries_are_equal(self):
        self.assertEqual([line.split()[0] for line in (self.ours / "dict.txt").read_text().splitlines()],
                         [line.split()[0] for line in (self.theirs / "dict.txt").read_text().splitlines()])

    def test_another_vocabulary_of_the_same_size_is_refused(self):
        before = files_of(self.folder / "run")
        for done in self.programs(self.theirs):
            self.assert_fails(done, 1, "vocabulary", "fingerprint", str(self.theirs), "checkpoint_", "stand for other text",
                              "--reuse-vocabulary")
        self.assertEqual(files_of(self.folder / "run"), before)
        for data in (self.ours, self.theirs):
            self.with_news2(data)
        self.assert_fails(self.adapt(self.theirs, self.checkpoint, self.folder / "adapted"), 1, "vocabulary", "fingerprint",
                          str(self.theirs), "checkpoint_")
        self.assertFalse((self.folder / "adapted").exists())
        self.assertEqual(self.adapt(self.ours, self.checkpoint, self.folder / "adapted").returncode, 0)
        for done in self.programs(self.ours):
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("warning", done.stderr)

    def test_an_expert_of_another_vocabulary_is_refused(self):
        done = train("demix", self.theirs, self.folder / "other", *ONE_STEP)
        self.assertEqual(done.returncode, 0, done.stderr)
        other = self.folder / "other" / "checkpoint_last"
        for arguments in (("demix-experts", "add", self.checkpoint, f"{other}:beta=more", "--output", self.folder / "joined"),
                          ("demix-mix", self.ours, self.checkpoint, "--domain", "alpha", "--ensemble", "uniform_prior",
                           "--experts", f"alpha,{other}:beta=more")):
            self.assert_fails(run(*arguments), 1, "vocabulary", "fingerprint", "stand for other text")
        self.assertFalse((self.folder / "joined").exists())

    def test_data_with_a_dictionary_alone_is_accepted_with_one_warning(self):
        for name in ("encoder.json", "vocab.bpe"):
            (self.ours / name).unlink()
        for done in self.programs(self.ours):
            if "demix-generate" in str(done.args[0]):
                self.assert_fails(done, 1, "encoder.json")
                continue
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr.count("warning: only the symbols of dict.txt"), 1, done.stderr)
            self.assertIn(str(self.ours), done.stderr)

    def test_a_run_without_known_merges_goes_on_and_learns_them(self):
        hidden = {name: (self.ours / name).read_bytes() for name in ("encoder.json", "vocab.bpe")}
        for name in hidden:
            (self.ours / name).unlink()
        arguments = ["--max-update", 4, "--max-valid-steps", 1, "--save-interval-updates", 2]
        old = self.folder / "old"
        done = train("demix", self.ours, old, *arguments, "--keep-interval-updates", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("warning", done.stderr)
        shutil.rmtree(old / "checkpoint_4")
        for name, text in hidden.items():
            (self.ours / name).write_bytes(text)
        done = train("demix", self.ours, old, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("warning: only the symbols"), 1, done.stderr)
        done = train("demix", self.ours, old, *arguments)
        self.assertNotIn("warning", done.stderr)
        self.assert_fails(train("demix", self.theirs, old, *arguments), 1, "stand for other text")


def write_text(folder, words="the quick brown fox"):
    folder.mkdir()
    lines = [json.dumps({"text": f"line {i} {words} {i % 7}\n"}) for i in range(30)]
    (folder / "alpha.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def prepare(text, out, *arguments):
    return run("demix-prepare", "--input-dir", text, "--output", out, "--valid-fraction", 0.1, "--test-fraction", 0.1,
               *arguments)


class TokenizerFiles(ProgramTest):
    """Hugging Face's tokenizer.json, and files that came through Windows."""

    def setUp(self):
        super().setUp()
        self.text, self.made = write_text(self.folder / "text"), self.folder / "made"
        done = prepare(self.text, self.made, "--vocab-size", 290)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.merges = (self.made / "vocab.bpe").read_text().splitlines()[1:]
        self.tokenizer = {"version": "1.0", "added_tokens": [], "normalizer": None,
                          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
                          "model": {"type": "BPE", "vocab": json.loads((self.made / "encoder.json").read_text()),
                                    "merges": self.merges}}

    def prepare_again(self, name, *arguments):
        out = self.folder / name
        done = prepare(self.text, out, "--document-prefix", "", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((out / "alpha" / "train.bin").read_bytes(), (self.made / "alpha" / "train.bin").read_bytes())
        fingerprints = [json.loads((each / "summary.json").read_text())["vocabulary_fingerprint"] for each in (out, self.made)]
        self.assertEqual(fingerprints[0], fingerprints[1])
        return done

    def write_tokenizer(self):
        path = self.folder / "tokenizer.json"
        path.write_text(json.dumps(self.tokenizer))
        return path

    def test_merges_as_strings_and_as_pairs(self):
        done = self.prepare_again("strings", "--encoder-json", self.write_tokenizer())
        self.assertNotIn("warning", done.stderr)
        self.tokenizer["model"]["merges"] = [merge.split(" ") for merge in self.merges]
        self.prepare_again("pairs", "--encoder-json", self.write_tokenizer())
        done = run("demix-prepare", "--decode", self.made / "alpha" / "test_alpha", "--encoder-json", self.write_tokenizer())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the quick brown fox", done.stdout)

    def test_what_is_left_out_is_said(self):
        self.tokenizer["normalizer"] = {"type": "NFC"}
        done = self.prepare_again("nfc", "--encoder-json", self.write_tokenizer())
        self.assertIn("warning", done.stderr)
        self.assertIn("normalizer", done.stderr)

    def test_refusals_are_short(self):
        path = self.write_tokenizer()
        cases = [(2, "leave --vocab-bpe out", path, "--vocab-bpe", self.made / "vocab.bpe"),
                 (2, "belong together", self.made / "encoder.json")]
        for code, words, *arguments in cases:
            done = prepare(self.text, self.folder / "out", "--encoder-json", *arguments)
            self.assert_fails(done, code, words)
        self.tokenizer["model"]["type"] = "Unigram"
        done = prepare(self.text, self.folder / "out", "--encoder-json", self.write_tokenizer())
        self.assert_fails(done, 1, "Unigram", str(path))
        self.assertLess(len(done.stderr), 500)

    def test_files_of_windows(self):
        windows = self.folder / "windows"
        windows.mkdir()
        for name in ("vocab.bpe", "dict.txt"):
            text = (self.made / name).read_bytes().replace(b"\n", b"\r\n")
            (windows / name).write_bytes(b"\xef\xbb\xbf" + text)
        self.prepare_again("crlf", "--encoder-json", self.made / "encoder.json", "--vocab-bpe", windows / "vocab.bpe",
                           "--dict", windows / "dict.txt")


class DocumentPrefixes(ProgramTest):
    """A domain that is added with another prefix than the data-bin's."""

    def decode(self, data_bin, domain):
        done = run("demix-prepare", "--decode", data_bin / domain / f"test_{domain}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def add(self, data_bin, domain, *arguments):
        done = run("demix-prepare", "--input", f"{domain}={self.text / 'alpha.jsonl'}", "--output", data_bin,
                   "--reuse-vocabulary", "--valid-fraction", 0.1, "--test-fraction", 0.1, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_domain_loses_its_own(self):
        self.text, data_bin = write_text(self.folder / "text"), self.folder / "bin"
        self.assertEqual(prepare(self.text, data_bin, "--vocab-size", 290).returncode, 0)
        plain = self.decode(data_bin, "alpha")
        self.assertTrue(plain.startswith("line "))
        self.add(data_bin, "beta", "--document-prefix", "<<doc>> ")
        self.add(data_bin, "gamma")
        summary = json.loads((data_bin / "summary.json").read_text())
        self.assertEqual(summary["document_prefix"], "")
        self.assertEqual(summary["domains"]["beta"]["document_prefix"], "<<doc>> ")
        self.assertNotIn("document_prefix", summary["domains"]["gamma"])
        for domain in ("beta", "gamma"):
            text = self.decode(data_bin, domain)
            self.assertTrue(text.startswith("line "), text[:40])
            self.assertNotIn("<<doc>>", text)
        self.assertEqual(self.decode(data_bin, "alpha"), plain)

    def test_a_data_bin_of_the_original_keeps_its_prefix(self):
        self.text, data_bin = write_text(self.folder / "text"), self.folder / "bin"
        done = prepare(self.text, data_bin, "--vocab-size", 290, "--lines")
        self.assertEqual(done.returncode, 0, done.stderr)
        plain = self.decode(data_bin, "alpha")
        (data_bin / "summary.json").unlink()
        self.add(data_bin, "beta", "--document-prefix", "")
        self.assertEqual(self.decode(data_bin, "alpha"), plain)
        self.assertTrue(self.decode(data_bin, "beta").startswith("line "))

    def test_a_damaged_summary(self):
        self.text, data_bin = write_text(self.folder / "text"), self.folder / "bin"
        self.assertEqual(prepare(self.text, data_bin, "--vocab-size", 290).returncode, 0)
        (data_bin / "summary.json").write_text('{"document_prefix": 3}')
        self.assert_fails(run("demix-prepare", "--decode", data_bin / "alpha" / "test_alpha"), 1, "summary.json", "a string")


if __name__ == "__main__":
    unittest.main()
