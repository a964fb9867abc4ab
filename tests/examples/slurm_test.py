"""Ranks under a real SLURM, of virtual nodes on this machine (tests/slurm/cluster.sh)."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import ranks_test
from original_readme_test import REPOSITORY, SIZES, ReadmeTest
from programs import BIN, metrics, small, train
from ranks_test import RankTest, process_of

CLUSTER = Path(__file__).resolve().parent.parent / "slurm/cluster.sh"
NODES = 4


def setUpModule():
    """A cluster that cannot be is a reason to skip, but for CI, which has all that it needs."""
    global folder
    folder = Path(tempfile.mkdtemp(prefix="demix-slurm-", dir="/tmp"))
    done = subprocess.run([CLUSTER, "start", folder, str(NODES)], capture_output=True, text=True, timeout=120)
    if done.returncode == 77 and not os.environ.get("DEMIX_CI"):
        shutil.rmtree(folder)
        raise unittest.SkipTest(done.stderr)
    assert done.returncode == 0, done.stderr
    unittest.addModuleCleanup(shutil.rmtree, folder, ignore_errors=True)
    unittest.addModuleCleanup(subprocess.run, [CLUSTER, "stop", folder], check=True, timeout=60)
    for assignment in shlex.split(done.stdout)[1:]:
        name, value = assignment.split("=", 1)
        os.environ[name] = value


def srun(ranks, *command):
    return ["srun", "--mpi=pmix", "--kill-on-bad-exit=1", f"--nodes={min(ranks, NODES)}", f"--ntasks={ranks}",
            *map(str, command)]


class Slurm(RankTest):
    OPTIONS = ranks_test.RanksLost.OPTIONS

    def start(self, run_folder):
        command = srun(4, BIN / "demix-train-demix", self.data_of(4), "--save-dir", run_folder, *small(*self.OPTIONS))
        return self.started(command, run_folder)

    def test_losses_are_those_of_one_process(self):
        options = ("--log-interval", 1, "--max-update", 20)
        alone, here = self.folder / "alone", self.folder / "here"
        self.assertEqual(train("demix", self.data_of(8), alone, *options).returncode, 0)
        done = subprocess.run(srun(8, BIN / "demix-train-demix", self.data_of(8), "--save-dir", here, *small(*options)),
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("8 ranks of 1 threads", done.stderr)
        self.assert_same_losses(here, alone)

    def test_processes_that_srun_did_not_connect_are_refused(self):
        done = subprocess.run(["srun", "--mpi=none", "--ntasks=2", BIN / "demix-train-dense", self.data_of(4), "--save-dir",
                               self.folder / "no"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("this is one of 2 processes, but MPI knows of one; with SLURM, start them by srun --mpi=pmix", done.stderr)

    def test_a_killed_or_stopped_rank_ends_all(self):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            with self.subTest(number):
                run_folder = self.folder / number.name
                child = self.start(run_folder)
                pid = process_of(2, run_folder, variable="SLURM_PROCID")
                os.kill(pid, number)
                began = time.monotonic()
                _, err = child.communicate(timeout=60)
                self.assertNotEqual(child.returncode, 0)
                self.assertLess(time.monotonic() - began, 55)
                if number == signal.SIGSTOP:
                    self.assertRegex(err, "rank 2 of 4 did not come for [0-9.]+ s and does not answer")
                    self.assertIn(f"the last good checkpoint is {run_folder}/checkpoint_", err)
        ranks_test.RanksLost.assert_goes_on(self, run_folder)

    def test_a_signal_to_all_saves(self):
        run_folder = self.folder / "run"
        child = self.start(run_folder)
        (job,) = subprocess.run(["squeue", "--noheader", "--format=%i"], capture_output=True, text=True).stdout.split()
        subprocess.run(["scancel", "--signal=USR1", f"{job}.0"], check=True, timeout=30)
        _, err = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 128 + signal.SIGUSR1, err)
        self.assertEqual(err.count("saved; the same command continues from here"), 1, err)


class SlurmScripts(ReadmeTest):
    """The original's scripts: training on ranks, and the other four on what it wrote."""

    domains = ["1b_test", "ag", "amazon", "chemprot", "citation_intent", "hp-news", "imdb", "rct"]
    TRAIN = "scripts/run_all.sh 8 12344 transformer_lm demix example_domains/data-bin {} test debug"
    NAME = "demix_8_GPUs_transformer_lm_test"

    def check_run(self, out, direct):
        found, expected = metrics(self.folder / out / self.NAME, "valid"), metrics(direct, "valid")
        self.assertEqual(len(found), len(expected))
        for here, there in zip(found, expected):
            self.assertAlmostEqual(here["average_perplexity"] / there["average_perplexity"], 1, delta=1e-5)

    def test_run_all_and_the_others(self):
        direct = self.folder / "direct"
        self.directly("demix-train-demix", "example_domains/data-bin", "--train-domains", ",".join(self.domains), "--arch",
                      "transformer_lm", "--batch-size", 2, "--save-dir", direct,
                      *self.environment["DEMIX_TRAIN_OPTIONS"].split())
        said = self.shell(shlex.join(srun(8, *self.TRAIN.format("slurm").split())))
        self.assertIn("8 ranks of 1 threads", said)
        self.assertEqual(said.count("+ demix-train-demix"), 1, said)
        self.check_run("slurm", direct)
        said = self.shell(shlex.join([str(ranks_test.MPIRUN), "-n", "4", *self.TRAIN.format("mpirun").split()]))
        self.assertIn("4 ranks of 1 threads", said)
        self.check_run("mpirun", direct)

        self.shell(f"""
            run=slurm/{self.NAME} data=example_domains/data-bin new=new_example_domains/data-bin
            scripts/eval_lm_single.sh $data $run/checkpoint_last.pt eval.jsonl valid imdb
            ranks=
            for rank in 0 1 2 3 4 5 6 7; do ranks+=:$run/checkpoint_last-rank-$rank.pt; done
            scripts/ensemble_eval_lm.sh $data ${{ranks#:}} imdb ensemble.jsonl estimate
            scripts/mix_experts.sh $data $run imdb imdb mix.jsonl estimate
            scripts/dapt_small.sh $new acl_papers $run/checkpoint_last-rank-3.pt feedforward adapted test""")
        for name in ("eval.jsonl", "ensemble.jsonl", "mix.jsonl"):
            self.assertGreater(len(self.lines(name)), 0)
        self.assertTrue((self.folder / "adapted/checkpoint_last").exists())

    def test_a_job_saves_before_its_end_and_is_queued_again(self):
        options = SIZES.replace("--max-update 3", "--max-update 1000000 --disable-validation")
        job = ["sbatch", "--ntasks=4", "--cpus-per-task=1", "--nodes=2", "--ntasks-per-node=2", "--time=1", "--signal=B:USR1@50",
               "--output=job.log", "examples/slurm/many_nodes.sbatch", "transformer_lm", "dense", "example_domains/data-bin",
               "jobs", "test", "debug"]
        (self.folder / "examples").symlink_to(REPOSITORY / "examples")
        done = subprocess.run(job, cwd=self.folder, env={**self.environment, "DEMIX_TRAIN_OPTIONS": options, "DEMIX_BIN": str(BIN)},
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        number = re.search(r"\d+", done.stdout)[0]
        self.addCleanup(subprocess.run, ["scancel", number])
        log, deadline = self.folder / "job.log", time.monotonic() + 150
        while "continuing from" not in (log.read_text() if log.exists() else "") and time.monotonic() < deadline:
            time.sleep(1)
            state = subprocess.run(["squeue", "--noheader", "--jobs", number, "--format=%T"], capture_output=True, text=True)
            if state.stdout.strip() == "PENDING":  # SLURM waits two minutes, in which the first run's traces go away
                time.sleep(8)
                subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], capture_output=True, timeout=30)
        said = log.read_text()
        self.assertRegex(said, r"stopped by a signal .*after update \d+, saved")
        self.assertIn("continuing from", said)


if __name__ == "__main__":
    unittest.main()
