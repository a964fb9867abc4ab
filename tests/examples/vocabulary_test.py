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
                          str(self.theirs), str(self.checkpoint))
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


if __name__ == "__main__":
    unittest.main()
