"""Runs demix's programs in tests. DEMIX_BIN is the folder they stand in."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import tiny_data

BIN = Path(os.environ["DEMIX_BIN"])
SMALL = {"--layers": 2, "--d-model": 32, "--heads": 2, "--d-ffn": 64, "--tokens-per-sample": 16, "--batch-size": 3,
         "--update-freq": 2, "--lr": "3e-3", "--threads": 1}


def small(*arguments):
    """The options of a small model, where the arguments do not give others."""
    options = [item for name, value in SMALL.items() if name not in arguments for item in (name, value)]
    return list(map(str, [*options, *arguments]))


def run(program, *arguments, **options):
    return subprocess.run([BIN / program, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def train(experiment, data, save_dir, *arguments, **options):
    return run(f"demix-train-{experiment}", data, "--save-dir", save_dir, *small(*arguments), **options)


def evaluate(data, checkpoint, *arguments):
    """The JSON result of demix-eval."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        done = run("demix-eval", data, checkpoint, "--json", out, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())


def metrics(save_dir, kind):
    lines = (Path(save_dir) / "metrics.jsonl").read_text().splitlines()
    return [m for m in map(json.loads, lines) if m["type"] == kind]


def files_of(folder):
    """Path and contents of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


class ProgramTest(unittest.TestCase):
    """Each test has a data-bin of its own in self.data, and self.folder to write to."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="demix-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "data"
        tiny_data.write_data_bin(self.data)

    def assert_fails(self, done, code, *words):
        """The program said what was wrong, in one message without a crash."""
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
