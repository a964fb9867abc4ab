"""Training on ranks that are processes, started by mpirun as a user starts them, against one process."""

import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

import programs
import tiny_data
from programs import BIN, evaluate, files_of, metrics, small, train

MPIRUN = Path(__file__).resolve().parent.parent / "mpirun.sh"
DOMAINS = {4: tuple("abcd"), 8: tuple("abcdefgh")}


def command(ranks, experiment, data, save_dir, *arguments):
    return [MPIRUN, "-n", str(ranks), BIN / f"demix-train-{experiment}", data, "--save-dir", save_dir, *small(*arguments)]


def train_on(ranks, *arguments, **options):
    return subprocess.run(command(ranks, *arguments), capture_output=True, text=True, timeout=300, **options)


def process_of(rank, save_dir, variable="OMPI_COMM_WORLD_RANK"):
    """The process that was started as this rank of the run, once it is there; the launcher's variable says which it is."""
    for _ in range(600):
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                line, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
            except OSError:
                continue
            if (b"/demix-train" in line.split(b"\0")[0] and os.fsencode(save_dir) in line.split(b"\0")
                    and f"{variable}={rank}".encode() in environment.split(b"\0")):
                return int(folder.name)
        time.sleep(0.05)
    raise AssertionError(f"there is no rank {rank}")


def command_lines():
    """Of all processes."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                pass


def step_of(save_dir):
    """The newest checkpoint's."""
    steps = [p.name.split("_")[1] for p in Path(save_dir).glob("checkpoint_*")]
    return max((int(step) for step in steps if step.isdigit()), default=0)


class RankTest(programs.ProgramTest):
    def data_of(self, domains):
        folder = self.folder / f"data{domains}"
        if not folder.exists():
            tiny_data.write_data_bin(folder, DOMAINS[domains])
        return folder

    def started(self, command, run):
        """The command's process, whose run has saved something. Its ranks wait 2 s for each other, and twenty times as long
        where they meet after reading or writing files."""
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "DEMIX_RANK_TIMEOUT": "2"})
        self.addCleanup(child.kill)
        while step_of(run) < 5 and child.poll() is None:
            time.sleep(0.01)
        self.assertIsNone(child.poll())
        return child

    def assert_same_losses(self, found, expected, tolerance=1e-5):
        a, b = metrics(found, "train"), metrics(expected, "train")
        self.assertEqual([m["step"] for m in a], [m["step"] for m in b])
        for here, there in zip(a, b):
            self.assertAlmostEqual(here["loss"] / there["loss"], 1, delta=tolerance, msg=str(here["step"]))
            self.assertEqual(here["tokens"], there["tokens"])


class Ranks(RankTest):
    OPTIONS = ("--dropout", 0.1, "--log-interval", 1, "--max-update", 50)  # and --update-freq 2, of small()

    def check(self, experiment, domains, all_ranks):
        data, alone = self.data_of(domains), {}
        for ranks, at_once in all_ranks:
            with self.subTest(experiment, domains=domains, ranks=ranks):
                if at_once not in alone:
                    alone[at_once] = self.folder / f"alone_{experiment}_{domains}_{at_once}"
                    done = train(experiment, data, alone[at_once], *self.OPTIONS, "--update-freq", 2 * at_once)
                    self.assertEqual(done.returncode, 0, done.stderr)
                here = self.folder / f"{experiment}_{domains}_{ranks}"
                done = train_on(ranks, experiment, data, here, *self.OPTIONS)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f" {ranks} ranks of 1 threads" if ranks > 1 else ", 1 threads", done.stderr)
                self.assert_same_losses(here, alone[at_once])

    def test_experts_have_the_losses_of_one_process(self):
        self.check("demix", 4, [(1, 1), (2, 1), (3, 1), (4, 1), (8, 2)])
        self.check("demix", 8, [(2, 1), (8, 1)])

    def test_other_models_have_the_losses_of_one_process(self):
        for experiment in ("dense", "unbalanced", "domain-token"):
            self.check(experiment, 4, [(2, 1), (4, 1), (5, 5), (8, 2)])
        self.check("dense", 8, [(3, 1), (8, 1)])

    def test_a_run_repeats_bit_for_bit(self):
        runs = [self.folder / name for name in ("one", "two")]
        for run in runs:
            self.assertEqual(train_on(4, "demix", self.data_of(4), run, *self.OPTIONS).returncode, 0)
        self.assertEqual(files_of(runs[0] / "checkpoint_50"), files_of(runs[1] / "checkpoint_50"))

    def test_numbers_of_ranks_that_cannot_share_experts_are_refused_once(self):
        done = train_on(6, "demix", self.data_of(4), self.folder / "no", *self.OPTIONS)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.count("6 ranks for the experts of 4 domains"), 1, done.stderr)
        self.assertIn("the nearest are 4 and 8", done.stderr)
        self.assertFalse((self.folder / "no").exists())


