"""The text of a run: it must stay what it was, and a file that is cut short while a program reads it is an error."""

import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

import tiny_data
from programs import BIN, ProgramTest, files_of, run, small, train

SUFFIXES = (".bin", ".idx")


class TextOfARun(ProgramTest):
    """A run that goes on after its text was exchanged."""

    def train(self, *arguments):
        return train("demix", self.data, self.folder / "run", "--max-update", 4, "--max-valid-steps", 1, *arguments)

    def setUp(self):
        super().setUp()
        done = self.train()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.before = files_of(self.folder / "run")

    def refuse(self, *words):
        self.assert_fails(self.train(), 1, "cannot continue from", str(self.data), "another save_dir", *words)
        self.assertEqual(files_of(self.folder / "run"), self.before)

    def test_other_tokens_of_the_same_size(self):
        path = self.data / "beta" / "train.bin"
        text = bytearray(path.read_bytes())
        middle = len(text) // 4 * 2
        text[middle], text[middle + 2] = 5, 6
        self.assertNotEqual(bytes(text), path.read_bytes())
        path.write_bytes(text)
        self.refuse("train text of domain 'beta'", '"tokens"')

    def test_other_validation_text(self):
        tiny_data.write_split(self.data / "gamma" / "valid_gamma", tiny_data.documents(12, 1, 99))
        self.refuse("valid text of domain 'gamma'")

    def test_two_domains_that_changed_places(self):
        for suffix in SUFFIXES:
            for split in ("train", "valid_{}"):
                paths = [self.data / name / (split.format(name) + suffix) for name in ("alpha", "beta")]
                texts = [path.read_bytes() for path in paths]
                for path, text in zip(paths, reversed(texts)):
                    path.write_bytes(text)
        self.refuse("train text of domain 'alpha'")

    def test_the_same_text_elsewhere(self):
        moved = self.data.rename(self.folder / "moved")
        shutil.copytree(moved, self.data)
        done = self.train()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("warning", done.stderr)

    def test_an_adaptation_whose_text_changed(self):
        tiny_data.write_split(self.data / "delta" / "train", tiny_data.documents(60, 3, 1))
        tiny_data.write_split(self.data / "delta" / "valid_delta", tiny_data.documents(12, 3, 2))
        command = ["demix-adapt", self.data, self.folder / "run" / "checkpoint_last", "--domain", "delta", "--mode",
                   "feedforward", "--save-dir", self.folder / "adapted", "--from", "alpha", "--max-update", 2,
                   "--threads", 1]
        done = run(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        tiny_data.write_split(self.data / "delta" / "train", tiny_data.documents(60, 4, 3))
        self.assert_fails(run(*command), 1, "cannot continue from", "train text of domain 'delta'")


class CutShort(ProgramTest):
    """Files that lose their end while they are read."""

    def setUp(self):
        super().setUp()
        document = [4 + i * 7 % (tiny_data.VOCABULARY - 4) for i in range(99)] + [2]
        for split in ("train", "test_alpha"):
            tiny_data.write_copies(self.data / "alpha" / split, document, 100000)

    def cut(self, path, command, ready=lambda: True):
        """Starts the command, cuts the file short once it is open and the program is ready, and waits."""
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        links = Path(f"/proc/{process.pid}/fd")
        deadline = time.monotonic() + 250
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGSTOP)
            if ready() and any(str(path) == target for target in map(self.target, links.iterdir())):
                os.truncate(path, 400)
                process.send_signal(signal.SIGCONT)
                break
            process.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        out, error = process.communicate(timeout=250)
        self.assertEqual(process.returncode, 1, error)
        self.assertIn(f"{path}: ends at byte 400", error)
        self.assertIn("changed", error)

    @staticmethod
    def target(link):
        try:
            return os.readlink(link)
        except OSError:
            return ""

    def test_during_evaluation(self):
        done = train("demix", self.data, self.folder / "run", "--max-update", 1, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.cut(self.data / "alpha" / "test_alpha.bin",
                 [BIN / "demix-eval", self.data, self.folder / "run" / "checkpoint_last", "--threads", 1])

    def test_during_training(self):
        log = self.folder / "run" / "metrics.jsonl"
        self.cut(self.data / "alpha" / "train.bin",
                 [BIN / "demix-train-demix", self.data, "--save-dir", self.folder / "run", *small("--max-update", 10**9),
                  "--log-interval", 1], ready=lambda: log.exists() and log.stat().st_size > 0)


if __name__ == "__main__":
    unittest.main()
