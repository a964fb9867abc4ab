"""demix-experts: its checkpoints, hashes and refusals."""

import os
import random
import shutil
import subprocess
import time
import unittest

from opened_files import OpenedFiles
from programs import BIN, ProgramTest, evaluate, files_of, run, train

NAMES = ["alpha", "beta", "gamma"]
# Writes every string anew, as h5py does, and notes it.
EDIT = """
import h5py
with h5py.File("{path}", "r+", libver={libver}) as file:
    for name, value in list(file.attrs.items()):
        text = value.decode() if isinstance(value, bytes) else value
        if name == "domains":
            file.attrs[name] = [v.decode() if isinstance(v, bytes) else v for v in value]
        elif isinstance(text, str):
            file.attrs[name] = text
    file.attrs["note"] = "edited"
"""


def python_with_h5py():
    for python in filter(None, [shutil.which("python3"), "/usr/bin/python3"]):
        if subprocess.run([python, "-c", "import h5py"], capture_output=True).returncode == 0:
            return python
    return None


def without_speed(result):
    for row in result["results"]:
        row.pop("tokens_per_second", None)
    return result


H5PY = python_with_h5py()


class Experts(ProgramTest):
    def setUp(self):
        super().setUp()
        done = train("demix", self.data, self.folder / "run", "--max-update", 20, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.checkpoint = self.folder / "run" / "checkpoint_last"

    def experts(self, *arguments):
        done = run("demix-experts", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_add_and_remove_leave_every_file_as_it_was(self):
        before = files_of(self.checkpoint.resolve())
        self.assertEqual(set(before), {"model.h5", "state.h5"} | {f"{folder}/{name}.h5" for folder in ("experts", "state") for name in NAMES})
        more, again = self.folder / "more", self.folder / "again"
        self.experts("add", self.checkpoint, f"{self.checkpoint}:beta=delta", "--output", more)
        self.assertEqual(evaluate(self.data, more, "--domain", "beta", "--expert", "delta")["results"][0]["loss"],
                         evaluate(self.data, self.checkpoint, "--domain", "beta")["results"][0]["loss"])
        self.experts("remove", more, "delta", "--output", again)
        self.assertEqual(files_of(again), before)
        self.assertEqual(files_of(self.checkpoint.resolve()), before)

    def test_a_model_type_of_ones_own(self):
        done = train("custom-ffn", self.data, self.folder / "gated", "--max-update", 2, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        gated = self.folder / "gated" / "checkpoint_last"
        before = files_of(gated.resolve())
        more, again = self.folder / "more", self.folder / "again"
        self.experts("add", gated, f"{gated}:beta=delta", "--output", more)
        self.experts("remove", more, "delta", "--output", again)
        self.assertEqual(files_of(again), before)
        self.experts("merge", more, "beta=3", "delta=1", "--as", "same", "--output", self.folder / "merged")
        rows = {line.split()[0]: line.split() for line in self.experts("list", more).splitlines()[-4:]}
        self.assertEqual(int(rows["delta"][1]), 2 * 3 * 32 * 64)
        self.assert_fails(run("demix-experts", "add", self.checkpoint, f"{gated}:beta=x", "--output", self.folder / "x"),
                          1, "the experiments are demix_gated and demix")

    def test_killed_at_random_moments(self):
        before = files_of(self.checkpoint.resolve())
        out, partial = self.folder / "out", self.folder / ".out.partial"
        command = [BIN / "demix-experts", "add", self.checkpoint, *(f"{self.checkpoint}:beta=more{i}" for i in range(8)),
                   "--output", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = files_of(out)
        shutil.rmtree(out)
        moment, interrupted, complete, duration = random.Random(1), 0, 0, 0.1
        for _ in range(400):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                # From the moment on that it writes, so that the machine's speed does not matter.
                while process.poll() is None and not partial.exists():
                    time.sleep(0.0005)
                started, wait = time.monotonic(), moment.uniform(0, 1.5 * duration)
                try:
                    process.wait(timeout=wait)
                    duration = time.monotonic() - started
                except subprocess.TimeoutExpired:
                    process.kill()
                    duration = max(duration, wait)
            if out.exists():
                self.assertEqual(files_of(out), whole)
                shutil.rmtree(out)
                complete += 1
            interrupted += partial.exists()
            if interrupted > 10 and complete > 2:
                break
            shutil.rmtree(partial, ignore_errors=True)
        self.assertGreater(interrupted, 10)
        self.assertEqual(files_of(self.checkpoint.resolve()), before)
        # What a kill left behind does not hinder the next.
        partial.mkdir(exist_ok=True)
        (partial / "model.h5").write_bytes(b"half")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(files_of(out), whole)
        self.assertFalse(partial.exists())

    def test_two_at_once(self):
        out, partial = self.folder / "out", self.folder / ".out.partial"
        commands = [[BIN / "demix-experts", "add", self.checkpoint, f"{self.checkpoint}:beta=more", "--output", out],
                    [BIN / "demix-experts", "remove", self.checkpoint, "beta", "--output", out]]
        expected = []
        for command in commands:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            expected.append(files_of(out))
            shutil.rmtree(out)
        for _ in range(30):
            pair = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for c in commands]
            errors = [process.communicate(timeout=300)[1] for process in pair]
            codes = [process.returncode for process in pair]
            self.assertEqual(sorted(codes), [0, 1], errors)
            self.assertEqual(files_of(out), expected[codes.index(0)])
            self.assertRegex(errors[codes.index(1)], "another process is writing it now|exists already")
            self.assertFalse(partial.exists())
            shutil.rmtree(out)

    def test_the_number_of_files_that_are_opened_is_linear_in_the_experts(self):
        small, large, foreign = self.folder / "small", self.folder / "large", self.folder / "foreign"
        for out, count in ((small, 10), (large, 30)):
            self.experts("add", self.checkpoint, *(f"{self.checkpoint}:beta=e{i}" for i in range(count - 3)), "--output", out)
        self.experts("rename", large, "alpha", "other", "--output", foreign)
        work = ["--split", "valid", "--domain", "alpha", "--max-batches", 1, "--threads", 1]
        out, save_dir = self.folder / "out", self.folder / "adapted"
        commands = {
            "eval": lambda c: ["demix-eval", self.data, c, *work],
            "mix": lambda c: ["demix-mix", self.data, c, *work, "--ensemble", "uniform_prior"],
            "mix, other's": lambda c: ["demix-mix", self.data, c, *work, "--ensemble", "uniform_prior", "--experts",
                                       ",".join(f"{foreign}:{p.stem}=x{p.stem}" for p in (c / "experts").iterdir()
                                                if p.stem != "alpha")],
            "add": lambda c: ["demix-experts", "add", c, *(f"{foreign}:e{i}=x{i}" for i in range(len(os.listdir(c / "experts")) - 3)),
                              "--output", out],
            "merge": lambda c: ["demix-experts", "merge", c, *(f"{p.stem}=1" for p in (c / "experts").iterdir()), "--as", "mean",
                                "--output", out],
            "list": lambda c: ["demix-experts", "list", c],
            "adapt": lambda c: ["demix-adapt", self.data, c, "--domain", "delta", "--mode", "feedforward", "--from", "beta",
                                "--max-update", 1, "--batch-size", 1, "--update-freq", 1, "--threads", 1, "--save-dir", save_dir],
        }
        for split in ("train", "valid_alpha", "test_alpha"):
            for suffix in (".bin", ".idx"):
                to = self.data / "delta" / (split.replace("alpha", "delta") + suffix)
                to.parent.mkdir(exist_ok=True)
                shutil.copy(self.data / "alpha" / (split + suffix), to)
        for name, command in commands.items():
            counts = []
            for checkpoint in (small, large):
                with OpenedFiles(checkpoint, checkpoint / "experts", foreign, foreign / "experts") as opened:
                    done = run(*command(checkpoint))
                self.assertEqual(done.returncode, 0, (name, done.stderr))
                counts.append(opened.count)
                for leftover in (out, save_dir):
                    shutil.rmtree(leftover, ignore_errors=True)
            with self.subTest(name, counts=counts):
                # What 20 more experts add: one look at each to load it, and for a hash another. (inotify counts several in a row as one.)
                looks = {"add": 2, "merge": 2, "list": 2, "adapt": 5}.get(name, 1)
                self.assertLessEqual(counts[1] - counts[0], looks * 20)
                self.assertLess(counts[1], looks * 30 + 20)

    def test_files_of_desktops_and_file_systems_do_not_matter(self):
        for name in (".DS_Store", "._alpha.h5", ".nfs000000000123"):
            (self.checkpoint / "experts" / name).write_bytes(b"hidden")
        out = self.folder / "out"
        self.experts("remove", self.checkpoint, "beta", "--output", out)
        self.assertEqual(sorted(p.name for p in (out / "experts").iterdir()), ["alpha.h5", "gamma.h5"])
        evaluate(self.data, self.checkpoint)

    @unittest.skipUnless(H5PY, "skipped: no python3 with h5py")
    def test_files_that_h5py_edited(self):
        before = evaluate(self.data, self.checkpoint)
        for libver in ("'earliest'", "'latest'"):
            for path in [self.checkpoint / "model.h5", *(self.checkpoint / "experts").iterdir()]:
                subprocess.run([H5PY, "-c", EDIT.format(path=path, libver=libver)], check=True)
            self.assertEqual(without_speed(evaluate(self.data, self.checkpoint)), without_speed(before))
        self.experts("rename", self.checkpoint, "beta", "b", "--output", self.folder / "out")

    @unittest.skipIf(os.geteuid() == 0, "skipped: root may write everywhere")
    def test_a_folder_that_cannot_be_written(self):
        for path in (self.folder, self.checkpoint.resolve(), self.checkpoint.parent):
            path.chmod(0o555)
        self.addCleanup(self.folder.chmod, 0o755)
        self.addCleanup(self.checkpoint.parent.chmod, 0o755)
        done = run("demix-experts", "remove", self.checkpoint, "beta", "--output", self.folder / "out")
        self.assert_fails(done, 1, ".out.partial", "Permission denied")

    def test_training_goes_on_with_its_own_experts_only(self):
        def resume(checkpoint):
            folder = self.folder / f"resume-{checkpoint.name}"
            folder.mkdir()
            shutil.copytree(checkpoint, folder / "checkpoint_20")
            return train("demix", self.data, folder, "--max-update", 20, "--max-valid-steps", 1)

        fewer, again = self.folder / "fewer", self.folder / "again"
        self.experts("remove", self.checkpoint, "gamma", "--output", fewer)
        self.experts("add", fewer, f"{self.checkpoint}:gamma", "--output", again)
        self.assert_fails(resume(fewer), 1, "list of domains")
        self.assertEqual(resume(again).returncode, 0)

    def test_an_extracted_expert_scores_what_it_scored(self):
        dense = self.folder / "dense"
        self.experts("extract", self.checkpoint, "gamma", "--output", dense)
        for domain in NAMES:
            expected = evaluate(self.data, self.checkpoint, "--domain", domain, "--expert", "gamma")["results"][0]
            found = evaluate(self.data, dense, "--domain", domain)["results"][0]
            self.assertEqual((found["loss"], found["perplexity"]), (expected["loss"], expected["perplexity"]))
        self.assertIn("experts       none", self.experts("list", dense))
        self.assert_fails(run("demix-experts", "add", dense, f"{self.checkpoint}:beta", "--output", self.folder / "x"), 1,
                          "a dense model has no experts")

    def test_an_extracted_expert_with_learned_positions_and_tied_embeddings(self):
        done = train("demix", self.data, self.folder / "gpt", "--arch", "transformer_lm_gpt3_small", "--max-update", 5,
                     "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        gpt, dense = self.folder / "gpt" / "checkpoint_last", self.folder / "dense"
        self.experts("extract", gpt, "alpha", "--output", dense)
        expected = evaluate(self.data, gpt, "--domain", "beta", "--expert", "alpha")["results"][0]
        self.assertEqual(evaluate(self.data, dense, "--domain", "beta")["results"][0]["loss"], expected["loss"])

    def test_merge_and_rename(self):
        merged, renamed = self.folder / "merged", self.folder / "renamed"
        self.experts("merge", self.checkpoint, "alpha=0.5", "beta=1.5", "--as", "both", "--output", merged)
        alone = [evaluate(self.data, merged, "--domain", "beta", "--expert", e)["average_perplexity"]
                 for e in ("alpha", "both", "beta")]
        self.assertEqual(sorted(alone, reverse=True), alone)
        self.experts("rename", merged, "both", "mean", "--output", renamed)
        self.assertEqual(evaluate(self.data, renamed, "--domain", "beta", "--expert", "mean")["average_perplexity"],
                         alone[1])

    def test_list(self):
        copy = self.folder / "copy"
        self.experts("add", self.checkpoint, f"{self.checkpoint}:beta=delta", "--output", copy)
        listed, copied = self.experts("list", self.checkpoint), self.experts("list", copy)
        self.assertIn("experiment    demix, step 20", listed)
        rows = {line.split()[0]: line.split() for line in listed.splitlines()[-3:]}
        self.assertEqual(list(rows), NAMES)
        for name in NAMES:
            self.assertEqual(int(rows[name][1]), 2 * (2 * 32 * 64 + 32 + 64))
            self.assertIn(" ".join(rows[name]), " ".join(copied.split()))
        self.assertEqual(len({row[3] for row in rows.values()}), 3)

    def test_what_is_refused(self):
        out = self.folder / "out"

        def refuse(code, word, *arguments):
            self.assert_fails(run("demix-experts", *arguments), code, word)
            self.assertFalse(out.exists())

        c = self.checkpoint
        refuse(2, "did you mean 'remove'", "remvoe", c, "beta", "--output", out)
        refuse(2, "needs --output", "remove", c, "beta")
        refuse(2, "leave --output out", "list", c, "--output", out)
        refuse(2, "--as is for merge", "remove", c, "beta", "--as", "x", "--output", out)
        refuse(2, "needs --as", "merge", c, "beta=1", "alpha=1", "--output", out)
        refuse(2, "NAME=WEIGHT", "merge", c, "beta", "alpha=1", "--as", "x", "--output", out)
        refuse(2, "NAME=WEIGHT", "merge", c, "beta=1x", "alpha=1", "--as", "x", "--output", out)
        refuse(2, "did you mean 'beta'", "remove", c, "bta", "--output", out)
        refuse(2, "at least one expert", "remove", c, *NAMES, "--output", out)
        refuse(2, "'beta' is named twice", "remove", c, "beta", "beta", "--output", out)
        refuse(2, "is its name already", "rename", c, "beta", "beta", "--output", out)
        refuse(2, "cannot be a file name", "rename", c, "beta", "../beta", "--output", out)
        refuse(1, "stands twice", "rename", c, "beta", "alpha", "--output", out)
        refuse(2, "expected a positive number", "merge", c, "beta=0", "alpha=1", "--as", "x", "--output", out)
        refuse(2, "two experts or more", "merge", c, "beta=1", "--as", "x", "--output", out)
        refuse(1, "lies in the checkpoint", "remove", c, "beta", "--output", c.resolve() / "experts" / "new")
        refuse(1, "not a checkpoint", "list", self.folder / "run")
        refuse(2, "old and the new name", "rename", c, "beta", "--output", out)
        refuse(1, "has an expert 'beta' already", "add", c, f"{c}:beta", "--output", out)
        refuse(1, "not a checkpoint", "add", c, f"{self.data}:beta=x", "--output", out)
        done = train("demix", self.data, self.folder / "stranger", "--max-update", 2, "--seed", 9)
        self.assertEqual(done.returncode, 0, done.stderr)
        refuse(1, "do not have the same body: the values of", "add", c,
               f"{self.folder / 'stranger' / 'checkpoint_last'}:beta=x", "--output", out)
        self.assert_fails(run("demix-experts", "remove", c, "beta", "--output", c), 1, "exists already")


if __name__ == "__main__":
    unittest.main()