class RanksResume(RankTest):
    OPTIONS = ("--dropout", 0.1, "--log-interval", 1, "--save-interval-updates", 10, "--keep-interval-updates", 0,
               "--max-update", 40)

    def go_on(self, ranks, micro_batches, before, step):
        """The run that continues another one's checkpoint on so many ranks."""
        run = self.folder / f"{before.name}_{ranks}"
        shutil.copytree(before / f"checkpoint_{step}", run / f"checkpoint_{step}")
        shutil.copy(before / "metrics.jsonl", run)
        options = [*self.OPTIONS, "--update-freq", micro_batches]
        done = train_on(ranks, "demix", self.data_of(4), run, *options) if ranks else train(
            "demix", self.data_of(4), run, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(f"continuing from {run}/checkpoint_{step}"), 1, done.stderr)
        return run

    def test_a_checkpoint_goes_on_on_any_number_of_ranks_and_back(self):
        first = self.folder / "run"
        self.assertEqual(train_on(4, "demix", self.data_of(4), first, *self.OPTIONS, "--update-freq", 2).returncode, 0)
        for ranks, micro_batches in ((0, 2), (2, 2), (8, 1)):
            with self.subTest(ranks=ranks):
                there = self.go_on(ranks, micro_batches, first, 10)
                self.assert_same_losses(there, first)
                back = self.go_on(4, 2, there, 20)
                self.assert_same_losses(back, first)
                self.assertEqual(sorted(p.name for p in (back / "checkpoint_40").rglob("*.h5")),
                                 sorted(p.name for p in (first / "checkpoint_40").rglob("*.h5")))
                for model in (there, back):
                    found = evaluate(self.data_of(4), model / "checkpoint_last")
                    expected = evaluate(self.data_of(4), first / "checkpoint_last")
                    self.assertAlmostEqual(found["average_perplexity"] / expected["average_perplexity"], 1, delta=1e-4)

    def test_on_the_same_ranks_it_goes_on_bit_for_bit(self):
        first = self.folder / "run"
        self.assertEqual(train_on(4, "demix", self.data_of(4), first, *self.OPTIONS, "--update-freq", 2).returncode, 0)
        again = self.go_on(4, 2, first, 20)
        self.assertEqual(files_of(again / "checkpoint_40"), files_of(first / "checkpoint_40"))

    def test_another_global_batch_is_refused(self):
        first = self.folder / "run"
        self.assertEqual(train_on(4, "demix", self.data_of(4), first, *self.OPTIONS, "--update-freq", 2).returncode, 0)
        run = self.folder / "wrong"
        shutil.copytree(first / "checkpoint_10", run / "checkpoint_10")
        done = train_on(8, "demix", self.data_of(4), run, *self.OPTIONS, "--update-freq", 2)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count('"update-freq":4'), 1, done.stderr)


