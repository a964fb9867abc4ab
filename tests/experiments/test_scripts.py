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

    def script(self, name, *arguments, folder=".", **environment):
        words = [SCRIPTS / f"{name}.sh", *map(str, arguments)]
        own = {name for name in os.environ if name.startswith("DEMIX_") and name.endswith("_OPTIONS")}
        own.add("SERIALIZATION_DIR")
        environment = {name: value for name, value in os.environ.items() if name not in own} | environment
        return subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=self.folder / folder,
                              env=environment)

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
        facts = '#!/bin/sh\n[ "$1" = list ] && printf "experiment    %s, step 3\\n" "$(cat "$2/model.h5")"\n'
        (self.bin / "demix-experts").write_text(facts)
        (self.bin / "demix-experts").chmod(0o755)
        self.add_domains("law", "code")
        self.checkpoint = self.add_checkpoint("run", "law", "code")

    def add_domains(self, *names):
        for domain in names:
            (self.data / domain).mkdir(parents=True)
            (self.data / domain / "train.idx").touch()

    def add_checkpoint(self, run, *experts, experiment="demix"):
        """Its name, relative to self.folder."""
        checkpoint = self.folder / run / "checkpoint_last"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.h5").write_text(experiment)
        for name in experts:
            (checkpoint / "experts").mkdir(exist_ok=True)
            (checkpoint / f"experts/{name}.h5").touch()
        return f"{run}/checkpoint_last"

    def called(self, name, *arguments, said="", **environment):
        done = self.script(name, *arguments, DEMIX_BIN=str(self.bin), **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(said, done.stderr)
        return done.stdout.split("\n")[:-1]

    def refused(self, message, name, *arguments, **environment):
        done = self.script(name, *arguments, DEMIX_BIN=str(self.bin), **environment)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")

    def option(self, words, name):
        """The value of an option that stands there once."""
        self.assertEqual(words.count(name), 1, words)
        return words[words.index(name) + 1]

    def test_every_script_has_help_that_says_one_process_or_needs_no_word(self):
        for script in SCRIPTS.rglob("*.sh"):
            if script.name == "common.sh":
                continue
            done = self.script(script.relative_to(SCRIPTS).with_suffix(""), "--help")
            self.assertEqual(done.returncode, 0)
            usage = "eval_lm_single.sh" if script.name == "eval_lm.sh" else script.name
            self.assertTrue(done.stdout.startswith(f"Usage: {usage} "), done.stdout)
            self.assertTrue(os.access(script, os.X_OK))
            for words in ("DEMIX_BIN", "What differs from the original:", "OPTION...", "DEMIX_", "_OPTIONS"):
                self.assertIn(words, done.stdout)
            self.assertLessEqual(max(map(len, done.stdout.splitlines())), 120)
        for name in ("run_all", "ensemble_eval_lm", "dapt_small"):
            self.assertRegex(self.script(name, "--help").stdout, "[Oo]ne process")
        self.assertIn("SERIALIZATION_DIR", self.script("mix_experts", "--help").stdout)

    def test_too_few_and_too_many_arguments(self):
        for name, least, most in (
            ("run_all", 7, 8),
            ("eval_lm_single", 5, 6),
            ("ensemble_eval_lm", 5, 7),
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
            f"demix-train-demix {self.data} --arch transformer_lm --train-domains code,law --batch-size 2 "
            "--log-interval 50 --save-dir out/demix_2_GPUs_transformer_lm_a --max-update 7".split(),
        )
        for experiment, program, folder in (
            ("dense", "dense", "dense"),
            ("unbalanced", "unbalanced", "unbalanced_dense"),
            ("domain_token", "domain-token", "domain_token"),
            # By pattern, demix first, as in the original.
            ("unbalanced_dense", "unbalanced", "unbalanced_dense"),
            ("my_dense_2", "dense", "dense"),
            ("demix_dense", "demix", "demix"),
            ("x-domain_token", "domain-token", "domain_token"),
        ):
            words = self.called("run_all", "8", "1", "transformer_lm", experiment, self.data, "out", "b")
            self.assertEqual(words[0], f"demix-train-{program}")
            self.assertEqual(self.option(words, "--batch-size"), "8")
            self.assertEqual(words[-1], f"out/{folder}_8_GPUs_transformer_lm_b")

        def but(place, value):
            return [*good[:place], value, *good[place + 1 :]]

        self.refused("NUM_GPUS: '0' is not", "run_all", *but(0, "0"))
        self.refused("PORT: 'x' is not", "run_all", *but(1, "x"))
        for experiment in ("switch", "gshard", "switch_top1"):
            self.refused(f"'{experiment}': no program of demix trains", "run_all", *but(3, experiment))
        self.refused("'sparse' is none of", "run_all", *but(3, "sparse"))
        self.refused("is not a folder", "run_all", *but(4, "nowhere"))
        self.refused("has no domain", "run_all", *but(4, self.bin))
        self.refused("'fast' is not debug", "run_all", *good, "fast")

    def test_the_tutorials_domains(self):
        good = ["8", "1", "transformer_lm", "demix", self.data, "out", "a", "debug"]
        self.add_domains("amazon", "chemprot", "citation_intent", "hp-news", "imdb", "1b_test")
        self.refused("has no train.idx of ag_news|ag rct|rct-20k|legal_contracts; choose", "run_all", *good)
        self.add_domains("ag", "rct")
        words = self.called("run_all", *good)
        sorted_names = ["1b_test", "ag", "amazon", "chemprot", "citation_intent", "hp-news", "imdb", "rct"]
        self.assertEqual(sorted(sorted_names), sorted_names)
        self.assertEqual(self.option(words, "--train-domains"), ",".join(sorted_names))
        self.assertEqual(self.option(words, "--batch-size"), "2")
        # The list of run_all.sh itself, and what its data repository makes.
        for old, new in (("ag", "ag_news"), ("hp-news", "hyperpartisan_news"), ("rct", "legal_contracts")):
            (self.data / old).rename(self.data / new)
        words = self.called("run_all", *good, LC_ALL="en_US.UTF-8")
        self.assertEqual(
            self.option(words, "--train-domains"),
            "1b_test,ag_news,amazon,chemprot,citation_intent,hyperpartisan_news,imdb,legal_contracts",
        )
        self.refused("cannot be shared out evenly among 8 domains", "run_all", "3", *good[1:])

    def test_the_papers_domains_where_all_are_there_else_all(self):
        good = ["8", "1", "transformer_lm", "dense", self.data, "out", "a"]
        self.add_domains("1b", "cs", "legal", "med", "reddit", "anonymized_openwebtext", "anonymized_realnews")
        message = "2 x 8 sequences of a batch cannot be shared out evenly among 9 domains; choose the domains with -- --train"
        self.refused(message, "run_all", *good)
        words = self.called("run_all", *good, "--", "--batch-size=3")
        self.assertEqual(len(self.option(words, "--train-domains").split(",")), 9)
        self.assertIn("--batch-size=3", words)
        self.assertNotIn("--batch-size", words)
        self.add_domains("reviews", "anonymized_reviews")
        words = self.called("run_all", *good)
        self.assertEqual(
            self.option(words, "--train-domains"),
            "1b,anonymized_openwebtext,anonymized_realnews,anonymized_reviews,cs,legal,med,reddit",
        )
        self.assertEqual(self.option(words, "--batch-size"), "2")

    def test_domains_behind_the_dashes(self):
        good = ["8", "1", "transformer_lm", "demix", self.data, "out", "a"]
        self.add_domains("maths")
        words = self.called("run_all", *good, "--", "--train-domains", "maths,law")
        self.assertEqual(self.option(words, "--train-domains"), "maths,law")
        self.assertEqual(self.option(words, "--batch-size"), "8")
        words = self.called("run_all", *good, "debug", "--", "--train-domains=code")
        self.assertIn("--train-domains=code", words)
        self.assertNotIn("--train-domains", words)
        self.assertEqual(self.option(words, "--batch-size"), "16")
        self.refused("among 3 domains; choose", "run_all", *good, "--", "--train-domains", "maths,law,code")

    def test_options_from_the_environment(self):
        good = ["8", "1", "transformer_lm", "demix", self.data, "out", "a"]
        some = "--layers 1 --max-update=3\n --threads 1"
        words = self.called("run_all", *good, "--", "--max-update", "7", DEMIX_TRAIN_OPTIONS=some)
        self.assertEqual(words[-6:], "--layers 1 --threads 1 --max-update 7".split())
        words = self.called("run_all", *good, DEMIX_TRAIN_OPTIONS="--train-domains law")
        self.assertEqual(self.option(words, "--batch-size"), "16")
        self.refused("DEMIX_TRAIN_OPTIONS: '3' is no option", "run_all", *good, DEMIX_TRAIN_OPTIONS="3 --layers 1")
        words = self.called("eval_lm_single", self.data, self.checkpoint, "o", "test", "law", DEMIX_EVAL_OPTIONS="--json j")
        self.assertEqual(self.option(words, "--json"), "j")
        words = self.called("dapt_small", self.data, "news", self.checkpoint, "full", "out", DEMIX_ADAPT_OPTIONS="--lr 1")
        self.assertEqual(self.option(words, "--lr"), "1")
        for script in ("mix_experts", "ensemble_eval_lm"):
            words = self.called(script, self.data, self.checkpoint, "law", "law", "o", "estimate", "--", "--top-k", "1",
                                DEMIX_MIX_OPTIONS="--batch-size 5 --top-k 2")
            self.assertEqual((self.option(words, "--batch-size"), self.option(words, "--top-k")), ("5", "1"))

    def test_the_tutorials_scripts(self):
        self.add_domains("1b_test", "ag_news", "amazon", "chemprot", "citation_intent", "hp-news", "imdb", "legal_contracts")
        good = ["8", "1", "transformer_lm_gpt3_small", "demix", self.data, "out", "a"]
        words = self.called("tutorial/train", *good, "--", "--max-update", "9")
        self.assertEqual(len(self.option(words, "--train-domains").split(",")), 8)
        self.assertEqual((self.option(words, "--tokens-per-sample"), self.option(words, "--max-update")), ("128", "9"))
        for checkpoint, updates in ((f"{self.checkpoint}-rank-0.pt", "1000"),
                                    (self.add_checkpoint("dense", experiment="dense"), "750")):
            words = self.called("tutorial/dapt", self.data, "news", checkpoint, "feedforward", "out", "s")
            self.assertEqual(self.option(words, "--max-update"), updates)
            self.assertEqual(self.option(words, "--save-interval-updates"), "200")
            self.assertEqual((self.option(words, "--lr"), self.option(words, "--batch-size")), ("5e-5", "16"))
        mix = ["tutorial/mix_eval_lm", "8", self.data, self.checkpoint, "law", "o"]
        for ensemble in ("cached_prior", "simple_average"):
            words = self.called(*mix, "eval", "0.1,0.9", ensemble)
            self.assertEqual(self.option(words, "--ensemble"), ensemble)
            self.assertEqual("--prior" in words, ensemble == "cached_prior")
        self.assertNotIn("--ensemble", self.called(*mix, "eval", "0.1,0.9"))
        self.assertEqual(self.option(self.called(*mix, "estimate"), "--max-batches"), "101")
        self.refused("ENSEMBLE is for eval", *mix, "estimate", "", "uniform_prior")
        self.refused("eval needs PRIOR", *mix, "eval")
        self.refused("NUM_GPUS: 'x' is not", mix[0], "x", *mix[2:], "estimate")

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
            f"demix-eval {self.data} {self.checkpoint} --split test --domain law --output o.json".split(),
        )
        expert = f"{self.checkpoint}/experts/code.h5"
        words = self.called("eval_lm_single", self.data, expert, "o.json", "valid", "law")
        self.assertEqual(words[2], self.checkpoint)
        self.assertEqual(words[-2:], "--expert code".split())
        self.refused("there is no checkpoint 'x'", "eval_lm_single", self.data, "x", "o", "test", "law")

    def test_a_domain_token_is_for_models_that_have_tokens(self):
        tokens = self.add_checkpoint("tokens", experiment="domain_token")
        words = self.called("eval_lm_single", self.data, tokens, "o", "valid", "law", "code")
        self.assertEqual(self.option(words, "--domain-token"), "code")
        dense = self.add_checkpoint("domain_token_in_name_only", experiment="dense")
        for model in (self.checkpoint, f"{self.checkpoint}-rank-0.pt", dense, f"{dense}.pt"):
            words = self.called("eval_lm_single", self.data, model, "o", "valid", "law", "code",
                                said="DOMAIN_TOKEN 'code' is ignored")
            self.assertNotIn("--domain-token", words)
        (self.bin / "demix-experts").unlink()
        done = self.script("eval_lm_single", self.data, tokens, "o", "valid", "law", "code", DEMIX_BIN=str(self.bin))
        self.assertEqual(done.returncode, 1)
        self.assertIn("demix-experts is missing", done.stderr)

    def evaluated(self, checkpoint, **environment):
        """The checkpoint and the expert, if any, that eval_lm_single.sh takes."""
        words = self.called("eval_lm_single", self.data, checkpoint, "o", "test", "law", **environment)
        return (words[2], self.option(words, "--expert")) if "--expert" in words else (words[2],)

    def test_the_originals_names_of_checkpoints(self):
        self.assertEqual(self.evaluated("run/checkpoint_last.pt"), (self.checkpoint,))
        # Ranks in alphabetical order; as many as there are experts, or as the run's folder says.
        for rank, expert in ((0, "code"), (1, "law")):
            self.assertEqual(self.evaluated(f"run/checkpoint_last-rank-{rank}.pt"), (self.checkpoint, expert))
        self.refused("rank 2: 'run/checkpoint_last' stands for a model of 2 ranks, 0 to 1", "eval_lm_single", self.data,
                     "run/checkpoint_last-rank-2.pt", "o", "test", "law")
        names = ["1b", "B", "a", "b", "c-d", "cd", "x_1", "x1"]
        self.assertEqual(sorted(names), ["1b", "B", "a", "b", "c-d", "cd", "x1", "x_1"])
        for ranks in (8, 32, 12):
            big = self.add_checkpoint(f"demix_{ranks}_GPUs_x", *names)
            for rank in (0, 1, 3, 4, 7, 9, 11, 27, 31):
                if rank < ranks:
                    expected = sorted(names)[rank * 8 // ranks]
                    self.assertEqual(self.evaluated(f"{big}-rank-{rank:02}.pt", LC_ALL="en_US.UTF-8"), (big, expected))
        done = self.script("eval_lm_single", self.data, "checkpoint_last-rank-31.pt", "o", "test", "law",
                           DEMIX_BIN=str(self.bin), folder="demix_32_GPUs_x")
        self.assertEqual(self.option(done.stdout.split("\n"), "--expert"), "x_1")
        # An adapted expert is every rank's.
        adapted = self.add_checkpoint("adapted", "news")
        self.assertEqual(self.evaluated(f"{adapted}-rank-0.pt"), (adapted, "news"))
        self.assertEqual(self.evaluated(f"{adapted}-rank-5.pt"), (adapted, "news"))
        words = self.called("dapt_small", self.data, "news", f"{self.checkpoint}-rank-1.pt", "feedforward", "out")
        self.assertEqual((words[2], self.option(words, "--from")), (self.checkpoint, "law"))
        ranks = ":".join(f"{self.checkpoint}-rank-{rank}.pt" for rank in (1, 0))
        words = self.called("ensemble_eval_lm", self.data, f"{ranks}:{adapted}-rank-0.pt", "law", "law", "o", "estimate")
        self.assertEqual((words[2], self.option(words, "--experts")), (self.checkpoint, f"law,code,{adapted}:news"))

    def test_what_no_checkpoint_has_the_name_of(self):
        def refused(message, checkpoint):
            self.refused(message, "eval_lm_single", self.data, checkpoint, "o", "test", "law")

        dense = self.add_checkpoint("runs/dense_8_GPUs_x", experiment="dense")
        refused("has no experts, so it has no file of rank 3", f"{dense}-rank-3.pt")
        refused("there is no checkpoint 'no/checkpoint_last'", "no/checkpoint_last.pt")
        refused("there is no checkpoint 'no/checkpoint_last'", "no/checkpoint_last-rank-0.pt")
        refused("there is no checkpoint '.pt'", ".pt")
        (self.folder / "theirs.pt").touch()
        refused("'theirs.pt' is a file of PyTorch's", "theirs.pt")
        # The original's README leaves out the folder of the run.
        self.assertEqual(self.evaluated("runs/checkpoint_last.pt", said="is taken for 'runs/dense_8_GPUs_x/"), (dense,))
        demix = self.add_checkpoint("runs/demix_8_GPUs_x", "code", "law")
        self.assertEqual(self.evaluated("runs/checkpoint_last-rank-4.pt"), (demix, "law"))
        refused("which checkpoint is 'runs/checkpoint_last.pt'? 'runs/demix_8_GPUs_x/checkpoint_last' 'runs/dense",
                "runs/checkpoint_last.pt")

    def test_ensemble_eval_lm(self):
        two = f"{self.checkpoint}/experts/code.h5:{self.checkpoint}/experts/law.h5"
        for domain in (["law"], ["law", "law"]):
            self.assertEqual(
                self.called("ensemble_eval_lm", self.data, two, *domain, "o", "eval", "0.1,0.9"),
                f"demix-mix {self.data} {self.checkpoint} --domain law --mode eval --output o --batch-size 2 "
                "--posterior previous_token --prior 0.1,0.9 --experts code,law".split(),
            )
            self.assertEqual(
                self.called("ensemble_eval_lm", self.data, self.checkpoint, *domain, "o", "estimate"),
                f"demix-mix {self.data} {self.checkpoint} --domain law --mode estimate --output o --batch-size 2 "
                "--max-batches 101 --posterior previous_token".split(),
            )
        other = self.folder / "other/checkpoint_best/experts/news.h5"
        other.parent.mkdir(parents=True)
        other.touch()
        words = self.called("ensemble_eval_lm", self.data, f"{two}:{other}", "law", "law", "o", "estimate")
        self.assertEqual(words[-1], f"code,law,{other.parents[1]}:news")
        good = [self.data, self.checkpoint, "law", "law", "o"]
        mine = self.called("ensemble_eval_lm", *good, "estimate", "--", "--posterior=prefix", "--max-batches", "3")
        self.assertIn("--posterior=prefix", mine)
        self.assertNotIn("--posterior", mine)
        self.assertEqual((self.option(mine, "--max-batches"), self.option(mine, "--batch-size")), ("3", "2"))
        self.refused("eval needs PRIOR", "ensemble_eval_lm", *good, "eval")
        self.refused("PRIOR is for eval", "ensemble_eval_lm", *good, "estimate", "0.5,0.5")
        self.refused("'guess' is neither", "ensemble_eval_lm", *good, "guess")
        self.refused("expected estimate, or eval and PRIOR", "ensemble_eval_lm", *good)
        self.refused("expected estimate, or eval and PRIOR", "ensemble_eval_lm", *good[:4], "eval", "1,0", "x")
        self.refused("are not the same", "ensemble_eval_lm", *good[:3], "code", "o", "estimate")
        self.refused("'run' chooses no expert", "ensemble_eval_lm", self.data, f"{two}:run", *good[2:], "estimate")
        for empty in ("", f"{two}:"):
            self.refused("which checkpoint", "ensemble_eval_lm", self.data, empty, *good[2:], "estimate")

    def test_priors(self):
        for script in ("ensemble_eval_lm", "mix_experts"):
            good = [self.data, self.checkpoint, "law", "law", "o", "eval"]
            self.assertEqual(self.option(self.called(script, *good, "[0.1, 0.9]"), "--prior"), "[0.1, 0.9]")
            for ensemble in (["--ensemble", "uniform_prior"], ["--ensemble=simple_average,updating_prior"]):
                self.assertNotIn("--prior", self.called(script, *good, "--", *ensemble))
                words = self.called(script, *good, "0.1,0.9", "--", *ensemble, said="PRIOR '0.1,0.9' is ignored")
                self.assertNotIn("--prior", words)
            both = ["--", "--ensemble", "uniform_prior,cached_prior"]
            self.assertEqual(self.option(self.called(script, *good, "1,0", *both), "--prior"), "1,0")
            self.refused("eval needs PRIOR", script, *good, *both)
            words = self.called(script, *good, "--", "--prior", "0,1")
            self.assertEqual(self.option(words, "--prior"), "0,1")
            self.refused("give one of them", script, *good, "1,0", "--", "--prior", "0,1")

    def test_mix_experts(self):
        for model in ("run", self.checkpoint):
            words = self.called("mix_experts", self.data, model, "law", "law", "o", "eval", "p.jsonl", "--", "--json", "j")
            self.assertEqual(
                words,
                f"demix-mix {self.data} {self.checkpoint} --domain law --mode eval --output o --batch-size 2 "
                "--posterior previous_token --prior p.jsonl --json j".split(),
            )
        (self.folder / "run/joined").mkdir()
        words = self.called("mix_experts", self.data, "run", "law", "law", "o", "estimate")
        self.assertEqual(words[2], "run/joined")
        nowhere = ("mix_experts", self.data, "demix_32_GPUs_x", "law", "law", "o", "estimate")
        self.refused("'demix_32_GPUs_x'; a name is looked for in SERIALIZATION_DIR, which is not set", *nowhere)
        self.refused("and no 'runs/demix_32_GPUs_x'", *nowhere, SERIALIZATION_DIR="runs")
        model = self.add_checkpoint("runs/demix_32_GPUs_x", "law")
        self.assertEqual(self.called(*nowhere, SERIALIZATION_DIR="runs")[2], model)

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
            "--update-freq 8 --lr 5e-5 --dropout 0 --max-update 100 --validate-interval-updates 0 --save-interval-updates 0 "
            "--log-interval 50 --from law".split(),
        )
        self.refused("neither feedforward nor full", "dapt_small", self.data, "news", self.checkpoint, "half", "out")

    def test_a_missing_program_is_named(self):
        done = self.script("eval_lm_single", self.data, self.checkpoint, "o", "test", "law", DEMIX_BIN="/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/demix-eval is missing", done.stderr)

    def test_the_build_is_found_through_a_link_to_the_scripts(self):
        repository = self.folder / "repository"
        (repository / "examples").mkdir(parents=True)
        shutil.copytree(SCRIPTS, repository / "examples/scripts")
        (repository / "scripts").symlink_to("examples/scripts")
        (repository / "build/release").mkdir(parents=True)
        (repository / "build/release/examples").symlink_to(self.bin)
        environment = {name: value for name, value in os.environ.items() if name != "DEMIX_BIN"}
        words = ["bash", "scripts/eval_lm_single.sh", self.data, self.folder / self.checkpoint, "o", "test", "law"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=repository, env=environment)
        self.assertEqual(done.stdout.split("\n")[0], "demix-eval", done.stderr)
        self.assertTrue((SCRIPTS.parents[1] / "scripts/run_all.sh").samefile(SCRIPTS / "run_all.sh"))


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
        own, other, tokens = (json.loads((self.folder / f"{file}.json").read_text()) for file in ("own", "other", "token"))
        for line, model, dataset in ((own, f"{demix}/experts/alpha.h5", "test_alpha"),
                                     (other, f"{demix}/experts/beta.h5", "test_alpha"), (tokens, token, "valid_alpha")):
            self.assertEqual((line["model"], line["dataset"], sorted(line)), (model, dataset, ["dataset", "model", "ppl"]))
        self.assertNotEqual(own["ppl"], other["ppl"])

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
