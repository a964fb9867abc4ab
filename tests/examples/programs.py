"""Runs demix's programs in tests. DEMIX_BIN is the folder they stand in."""

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
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


def has_line(path):
    """Whether a file is there and has a whole line."""
    return path.exists() and b"\n" in path.read_bytes()


def files_of(folder):
    """Path and contents of every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def kill_until_done(command, save_dir, last, after_kill=lambda: None):
    """Starts a training command again and again, and kills it, until its folder has the checkpoint `last`.

    When it is killed follows from what it has saved, not from the clock, so that the machine's speed does not matter: at a
    random moment after it has saved a checkpoint of 1 to 30 further updates, every third time soon after its start. A run that met
    fewer than three kills, because this process got no turn meanwhile, is done once more from the beginning.
    """
    rng = random.Random(os.getpid())

    def newest():
        steps = [p.name.split("_")[1] for p in Path(save_dir).glob("checkpoint_*")]
        return max((int(step) for step in steps if step.isdigit()), default=0)

    for _ in range(20):
        shutil.rmtree(save_dir, ignore_errors=True)
        kills = 0
        while not (Path(save_dir) / last).exists():
            goal = newest() + rng.randint(1, 30)
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while kills % 3 != 2 and child.poll() is None and newest() < goal:
                time.sleep(0.002)
            time.sleep(rng.random() * (0.2 if kills % 3 == 2 else 0.02))
            if child.poll() is None:
                child.kill()
                kills += 1
            assert child.wait() in (0, -signal.SIGKILL), child.returncode
            after_kill()
        if kills > 2:
            return
    raise AssertionError("20 runs ended before three kills")


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