class RanksLost(RankTest):
    """What happens to one rank ends all, soon, and loses nothing that was saved."""

    OPTIONS = ("--log-interval", 1, "--save-interval-updates", 5, "--keep-interval-updates", 0, "--max-update", 100000)

    def start(self, run):
        return self.started(command(4, "demix", self.data_of(4), run, *self.OPTIONS), run)

    def ends(self, child, run, seconds):
        began = time.monotonic()
        _, err = child.communicate(timeout=seconds)
        seconds = time.monotonic() - began
        for _ in range(200):  # mpirun may end before what it has killed
            if not any(os.fsencode(run) in line for line in command_lines()):
                break
            time.sleep(0.05)
        return seconds, err

    def assert_goes_on(self, run, on=2):
        """The newest checkpoint is whole, and continues with the losses that one process finds from it."""
        step = step_of(run)
        twin = self.folder / "twin"
        shutil.copytree(run / f"checkpoint_{step}", twin / f"checkpoint_{step}")
        shutil.copy(run / "metrics.jsonl", twin)
        for folder, ranks in ((run, on), (twin, 1)):
            child = subprocess.Popen(command(ranks, "demix", self.data_of(4), folder, *self.OPTIONS), stderr=subprocess.PIPE,
                                     text=True)
            while step_of(folder) < step + 10 and child.poll() is None:
                time.sleep(0.01)
            os.kill(process_of(0, folder), signal.SIGTERM)
            _, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 128 + signal.SIGTERM, err)
        losses = [{m["step"]: m["loss"] for m in metrics(folder, "train")} for folder in (run, twin)]
        both = [step for step in losses[0] if step in losses[1]]
        self.assertGreaterEqual(max(both), step + 10)
        for at in both:
            self.assertAlmostEqual(losses[0][at] / losses[1][at], 1, delta=1e-5)

    def test_a_killed_rank_ends_all(self):
        for rank in (0, 2):
            with self.subTest(rank=rank):
                run = self.folder / f"run{rank}"
                child = self.start(run)
                os.kill(process_of(rank, run), signal.SIGKILL)
                seconds, err = self.ends(child, run, 60)
                self.assertNotEqual(child.returncode, 0)
                self.assertIn(f"process rank {rank} ", err)  # mpirun's words
        self.assert_goes_on(run)

    def test_a_stopped_rank_is_named(self):
        for rank in (0, 3):
            with self.subTest(rank=rank):
                run = self.folder / f"run{rank}"
                child = self.start(run)
                pid = process_of(rank, run)
                os.kill(pid, signal.SIGSTOP)
                seconds, err = self.ends(child, run, 60)
                self.assertNotEqual(child.returncode, 0)
                self.assertLess(seconds, 55)
                self.assertRegex(err, f"rank {rank} of 4 did not come for [0-9.]+ s and does not answer")
                self.assertIn(f"the last good checkpoint is {run}/checkpoint_", err)
        self.assert_goes_on(run)

    def test_a_signal_to_one_rank_saves_and_ends_all(self):
        for rank, number in ((0, signal.SIGTERM), (2, signal.SIGUSR1)):
            with self.subTest(rank=rank):
                run = self.folder / f"run{rank}"
                child = self.start(run)
                os.kill(process_of(rank, run), number)
                _, err = self.ends(child, run, 60)
                self.assertEqual(child.returncode, 128 + number, err)
                self.assertEqual(err.count("saved; the same command continues from here"), 1, err)
        self.assert_goes_on(run)

    def test_ranks_that_differ_are_told_at_the_start(self):
        data = self.data_of(4)
        other = self.folder / "other"
        tiny_data.write_data_bin(other, DOMAINS[4], 70)
        program = BIN / "demix-train-dense"

        def lines(here, *there):
            options = list(map(str, [*small(), "--log-interval", 5]))
            first = [program, data, "--save-dir", self.folder / "run", *options]
            return subprocess.run([MPIRUN, "-n", "1", *first, ":", "-n", "1", here, *there, *options], capture_output=True,
                                  text=True, timeout=60)

        done = lines(program, data, "--save-dir", self.folder / "run", "--clip-norm", "1")
        self.assert_fails(done, 1, "rank 1 has another command line than rank 0")
        self.assertEqual(done.stderr.count("another command line"), 1, done.stderr)
        done = lines(program, data, "--save-dir", self.folder / "run", "--clip-norm", "x")  # one fails alone
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--clip-norm: expected a finite number", done.stderr)
        self.assertIn("(told by rank 1)", done.stderr)
        done = lines(BIN / "demix-train-demix", data, "--save-dir", self.folder / "run")
        self.assert_fails(done, 1, "rank 1 has another program file than rank 0")
        # The same words, and another text behind them.
        here, there = self.folder / "here", self.folder / "there"
        for folder, text in ((here, data), (there, other)):
            folder.mkdir()
            (folder / "data").symlink_to(text)
        options = list(map(str, ["data", "--save-dir", self.folder / "run", *small(), "--max-update", 5]))
        done = subprocess.run([MPIRUN, "-n", "1", "--wdir", here, program, *options, ":", "-n", "1", "--wdir", there, program,
                               *options], capture_output=True, text=True, timeout=60)
        self.assert_fails(done, 1, "rank 1 sees another text of domain 'a' than the ranks before it")
        self.assertFalse(list((self.folder / "run").glob("checkpoint_*")))


if __name__ == "__main__":
    unittest.main()
