"""The training commands of the original system, with all their options, in a smaller size."""

import json
import unittest

import programs
import tiny_data
from programs import files_of, metrics, run

DOMAINS = ["1b", "anonymized_openwebtext", "anonymized_realnews", "anonymized_reviews", "cs", "legal", "med", "reddit"]
# What the four commands have in common; {…} is what the original computes from the architecture, or another place.
COMMON = """--task multidomain_language_modeling --sample-break-mode none --log-format simple --log-interval 50
    --skip-invalid-size-inputs-valid-test --validate-interval-updates 2 --save-interval-updates 4 --keep-interval-updates 1
    --arch transformer_lm --criterion desynchronized_cross_entropy --lr-scheduler polynomial_decay --num-workers 2 --max-sentences 2
    --no-epoch-checkpoints --max-sentences-valid 2 --lr 5e-4 --tokens-per-sample 16 --optimizer adam --adam-eps 10e-8
    --weight-decay 0.1 --clip-norm 0.1 --max-update 5 --total-num-update 5 --warmup-updates 1 --update-freq 8
    --batch-size-valid 2 --wandb-project gpt3_experiments --required-batch-size-multiple 1 --memory-efficient-fp16
    --distributed-world-size 8 --distributed-port 12345 --all-gather-list-size 32000""".split()
OF_EXPERIMENT = {
    "demix": ["--desynchronize", "--domain-parallel", "--ddp-backend", "no_c10d", "--sync-type", "manual", "--untie-parameters",
              "feedforward", "--data-parallel-groups", "0 1 2 3 4 5 6 7"],
    "unbalanced": ["--unbalanced"],
    "dense": [],
    "domain-token": ["--add-domain-token"]}
WITHOUT_EFFECT = ["--memory-efficient-fp16", "--num-workers", "--wandb-project", "--distributed-port", "--all-gather-list-size"]
SMALLER = ["--layers", "1", "--d-model", "16", "--heads", "2", "--d-ffn", "32", "--threads", "1"]


