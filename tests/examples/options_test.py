"""What all programs make of their command lines and of --config files."""

import resource
import unittest

import programs
from programs import run, small, train

PROGRAMS = ("demix-prepare", "demix-train-dense", "demix-train-unbalanced", "demix-train-domain-token", "demix-train-demix",
            "demix-train-custom-ffn", "demix-eval", "demix-mix", "demix-adapt", "demix-experts", "demix-generate")
WITH_THREADS = tuple(program for program in PROGRAMS if program != "demix-experts")


class Options(programs.ProgramTest):
    def refuse(self, program, *arguments, says):
        done = run(program, *arguments, cwd=self.folder)
        self.assert_fails(done, 2, *says)

    def test_no_line_of_help_is_too_wide(self):
        for program in PROGRAMS:
            done = run(program, "--help")
            self.assertEqual(done.returncode, 0, done.stderr)
            for line in done.stdout.splitlines():
                self.assertLessEqual(len(line), 110, f"{program}: {line}")

    def test_numbers_out_of_range(self):
        for program in WITH_THREADS:
            for threads in ("4294967297", "100000", "0", "-1", "2x", "0x2", ""):
                with self.subTest(program, threads=threads):
                    self.refuse(program, f"--threads={threads}", says=["--threads: "])
        cases = {"demix-train-dense": ("--seed=-1", "--lr=nan", "--lr=inf", "--dropout=nan", "--dropout=-1", "--adam-eps=0",
                                       "--clip-norm=-1", "--weight-decay=0x1", "--adam-betas=nan,0.9", "--batch-size=1e3",
                                       "--max-update=18446744073709551616", "--layers=-1", "--tokens-per-sample=12 "),
                 "demix-prepare": ("--seed=-1", "--vocab-size=4294967556", "--valid-fraction=nan", "--train-tokens=-5"),
                 "demix-eval": ("--batch-size=0", "--max-batches=-1"),
                 "demix-mix": ("--top-k=-1", "--batch-size=18446744073709551615"),
                 "demix-generate": ("--seed=-1", "--temperature=inf", "--top-p=1.5", "--top-p=nan", "--max-tokens=0")}
        for program, options in cases.items():
            for option in options:
                with self.subTest(program, option=option):
                    needed = [self.data, "--save-dir", "run"] if "betas" in option else []
                    self.refuse(program, option, *needed, says=[option.split("=")[0] + ": "])

    def test_too_many_threads_in_the_environment(self):
        done = run("demix-train-dense", self.data, "--save-dir", self.folder / "run", env={"OMP_NUM_THREADS": "100000"})
        self.assert_fails(done, 2, "OMP_NUM_THREADS", "--threads")

    def test_a_value_that_looks_like_an_option(self):
        self.refuse("demix-train-dense", self.data, "--save-dir", "--seed=3", says=["--save-dir: ", "--save-dir=--seed=3"])
        self.assertFalse((self.folder / "--seed=3").exists())
        self.refuse("demix-train-dense", self.data, "--save-dir=", says=["--save-dir: ", "empty"])
        self.refuse("demix-generate", "c", "--data", "d", "--prompt", "--json", "x", says=["--prompt: "])

    def test_config_files(self):
        config = self.folder / "train.ini"
        for text, *says in (("seed = -1\n", ":1: seed: "),
                            ("# x\nlrr = 1\n", ":2: unknown option 'lrr'", "'--lr'"),
                            ("lr = 1\r\nlr = 2\r\n", ":2: lr: given twice"),
                            ("[train]\nlr = 1\n", ":1: ", "sections"),
                            ("lr 1\n", ":1: expected 'name = value'"),
                            ("config = x.ini\n", ":1: config"),
                            ("save-dir = 'a\n", ":1: ")):
            with self.subTest(text):
                config.write_bytes(text.encode())
                self.refuse("demix-train-dense", self.data, "--save-dir", "run", "--config", config,
                            says=[str(config) + says[0], *says[1:]])
        self.refuse("demix-train-dense", self.data, "--save-dir", "run", "--config", self.folder, says=["--config: ", "folder"])
        self.assertFalse((self.folder / "run").exists())

    def test_what_a_config_file_says_is_done(self):
        config = self.folder / "train.ini"
        config.write_bytes("\ufeff# a comment\r\nsave-dir = \"a#1\"\r\nshare-decoder-input-output-embed = true\r\n"
                           "max-update = 2 # few\r\nseed = 3\r\n".encode())
        done = run("demix-train-dense", *small(), "--config", config, self.data, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.folder / "a#1" / "checkpoint_2").is_dir())
        # The same by the command line: the flag does not take the data for its value.
        done = run("demix-train-dense", "--share-decoder-input-output-embed", self.data, *small("--save-dir", "b", "--max-update", 2, "--seed", 3),
                   cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(programs.files_of(self.folder / "a#1" / "checkpoint_2"), programs.files_of(self.folder / "b" / "checkpoint_2"))


class Sizes(programs.ProgramTest):
    def refuse(self, program, *arguments, says):
        self.assert_fails(run(program, *arguments), 2, *says)

    def test_what_training_cannot_have_in_memory(self):
        for option in ("--tokens-per-sample", "--batch-size", "--d-model", "--d-ffn", "--layers"):
            for value in (1152921504606846976, 2305843009213693952, 2**62, 10**15):
                with self.subTest(option, value=value):
                    self.refuse("demix-train-demix", self.data, "--save-dir", self.folder / "run", *small(option, value),
                                says=[f"{option} {value}: training needs at least ", " bytes (", "of memory"])
        self.refuse("demix-train-demix", self.data, "--save-dir", self.folder / "run", *small("--update-freq", 2**62),
                    says=["--update-freq"])
        self.assertFalse((self.folder / "run").exists())

    def test_what_the_other_programs_cannot_have_in_memory(self):
        self.assertEqual(train("demix", self.data, self.folder / "run", "--max-update", 1).returncode, 0)
        checkpoint = self.folder / "run" / "checkpoint_last"
        self.refuse("demix-adapt", self.data, checkpoint, "--domain", "alpha", "--mode", "full", "--save-dir", self.folder / "a",
                    "--batch-size", 2**60, says=["--batch-size ", "needs at least"])
        self.refuse("demix-generate", checkpoint, "--data", self.data, "--samples", 4294967296, says=["--samples: "])
        self.refuse("demix-generate", checkpoint, "--data", self.data, "--max-tokens", 4294967296, says=["--max-tokens: "])
        # A batch is never more than the text.
        result = programs.evaluate(self.data, checkpoint, "--batch-size", 2**62)
        self.assertEqual(result["results"][0]["tokens"], programs.evaluate(self.data, checkpoint)["results"][0]["tokens"])

    def test_a_limit_of_the_shell_counts(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))

        done = train("dense", self.data, self.folder / "run", "--layers", 40, "--d-model", 512, preexec_fn=limit)
        self.assert_fails(done, 2, "training needs at least")


if __name__ == "__main__":
    unittest.main()
