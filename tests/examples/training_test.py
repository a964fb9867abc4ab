"""Training, resuming and evaluating, as a user does it."""

import itertools
import math
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

EXPERIMENTS = ["dense", "unbalanced", "domain-token", "demix"]


class Training(programs.ProgramTest):
    def test_every_experiment_learns_and_evaluates_to_what_it_reported(self):
        for experiment in EXPERIMENTS:
            with self.subTest(experiment):
                save_dir = self.folder / experiment
                done = train(experiment, self.data, save_dir, "--max-update", 120, "--validate-interval-updates", 40,
                             "--save-interval-updates", 40, "--keep-interval-updates", 0)
                self.assertEqual(done.returncode, 0, done.stderr)
                reported = {m["step"]: m for m in metrics(save_dir, "valid")}
                self.assertEqual(sorted(reported), [40, 80, 120])
                self.assertLess(reported[120]["average_perplexity"], 0.6 * tiny_data.VOCABULARY)
                for step in reported:
                    result = evaluate(self.data, save_dir / f"checkpoint_{step}", "--split", "valid")
                    self.assertEqual(result["step"], step)
                    for row in result["results"]:
                        self.assertEqual(row["perplexity"], reported[step]["perplexity"][row["domain"]])
                    self.assertEqual(result["average_perplexity"], reported[step]["average_perplexity"])

    def test_demix_scores_each_domain_by_its_own_expert(self):
        save_dir = self.folder / "demix"
        self.assertEqual(train("demix", self.data, save_dir, "--max-update", 150).returncode, 0)
        own = {row["domain"]: row["perplexity"] for row in evaluate(self.data, save_dir / "checkpoint_last")["results"]}
        for domain in own:
            for expert in own:
                row = evaluate(self.data, save_dir / "checkpoint_last", "--domain", domain, "--expert", expert)["results"][0]
                self.assertEqual(row["expert"], expert)
                if expert == domain:
                    self.assertEqual(row["perplexity"], own[domain])
                else:
                    self.assertGreater(row["perplexity"], own[domain])

    def test_a_domain_token_can_be_forced(self):
        save_dir = self.folder / "token"
        self.assertEqual(train("domain-token", self.data, save_dir, "--max-update", 150).returncode, 0)
        checkpoint = save_dir / "checkpoint_last"
        own = evaluate(self.data, checkpoint, "--domain", "beta")["results"][0]
        forced = evaluate(self.data, checkpoint, "--domain", "beta", "--domain-token", "alpha")["results"][0]
        self.assertEqual(forced["tokens"], own["tokens"])
        self.assertNotEqual(forced["perplexity"], own["perplexity"])

    def test_the_best_checkpoint_is_kept(self):
        save_dir = self.folder / "dense"
        done = train("dense", self.data, save_dir, "--max-update", 60, "--validate-interval-updates", 10, "--save-interval-updates", 10)
        self.assertEqual(done.returncode, 0, done.stderr)
        best = min(metrics(save_dir, "valid"), key=lambda m: m["average_perplexity"])
        self.assertEqual(os.readlink(save_dir / "checkpoint_best"), f"checkpoint_{best['step']}")
        self.assertEqual(os.readlink(save_dir / "checkpoint_last"), "checkpoint_60")
        self.assertLessEqual(len([p for p in save_dir.iterdir() if p.is_dir() and not p.is_symlink()]), 2)

    def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(self):
        for name, seed in (("a", 7), ("b", 7), ("c", 8)):
            done = train("demix", self.data, self.folder / name, "--max-update", 20, "--seed", seed, "--dropout", "0.1")
            self.assertEqual(done.returncode, 0, done.stderr)
        a, b, c = (files_of(self.folder / name / "checkpoint_20") for name in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_an_ini_file_gives_options_and_the_command_line_wins(self):
        ini = self.folder / "run.ini"
        ini.write_text("max-update = 7\nvalidate-interval-updates = 0\n")
        done = train("dense", self.data, self.folder / "a", "--config", ini)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder / "a" / "checkpoint_7").is_dir())
        done = train("dense", self.data, self.folder / "b", "--config", ini, "--max-update", 9)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder / "b" / "checkpoint_9").is_dir())

    def test_unbalanced_takes_text_in_proportion(self):
        save_dir = self.folder / "u"
        done = train("unbalanced", self.data, save_dir, "--max-update", 30, "--log-interval", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = {d: sum(d in m["loss_by_domain"] for m in metrics(save_dir, "train")) for d in ("alpha", "gamma")}
        self.assertEqual(seen["gamma"], 30)  # half of all text
        self.assertLess(seen["alpha"], 30)   # a sixth: some batch of 18 sequences has none


class Resuming(programs.ProgramTest):
    OPTIONS = ["--max-update", "150", "--validate-interval-updates", "30", "--save-interval-updates", "5", "--dropout", "0.1"]

    def command(self, save_dir):
        return [BIN / "demix-train-demix", self.data, "--save-dir", save_dir, *small(*self.OPTIONS)]

    def unbroken(self):
        save_dir = self.folder / "unbroken"
        done = subprocess.run(self.command(save_dir), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return save_dir

    def assert_same_run(self, broken, unbroken):
        self.assertEqual(files_of(broken / "checkpoint_150"), files_of(unbroken / "checkpoint_150"))
        self.assertEqual(metrics(broken, "valid"), metrics(unbroken, "valid"))
        self.assertEqual([p.name for p in broken.iterdir() if p.name.endswith(".partial")], [])

    def test_killed_at_any_moment_it_continues_bit_for_bit(self):
        unbroken, broken, turns = self.unbroken(), self.folder / "broken", itertools.count(1)

        def evaluate_some():
            if next(turns) % 4 == 0:
                for checkpoint in filter(Path.is_dir, broken.glob("checkpoint_*")):
                    evaluate(self.data, checkpoint, "--max-batches", 1)

        programs.kill_until_done(self.command(broken), broken, "checkpoint_150", evaluate_some)
        done = subprocess.run(self.command(broken), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_same_run(broken, unbroken)

    def running(self, save_dir, **options):
        """A run that has done its first updates."""
        child = subprocess.Popen(self.command(save_dir), stdout=subprocess.DEVNULL, text=True, **options)
        while child.poll() is None and not programs.has_line(save_dir / "metrics.jsonl"):
            time.sleep(0.01)
        return child

    def test_a_signal_saves_and_leaves(self):
        unbroken = self.unbroken()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            broken = self.folder / f"signal{number}"
            child = self.running(broken, stderr=subprocess.PIPE)
            child.send_signal(number)
            _, errors = child.communicate(timeout=60)
            if child.returncode != 0:  # it may have been done already
                self.assertEqual(child.returncode, 128 + number, errors)
                self.assertIn(f"demix-train-demix: {signal.Signals(number).name}: stopping after this micro-batch", errors)
                self.assertIn("saved", errors)
            done = subprocess.run(self.command(broken), capture_output=True, text=True, timeout=300)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_same_run(broken, unbroken)

    def test_what_a_killed_run_did_not_remove_is_removed(self):
        save_dir = self.folder / "run"

        def names_after_training():
            done = train("dense", self.data, save_dir, "--max-update", 6, "--save-interval-updates", 2, "--keep-interval-updates", 1)
            self.assertEqual(done.returncode, 0, done.stderr)
            return sorted(p.name for p in save_dir.iterdir())

        names = names_after_training()
        shutil.copytree(save_dir / "checkpoint_6", save_dir / "checkpoint_4")
        for half in (".checkpoint_2.old.partial", ".checkpoint_8.partial/content"):
            (save_dir / half).mkdir(parents=True)
        self.assertEqual(names_after_training(), names)

    def test_a_copy_with_directories_for_links_continues(self):
        run_dir, copy, last_only = self.folder / "run", self.folder / "copy", self.folder / "last-only"
        options = ["--save-interval-updates", 10, "--validate-interval-updates", 10, "--keep-interval-updates", 3]
        command = [str(BIN / "demix-train-demix"), str(self.data), "--save-dir", str(run_dir), *small("--max-update", 100000, *options)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            while child.poll() is None and not (run_dir / "checkpoint_30").exists():
                time.sleep(0.01)
            child.send_signal(signal.SIGTERM)
        last, best = (os.readlink(run_dir / f"checkpoint_{name}") for name in ("last", "best"))
        shutil.copytree(run_dir, copy, symlinks=False)  # as cp -rL
        shutil.copytree(run_dir / "checkpoint_last", last_only / "checkpoint_last")
        for folder in (copy, last_only):
            self.assertFalse((folder / "checkpoint_last").is_symlink())
            with subprocess.Popen([*command[:3], str(folder), *command[4:]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  text=True) as child:
                errors = ""
                for line in child.stderr:
                    errors += line
                    if "continuing from" in line:
                        self.assertIn(f"{folder}/{last}\n", line)
                        self.assertEqual(os.readlink(folder / "checkpoint_last"), last)
                        if folder == copy:
                            self.assertEqual(os.readlink(folder / "checkpoint_best"), best)
                        child.send_signal(signal.SIGTERM)
                child.wait(timeout=60)
            self.assertEqual(child.returncode, 143, errors)
            self.assertIn("continuing from", errors)

    def test_it_saves_when_the_reader_of_its_messages_is_gone(self):
        broken = self.folder / "broken"
        reader, writer = os.pipe()  # as `2>&1 | tee log`, which Ctrl-C ends, too
        child = self.running(broken, stderr=writer)
        os.close(writer)
        os.close(reader)
        child.send_signal(signal.SIGINT)
        self.assertIn(child.wait(timeout=60), (130, 0))
        self.assertTrue((broken / "checkpoint_last" / "model.h5").exists())

    def test_a_signal_that_it_was_started_to_ignore_does_not_stop_it(self):
        child = self.running(self.folder / "run", stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as nohup does
        child.send_signal(signal.SIGHUP)
        self.assertEqual(child.wait(timeout=300), 0)

    def test_two_processes_cannot_share_a_folder(self):
        save_dir = self.folder / "run"
        child = subprocess.Popen(self.command(save_dir), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (save_dir / "metrics.jsonl").exists():
            time.sleep(0.01)
        child.send_signal(signal.SIGSTOP)
        done = subprocess.run(self.command(save_dir), capture_output=True, text=True, timeout=300)
        child.send_signal(signal.SIGCONT)
        self.assertEqual(child.wait(timeout=60), 0)
        self.assert_fails(done, 1, "another process", str(save_dir))

    def test_other_settings_are_refused(self):
        save_dir = self.folder / "run"
        self.assertEqual(train("demix", self.data, save_dir, "--max-update", 10).returncode, 0)
        before = files_of(save_dir)
        for words, arguments in ((("lr",), ["--lr", "1e-4"]), (("architecture", "layers=3"), ["--layers", "3"]),
                                 (("domains",), ["--train-domains", "alpha,beta"])):
            done = train("demix", self.data, save_dir, "--max-update", 10, *arguments)
            self.assert_fails(done, 1, "cannot continue", "save_dir", *words)
        done = train("dense", self.data, save_dir, "--max-update", 10)
        self.assert_fails(done, 1, "experiment", "demix", "dense")
        self.assertEqual(files_of(save_dir), before)


class Threads(programs.ProgramTest):
    def environment_and_threads(self, **environment):
        """What a training program runs with, and how many threads it says it has."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
        options = [item for pair in programs.SMALL.items() if pair[0] != "--threads" for item in map(str, pair)]
        child = subprocess.Popen([BIN / "demix-train-dense", self.data, "--save-dir", self.folder / "run", *options, "--max-update", "1000000"],
                                 env=kept | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
        first_line = child.stderr.readline()
        variables = dict(v.split("=", 1) for v in Path(f"/proc/{child.pid}/environ").read_text().split("\0") if "=" in v)
        child.kill()
        child.communicate()
        return variables, int(first_line.split()[-2])

    def test_waiting_threads_spin_shortly_unless_the_environment_says_how(self):
        variables, _ = self.environment_and_threads()
        self.assertEqual(variables.get("GOMP_SPINCOUNT"), "2000")
        variables, _ = self.environment_and_threads(OMP_WAIT_POLICY="active")
        self.assertNotIn("GOMP_SPINCOUNT", variables)

    def test_there_is_a_thread_for_each_processor_unless_the_environment_says_how_many(self):
        self.assertEqual(self.environment_and_threads()[1], 1)
        self.assertEqual(self.environment_and_threads(OMP_NUM_THREADS="3")[1], 3)


class Divergence(programs.ProgramTest):
    def test_a_loss_that_is_not_finite_names_update_and_domain_and_keeps_the_checkpoint(self):
        save_dir = self.folder / "run"
        done = train("dense", self.data, save_dir, "--max-update", 60, "--save-interval-updates", 1, "--lr", "1e20",
                     "--warmup-updates", 1, "--clip-norm", 0, "--validate-interval-updates", 0)
        self.assert_fails(done, 1, "update ", "is not finite", "last good checkpoint")
        self.assertRegex(done.stderr, "domain '(alpha|beta|gamma)'|shared parameters")
        self.assertTrue((save_dir / "checkpoint_last" / "model.h5").exists())


class Memory(programs.ProgramTest):
    def peak_memory(self, command):
        """The peak of resident memory of a program, in kB, as /proc tells it (wait4 would count this process too)."""
        peak, child = 0, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None:
            status = Path(f"/proc/{child.pid}/status").read_text()
            peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
            time.sleep(0.01)
        self.assertEqual(child.returncode, 0)
        return peak

    def test_a_corpus_ten_times_larger_takes_no_more_memory(self):
        peaks = []
        for scale in (1, 10):
            data = self.folder / f"data{scale}"
            tiny_data.write_data_bin(data, domains=("alpha",))
            document = [4 + i % 100 for i in range(999)] + [2]
            tiny_data.write_copies(data / "alpha" / "train", document, 4000 * scale)  # 8 MB, 80 MB
            command = [BIN / "demix-train-dense", data, "--save-dir", self.folder / f"run{scale}",
                       *small("--tokens-per-sample", 128, "--batch-size", 16, "--max-update", 60, "--max-valid-steps", 1)]
            peaks.append(self.peak_memory(command))
        self.assertLess(peaks[1], 1.1 * peaks[0])


if __name__ == "__main__":
    unittest.main()