class OriginalCommands(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "data-bin"
        tiny_data.write_data_bin(self.data, DOMAINS, 20)

    def train(self, experiment, save_dir, *arguments):
        names = ",".join(DOMAINS)
        return run(f"demix-train-{experiment}", self.data, *COMMON, *OF_EXPERIMENT[experiment], "--adam-betas", "(0.9, 0.95)",
                   "--save-dir", self.folder / save_dir, "--valid-subset", ",".join(f"valid_{name}" for name in DOMAINS),
                   "--train-domains", names, "--eval-domains", names, *SMALLER, *arguments)

    def test_each_trains_what_the_recipe_trains(self):
        for experiment, more in OF_EXPERIMENT.items():
            with self.subTest(experiment):
                done = self.train(experiment, experiment)
                self.assertEqual(done.returncode, 0, done.stderr)
                for option in WITHOUT_EFFECT + ["--ddp-backend"] * ("--ddp-backend" in more):
                    self.assertIn(f"demix-train-{experiment}: {option} has no effect: ", done.stderr)
                self.assertEqual(done.stderr.count("has no effect"), len(WITHOUT_EFFECT) + (experiment == "demix"))
                self.assertEqual([line["step"] for line in metrics(self.folder / experiment, "valid")], [2, 4, 5])
                again = self.folder / f"{experiment}-again"
                done = run(f"demix-train-{experiment}", self.data, "--save-dir", again, "--tokens-per-sample", 16, "--max-update", 5,
                           "--warmup-updates", 1, "--validate-interval-updates", 2, "--save-interval-updates", 4,
                           "--batch-size-valid", 2, *SMALLER)
                self.assertEqual(done.returncode, 0, done.stderr)
                first, second = (files_of(place / "checkpoint_5") for place in (self.folder / experiment, again))
                self.assertEqual(sorted(first), sorted(second))
                self.assertEqual([name for name in first if first[name] != second[name]], [])

    def test_what_is_not_so_here_is_refused(self):
        flags = {"demix": ["--unbalanced", "--add-domain-token"], "dense": ["--desynchronize", "--domain-parallel", "--unbalanced"],
                 "unbalanced": ["--add-domain-token"], "domain-token": ["--unbalanced"]}
        for experiment, others in flags.items():
            for flag in others:
                with self.subTest(experiment, flag=flag):
                    done = run(f"demix-train-{experiment}", self.data, "--save-dir", self.folder / "x", *SMALLER, flag)
                    self.assert_fails(done, 2, f"{flag} is for ")
        values = {"--optimizer=sgd": ["here it is always adam"], "--task=language_modeling": ["always multidomain_language_modeling"],
                  "--criterion=moe_cross_entropy": ["desynchronized_cross_entropy or cross_entropy"],
                  "--sample-break-mode=eos": ["none"], "--lr-scheduler=fixed": ["polynomial_decay"],
                  "--log-format=json": ["simple"], "--required-batch-size-multiple=8": ["1"],
                  "--untie-parameters=transformer": ["feedforward"], "--sync-type=auto": ["manual"],
                  "--distributed-world-size=32": ["one process", "--batch-size 8"], "--distributed-world-size=9": ["shared out"],
                  "--distributed-world-size=eight": ["expected a number"],
                  "--data-parallel-groups=0,1 2,3 4,5 6,7": ["'0 1 2 3 4 5 6 7'"],
                  "--valid-subset=valid": ["valid_DOMAIN"], "--valid-subset=valid_new": ["'new'", "not trained on"],
                  "--eval-domains=new": ["'new'", "not trained on"]}
        for option, says in values.items():
            with self.subTest(option):
                done = run("demix-train-demix", self.data, "--save-dir", self.folder / "x", *SMALLER, option)
                self.assert_fails(done, 2, option.split("=")[0], *says)
        done = self.train("dense", "x", "--data-parallel-groups", "0,1,2,3,4,5,6,7", "--fp16")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("demix-train-dense", self.data, "--save-dir", self.folder / "y", "--eval-domains", "1b", "--valid-subset", "valid_cs")
        self.assert_fails(done, 2, "--valid-subset and --eval-domains")
        self.assertFalse((self.folder / "y").exists())


class StartingFromCheckpoints(programs.ProgramTest):
    def train(self, save_dir, *arguments, experiment="demix"):
        return programs.train(experiment, self.data, self.folder / save_dir, *arguments)

    def steps(self, save_dir):
        return [line["step"] for line in metrics(self.folder / save_dir, "train")]

    def test_a_finished_run_is_extended(self):
        self.assertEqual(self.train("old", "--max-update", 4, "--log-interval", 1).returncode, 0)
        last = self.folder / "old" / "checkpoint_last"
        done = self.train("new", "--max-update", 7, "--log-interval", 1, "--lr", "1e-3", "--restore-file", last)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("continuing from", done.stderr)
        self.assertEqual(self.steps("new"), [5, 6, 7])
        self.assert_fails(self.train("newer", "--max-update", 4, "--restore-file", last), 1, "has had 4 updates already")

    def test_weights_alone_begin_a_new_run(self):
        self.assertEqual(self.train("old", "--max-update", 4).returncode, 0)
        last = self.folder / "old" / "checkpoint_last"
        for save_dir, options in {"a": ["--finetune-from-model", last], "b": ["--restore-file", last, "--reset-optimizer"]}.items():
            done = self.train(save_dir, "--max-update", 3, "--log-interval", 1, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("beginning with the weights of", done.stderr)
            self.assertEqual(self.steps(save_dir), [1, 2, 3])
        self.assertEqual(files_of(self.folder / "a" / "checkpoint_3"), files_of(self.folder / "b" / "checkpoint_3"))
        self.assert_fails(self.train("c", "--finetune-from-model", last, "--reset-optimizer"), 2, "--finetune-from-model")
        self.assert_fails(self.train("c", "--reset-optimizer"), 2, "--restore-file")
        self.assert_fails(self.train("c", "--finetune-from-model", last, "--d-model", 16), 1, "d-model=32", "d-model=16")
        self.assert_fails(self.train("c", "--finetune-from-model", last, experiment="dense"), 1, "with experts")
        self.assert_fails(self.train("c", "--finetune-from-model", self.folder / "none"), 1, "none")

    def test_neither_validation_nor_saving(self):
        done = self.train("run", "--max-update", 3, "--disable-validation", "--no-save")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(p.name for p in (self.folder / "run").iterdir()), [".lock", "metrics.jsonl"])
        self.assertEqual([json.loads(line)["type"] for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines()],
                         ["train"])
        self.assert_fails(self.train("x", "--disable-validation", "--patience", 2), 2, "--patience", "--disable-validation")

    def test_a_run_ends_by_patience_and_by_time(self):
        done = self.train("patient", "--max-update", 50, "--lr", "1e-30", "--validate-interval-updates", 1, "--patience", 3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("is over after update ", done.stderr)
        self.assertLess(metrics(self.folder / "patient", "valid")[-1]["step"], 50)
        done = self.train("hasty", "--max-update", 50, "--stop-time-hours", "1e-9")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(programs.evaluate(self.data, self.folder / "hasty" / "checkpoint_last")["step"], 1)


if __name__ == "__main__":
    unittest.main()
