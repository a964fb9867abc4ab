"""The scripts with the original's arguments: what they refuse, and what they do on tiny data."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import tiny_data

SCRIPTS = Path(__file__).resolve().parents[2] / "examples/scripts"
SMALL = "--layers 1 --d-model 16 --heads 2 --d-ffn 32 --tokens-per-sample 16 --max-update 3 --update-freq 1".split()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="demix-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "data"

    def script(self, name, *arguments, **environment):
        words = [SCRIPTS / f"{name}.sh", *map(str, arguments)]
        environment = {**os.environ, **environment}
        return subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=self.folder, env=environment)

    def run_script(self, name, *arguments):
        done = self.script(name, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done


class WrongArguments(Case):
    """With a program that only says what it was called with."""

    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in ("train-dense", "train-unbalanced", "train-domain-token", "train-demix", "eval", "mix", "adapt"):
            (self.bin / f"demix-{name}").write_text('#!/bin/sh\nprintf "%s\\n" "$(basename "$0")" "$@"\n')
            (self.bin / f"demix-{name}").chmod(0o755)
        for domain in ("law", "code"):
            (self.data / domain).mkdir(parents=True)
            (self.data / domain / "train.idx").touch()
        for name in ("law", "code"):
            path = self.folder / f"run/checkpoint_last/experts/{name}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        self.checkpoint = "run/checkpoint_last"

    def called(self, name, *arguments):
        done = self.script(name, *arguments, DEMIX_BIN=str(self.bin))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split("\n")[:-1]

    def refused(self, message, name, *arguments):
        done = self.script(name, *arguments, DEMIX_BIN=str(self.bin))
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_every_script_has_help_that_says_one_process_or_needs_no_word(self):
        for script in SCRIPTS.glob("*.sh"):
            if script.name == "common.sh":
                continue
            done = self.script(script.stem, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith(f"Usage: {script.name} "), done.stdout)
            self.assertTrue(os.access(script, os.X_OK))
        for name in ("run_all", "ensemble_eval_lm", "dapt_small"):
            self.assertRegex(self.script(name, "--help").stdout, "[Oo]ne process")

    def test_too_few_and_too_many_arguments(self):
        for name, least, most in (
            ("run_all", 7, 8),
            ("eval_lm_single", 5, 6),
            ("ensemble_eval_lm", 6, 7),
            ("mix_experts", 6, 7),
            ("dapt_small", 5, 6),
        ):
            self.refused(f"0 arguments, expected {least} to {most}", name)
            self.refused(f"{most + 1} arguments, expected", name, *["x"] * (most + 1))
            self.refused("'--quiet' has no meaning here", name, "--quiet")

    def test_run_all(self):
        good = ["2", "1234", "transformer_lm", "demix", self.data, "out", "a"]
        self.assertEqual(
            self.called("run_all", *good, "--", "--max-update", "7"),
            f"demix-train-demix {self.data} --train-domains code,law --arch transformer_lm --batch-size 2 "
            "--log-interval 50 --save-dir out/demix_2_GPUs_transformer_lm_a --max-update 7".split(),
        )
        for experiment, program, folder in (
            ("dense", "dense", "dense"),
            ("unbalanced", "unbalanced", "unbalanced_dense"),
            ("domain_token", "domain-token", "domain_token"),
        ):
            words = self.called("run_all", "8", "1", "transformer_lm", experiment, self.data, "out", "b")
            self.assertEqual(words[0], f"demix-train-{program}")
            self.assertEqual(words[words.index("--batch-size") + 1], "8")
            self.assertEqual(words[-1], f"out/{folder}_8_GPUs_transformer_lm_b")
        words = self.called("run_all", "8", *good[1:], "debug")
        tutorial = "ag_news,amazon,chemprot,citation_intent,hp-news,imdb,rct,1b_test"
        self.assertEqual(words[words.index("--train-domains") + 1], tutorial)
        self.assertEqual(words[words.index("--batch-size") + 1], "2")

        def but(place, value):
            return [*good[:place], value, *good[place + 1 :]]

        self.refused("NUM_GPUS: '0' is not", "run_all", *but(0, "0"))
        self.refused("PORT: 'x' is not", "run_all", *but(1, "x"))
        self.refused("'switch' is none of", "run_all", *but(3, "switch"))
        self.refused("is not a folder", "run_all", *but(4, "nowhere"))
        self.refused("has no domain", "run_all", *but(4, self.bin))
        self.refused("'fast' is not debug", "run_all", *good, "fast")
        self.refused("cannot be shared out evenly among 8 domains", "run_all", *good, "debug")

    def test_options_behind_the_dashes_replace_the_recipes(self):
        words = self.called(
            "dapt_small", self.data, "news", self.checkpoint, "full", "out", "--", "--lr=1", "--max-update", "5"
        )
        self.assertIn("--lr=1", words)
        self.assertEqual((words.count("--lr"), words.count("--max-update")), (0, 1))
        self.assertEqual(words[words.index("--batch-size") + 1], "16")

    def test_eval_lm_single(self):
        self.assertEqual(
            self.called("eval_lm_single", self.data, self.checkpoint, "o.json", "test", "law"),
            f"demix-eval {self.data} {self.checkpoint} --split test --domain law --json o.json".split(),
        )
        expert = f"{self.checkpoint}/experts/code.h5"
        words = self.called("eval_lm_single", self.data, expert, "o.json", "valid", "law", "code")
        self.assertEqual(words[2], self.checkpoint)
        self.assertEqual(words[-4:], "--expert code --domain-token code".split())
        self.refused("there is no checkpoint 'x'", "eval_lm_single", self.data, "x", "o", "test", "law")

    def test_ensemble_eval_lm(self):
        two = f"{self.checkpoint}/experts/code.h5:{self.checkpoint}/experts/law.h5"
        self.assertEqual(
            self.called("ensemble_eval_lm", self.data, two, "law", "law", "o", "eval", "0.1,0.9"),
            f"demix-mix {self.data} {self.checkpoint} --domain law --mode eval --output o --prior 0.1,0.9 "
            "--experts code,law".split(),
        )
        other = self.folder / "other/checkpoint_best/experts/news.h5"
        other.parent.mkdir(parents=True)
        other.touch()
        words = self.called("ensemble_eval_lm", self.data, f"{two}:{other}", "law", "law", "o", "estimate")
        self.assertEqual(words[-1], f"code,law,{other.parents[1]}:news")
        words = self.called("ensemble_eval_lm", self.data, self.checkpoint, "law", "law", "o", "estimate")
        self.assertNotIn("--experts", words)
        good = [self.data, self.checkpoint, "law", "law", "o"]
        self.refused("eval needs PRIOR", "ensemble_eval_lm", *good, "eval")
        self.refused("PRIOR is for eval", "ensemble_eval_lm", *good, "estimate", "0.5,0.5")
        self.refused("'guess' is neither", "ensemble_eval_lm", *good, "guess")
        self.refused("are not the same", "ensemble_eval_lm", *good[:3], "code", "o", "estimate")
        self.refused(
            "is not the file of an expert", "ensemble_eval_lm", self.data, f"{two}:run", *good[2:], "estimate"
        )
        for empty in ("", f"{two}:"):
            self.refused("which checkpoint", "ensemble_eval_lm", self.data, empty, *good[2:], "estimate")

    def test_mix_experts(self):
        for model in ("run", self.checkpoint):
            words = self.called("mix_experts", self.data, model, "law", "law", "o", "eval", "p.jsonl", "--", "--json", "j")
            self.assertEqual(
                words,
                f"demix-mix {self.data} {self.checkpoint} --domain law --mode eval --output o --prior p.jsonl "
                "--json j".split(),
            )
        (self.folder / "run/joined").mkdir()
        words = self.called("mix_experts", self.data, "run", "law", "law", "o", "estimate")
        self.assertEqual(words[2], "run/joined")
        self.refused("there is no folder", "mix_experts", self.data, "x", "law", "law", "o", "estimate")

    def test_an_unfinished_adaptation_is_not_mixed(self):
        arguments = (self.data, "run", "law", "law", "o", "estimate")
        (self.folder / "run/adapt.json").touch()
        self.refused("the adaptation in 'run' has not finished", "mix_experts", *arguments)
        (self.folder / "run/joined").mkdir()
        self.assertEqual(self.called("mix_experts", *arguments)[2], "run/joined")
        # Without experts nothing is joined: the last checkpoint is the result.
        (self.folder / "tokens/checkpoint_last").mkdir(parents=True)
        (self.folder / "tokens/adapt.json").touch()
        words = self.called("mix_experts", self.data, "tokens", *arguments[2:])
        self.assertEqual(words[2], "tokens/checkpoint_last")
        (self.folder / "begun").mkdir()
        (self.folder / "begun/adapt.json").touch()
        self.refused("the adaptation in 'begun' has not finished", "mix_experts", self.data, "begun", *arguments[2:])

    def test_a_file_that_is_no_experts_is_refused(self):
        (self.folder / "run/checkpoint_last/model.h5").touch()
        model = f"{self.checkpoint}/model.h5"
        self.refused("is not the file of an expert", "eval_lm_single", self.data, model, "o", "test", "law")
        self.refused("is not the file of an expert", "dapt_small", self.data, "news", model, "full", "out")
        self.refused("is not the file of an expert", "ensemble_eval_lm", self.data, model, "law", "law", "o", "estimate")

    def test_dapt_small(self):
        self.assertEqual(
            self.called("dapt_small", self.data, "news", f"{self.checkpoint}/experts/law.h5", "feedforward", "out", "s"),
            f"demix-adapt {self.data} {self.checkpoint} --domain news --mode feedforward --save-dir out --batch-size 16 "
            "--update-freq 8 --lr 5e-5 --max-update 100 --validate-interval-updates 0 --save-interval-updates 0 "
            "--log-interval 50 --from law".split(),
        )
        self.refused("neither feedforward nor full", "dapt_small", self.data, "news", self.checkpoint, "half", "out")

    def test_a_missing_program_is_named(self):
        done = self.script("eval_lm_single", self.data, self.checkpoint, "o", "test", "law", DEMIX_BIN="/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/demix-eval is missing", done.stderr)


class OnTinyData(Case):
    """From training to a mixture with an adapted expert, by the scripts alone."""

    def setUp(self):
        super().setUp()
        tiny_data.write_data_bin(self.data)

    def test_the_whole_way(self):
        old = self.folder / "old-data"
        shutil.copytree(self.data, old)
        shutil.rmtree(old / "gamma")
        name = "2_GPUs_transformer_lm_t"
        for experiment in ("demix", "dense", "unbalanced", "domain_token"):
            self.run_script("run_all", 2, 1, "transformer_lm", experiment, old, "runs", "t", "--", *SMALL)
        demix = f"runs/demix_{name}/checkpoint_last"
        self.run_script("eval_lm_single", self.data, demix, "own.json", "test", "alpha")
        self.run_script("eval_lm_single", self.data, f"{demix}/experts/beta.h5", "other.json", "test", "alpha")
        token = f"runs/domain_token_{name}/checkpoint_last"
        self.run_script("eval_lm_single", self.data, token, "token.json", "valid", "alpha", "beta")
        for folder in (f"runs/dense_{name}", f"runs/unbalanced_dense_{name}"):
            self.run_script("eval_lm_single", self.data, f"{folder}/checkpoint_last", "any.json", "test", "gamma")
        own, other, tokens = (
            json.loads((self.folder / f"{file}.json").read_text())["results"][0] for file in ("own", "other", "token")
        )
        self.assertEqual((own["expert"], other["expert"], tokens["domain_token"]), ("alpha", "beta", "beta"))
        self.assertNotEqual(own["perplexity"], other["perplexity"])

        quick = ["--", "--max-update", 2, "--batch-size", 2, "--update-freq", 1]
        self.run_script("dapt_small", self.data, "gamma", demix, "feedforward", "gamma-run", "t", *quick)
        self.run_script("dapt_small", self.data, "gamma", f"runs/dense_{name}/checkpoint_last", "full", "full", *quick)
        self.run_script("mix_experts", self.data, "gamma-run", "gamma", "gamma", "prior.jsonl", "estimate")
        json_out = ["--", "--json", "mixture.json"]
        self.run_script("mix_experts", self.data, "gamma-run", "gamma", "gamma", "o", "eval", "prior.jsonl", *json_out)
        mixed = json.loads((self.folder / "mixture.json").read_text())
        self.assertEqual(mixed["experts"], ["alpha", "beta", "gamma"])
        self.assertEqual([r["ensemble"] for r in mixed["results"]], ["cached_prior"])

        # The same experts, named one by one, the new one from the run's own checkpoint.
        files = [f"{demix}/experts/{old_name}.h5" for old_name in ("alpha", "beta")]
        files.append("gamma-run/checkpoint_last/experts/gamma.h5")
        last = json.loads((self.folder / "prior.jsonl").read_text().splitlines()[-1])
        prior = ",".join(map(repr, last["exp_avg_posterior"]))
        self.run_script(
            "ensemble_eval_lm", self.data, ":".join(files), "gamma", "gamma", "o2", "eval", prior, "--", "--json", "2.json"
        )
        again = json.loads((self.folder / "2.json").read_text())
        self.assertAlmostEqual(mixed["results"][0]["perplexity"], again["results"][0]["perplexity"], delta=1e-6)


if __name__ == "__main__":
    unittest.main()
