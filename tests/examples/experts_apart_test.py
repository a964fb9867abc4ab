"""Experts trained apart (--freeze-shared, --only-domains) and brought together again, as a user does it."""

import os
import shutil
import signal
import subprocess
import time
import unittest

import programs
import tiny_data
from programs import BIN, ProgramTest, evaluate, files_of, metrics, run, small, train

NAMES = ["alpha", "beta", "gamma"]
RUN = ["--dropout", "0.1", "--clip-norm", "0.1"]


class ApartTest(ProgramTest):
    def setUp(self):
        super().setUp()
        done = train("demix", self.data, self.folder / "base", "--max-update", 30, *RUN)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.base = (self.folder / "base" / "checkpoint_last").resolve()

    def apart(self, name, *options, start="--finetune-from-model", data=None):
        updates = [] if "--max-update" in options else ["--max-update", 20 if start == "--finetune-from-model" else 50]
        return train("demix", data or self.data, self.folder / name, "--freeze-shared", start, self.base, *RUN, *updates, *options)

    def trained(self, name, *options, **more):
        done = self.apart(name, *options, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.folder / name / "checkpoint_last"

    def assert_close(self, found, expected):
        """Up to rounding; another start, other text or other clipping differs by more (tests/train/experts_apart_test.cpp has bits)."""
        self.assertEqual(list(found), list(expected))
        for name, value in expected.items():
            self.assertAlmostEqual(found[name] / value, 1, delta=1e-5, msg=name)

    def experts(self, *arguments):
        done = run("demix-experts", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def perplexities(self, checkpoint):
        return {row["domain"]: row["perplexity"] for row in evaluate(self.data, checkpoint)["results"]}


class ExpertsApart(ApartTest):
    def test_parts_trained_apart_are_one_run_of_all(self):
        for start in ("--finetune-from-model", "--restore-file"):
            with self.subTest(start):
                tag = start.strip("-")
                together = self.perplexities(self.trained(f"{tag}-all", start=start))
                alpha = self.trained(f"{tag}-a", "--only-domains", "alpha", start=start)
                others = self.trained(f"{tag}-gb", "--only-domains", "gamma,beta", start=start)
                for part, names in ((alpha, ["alpha"]), (others, ["beta", "gamma"])):
                    experts = {f"{folder}/{name}.h5" for folder in ("experts", "state") for name in names}
                    self.assertEqual(set(files_of(part)), {"model.h5", "state.h5"} | experts)
                    self.assert_close(self.perplexities(part), {name: together[name] for name in names})
                joined = self.folder / f"{tag}-joined"
                self.experts("replace", self.base, f"{alpha}:alpha", f"{others}:beta", f"{others}:gamma", "--output", joined)
                # The body is the base's, to the last byte of its file, and the experts are those of the parts.
                files = files_of(joined)
                self.assertEqual(files["model.h5"], (self.base / "model.h5").read_bytes())
                self.assertEqual(files["experts/beta.h5"], (others / "experts" / "beta.h5").read_bytes())
                self.assertEqual(self.perplexities(joined), {**self.perplexities(alpha), **self.perplexities(others)})

    def test_the_others_keep_their_bytes_and_the_trained_learn(self):
        before = files_of(self.base)
        beta = self.trained("beta", "--only-domains", "beta", "--validate-interval-updates", 5, "--log-interval", 1)
        self.assertEqual(files_of(self.base), before)
        valid, old = metrics(self.folder / "beta", "valid"), self.perplexities(self.base)
        self.assertEqual([list(line["perplexity"]) for line in valid], [["beta"]] * 4)
        self.assertTrue(all(list(line["loss_by_domain"]) == ["beta"] for line in metrics(self.folder / "beta", "train")))
        joined = self.folder / "joined"
        self.experts("replace", self.base, f"{beta}:beta", "--output", joined)
        after = self.perplexities(joined)
        self.assertLess(after["beta"], 0.95 * old["beta"])
        self.assertEqual({name: after[name] for name in ("alpha", "gamma")}, {name: old[name] for name in ("alpha", "gamma")})
        # Added beside its own old self, and taken away again: what they share has not moved by a bit.
        self.experts("add", self.base, f"{beta}:beta=beta2", "--output", self.folder / "more")
        self.experts("remove", self.folder / "more", "beta2", "--output", self.folder / "again")
        self.assertEqual(files_of(self.folder / "again"), before)
        # The whole model is a start like any other: of all its parameters, or of experts again.
        for name, options in (("whole", ["--train-domains", ",".join(NAMES)]), ("again-apart", ["--freeze-shared"])):
            done = train("demix", self.data, self.folder / name, "--finetune-from-model", joined, "--max-update", 3, *RUN, *options)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_parts_alone_make_a_model(self):
        parts = {name: self.trained(name, "--only-domains", name) for name in ("gamma", "alpha")}
        self.experts("add", parts["gamma"], f"{parts['alpha']}:alpha", "--output", self.folder / "two")
        scores = self.perplexities(self.folder / "two")
        self.assertEqual(scores, {name: self.perplexities(part)[name] for name, part in parts.items()})

    def test_only_the_text_of_the_trained_is_needed(self):
        whole = self.trained("whole", "--only-domains", "gamma")
        far = self.folder / "far"
        shutil.copytree(self.data, far)
        for name in ("alpha", "beta"):
            shutil.rmtree(far / name)
        alone = self.trained("alone", "--only-domains", "gamma", data=far)
        self.assertEqual(files_of(alone), files_of(whole))
        self.assert_fails(self.apart("x", data=far), 1, "alpha")
        # A domain of the text that the checkpoint does not know is none of the run's.
        tiny_data.write_data_bin(far, [*NAMES, "delta"])
        self.assertEqual(sorted(self.perplexities(self.trained("old", data=far))), NAMES)

    def test_a_model_type_of_ones_own(self):
        done = train("custom-ffn", self.data, self.folder / "gated", "--max-update", 3)
        self.assertEqual(done.returncode, 0, done.stderr)
        start = ["--freeze-shared", "--finetune-from-model", self.folder / "gated" / "checkpoint_last", "--max-update", 3]
        for name, options in (("all", []), ("beta", ["--only-domains", "beta"])):
            done = train("custom-ffn", self.data, self.folder / name, *start, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
        together, alone = (self.perplexities(self.folder / name / "checkpoint_last") for name in ("all", "beta"))
        self.assert_close(alone, {"beta": together["beta"]})


class ExpertsApartInterrupted(ApartTest):
    OPTIONS = ["--only-domains", "gamma,alpha", "--max-update", 150, "--validate-interval-updates", 30, "--save-interval-updates", 5]

    def command(self, save_dir, *options):
        return [BIN / "demix-train-demix", self.data, "--save-dir", save_dir, "--freeze-shared", "--restore-file", self.base,
                *small(*RUN, *(options or self.OPTIONS))]

    def test_killed_at_any_moment_it_continues_bit_for_bit(self):
        unbroken, broken = self.folder / "unbroken", self.folder / "broken"
        subprocess.run(self.command(unbroken), check=True, stderr=subprocess.DEVNULL)
        programs.kill_until_done(self.command(broken), broken, "checkpoint_150")
        subprocess.run(self.command(broken), check=True, stderr=subprocess.DEVNULL)
        self.assertEqual(files_of(broken / "checkpoint_150"), files_of(unbroken / "checkpoint_150"))
        self.assertEqual(metrics(broken, "valid"), metrics(unbroken, "valid"))

    def test_a_signal_saves_and_leaves(self):
        save_dir = self.folder / "run"
        command = self.command(save_dir, "--only-domains", "beta", "--max-update", "100000", "--validate-interval-updates", "0")
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while child.poll() is None and not programs.has_line(save_dir / "metrics.jsonl"):
            time.sleep(0.01)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 143, errors)
        self.assertIn("saved; the same command continues from here", errors)
        step = int(os.readlink(save_dir / "checkpoint_last").split("_")[1])
        self.assertGreater(step, 30)
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        errors = ""
        for line in child.stderr:
            errors += line
            if "continuing from" in line:
                child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(timeout=60), 143, errors)
        self.assertIn(f"continuing from {save_dir}/checkpoint_{step}\n", errors)

    def test_other_settings_are_another_run(self):
        self.trained("run", "--only-domains", "beta")
        before = files_of(self.folder / "run")
        self.trained("run", "--only-domains", "beta")  # which is done
        self.assert_fails(self.apart("run", "--only-domains", "alpha"), 1, "list of domains", '["beta"]', '["alpha"]')
        self.assert_fails(self.apart("run"), 1, "list of domains")
        self.assert_fails(self.apart("run", "--only-domains", "beta", "--seed", 9), 1, "settings", "save_dir")
        self.assert_fails(train("demix", self.data, self.folder / "run", "--train-domains", "beta", "--max-update", 20, *RUN), 1,
                          "settings", "domains_at_start")
        self.assertEqual(files_of(self.folder / "run"), before)
        base = files_of(self.folder / "base")
        self.assert_fails(self.apart("base", "--max-update", 30), 1, "settings", "domains_at_start")
        self.assertEqual(files_of(self.folder / "base"), base)


class ExpertsApartWrongly(ApartTest):
    def test_wrong_usage(self):
        start = ["--finetune-from-model", self.base]
        cases = [
            (["--freeze-shared"], ["--freeze-shared needs the checkpoint", "--restore-file", "--finetune-from-model", "random"]),
            (["--only-domains", "beta", *start], ["--only-domains needs --freeze-shared", "--train-domains"]),
            (["--only-domains", "beta"], ["--only-domains needs --freeze-shared"]),
            (["--freeze-shared", *start, "--only-domains", "betta"], ["--only-domains", "'betta'", "'beta'"]),
            (["--freeze-shared", *start, "--only-domains", "beta,beta"], ["--only-domains: 'beta' stands twice"]),
            (["--freeze-shared", *start, "--only-domains", "beta,"], ["--only-domains"]),
            (["--freeze-shared", *start, "--train-domains", "beta"], ["--train-domains", "--only-domains"]),
            (["--freeze-shared", *start, "--only-domains", "beta", "--eval-domains", "alpha"], ["--eval-domains", "'alpha'", "not trained on"]),
        ]
        for options, words in cases:
            with self.subTest(options):
                self.assert_fails(train("demix", self.data, self.folder / "x", "--max-update", 3, *options), 2, *words)
                self.assertFalse((self.folder / "x").exists())

    def test_models_without_experts_have_none_to_train(self):
        for experiment in ("dense", "unbalanced", "domain-token"):
            done = train(experiment, self.data, self.folder / "x", "--max-update", 3, "--freeze-shared", "--finetune-from-model", self.base)
            self.assert_fails(done, 2, "--freeze-shared trains experts alone", f"a {experiment.replace('-', '_')} model has none")
        done = train("dense", self.data, self.folder / "dense", "--max-update", 2)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = train("demix", self.data, self.folder / "x", "--max-update", 3, "--freeze-shared", "--finetune-from-model",
                     self.folder / "dense" / "checkpoint_last")
        self.assert_fails(done, 1, "a dense model has no experts")
        self.assertFalse((self.folder / "x").exists())

    def test_places_that_are_none(self):
        done = train("demix", self.data, self.folder / "x", "--max-update", 3, "--freeze-shared", "--restore-file", self.folder / "base")
        self.assert_fails(done, 1, "checkpoint_last")
        done = train("demix", self.data, self.base / "new", "--max-update", 3, "--freeze-shared", "--finetune-from-model", self.base)
        self.assert_fails(done, 1, "lies in the checkpoint")

    def test_experts_of_another_body_do_not_come_together(self):
        beta = self.trained("beta", "--only-domains", "beta")
        done = train("demix", self.data, self.folder / "other", "--max-update", 31, "--restore-file", self.base, *RUN)
        self.assertEqual(done.returncode, 0, done.stderr)
        other = self.folder / "other" / "checkpoint_last"
        for command, expert in (("replace", "beta"), ("add", "beta=beta2")):
            done = run("demix-experts", command, other, f"{beta}:{expert}", "--output", self.folder / "x")
            self.assert_fails(done, 1, "do not have the same body", "differ")
        done = run("demix-experts", "replace", self.base, f"{beta}:beta=new", "--output", self.folder / "x")
        self.assert_fails(done, 2, "'new'")
        done = run("demix-experts", "replace", self.base, f"{beta}:beta", f"{self.base}:beta", "--output", self.folder / "x")
        self.assert_fails(done, 2, "'beta' is named twice")
        done = run("demix-experts", "replace", self.base, "--output", self.folder / "x")
        self.assert_fails(done, 2, "replace: expected one or more")
        self.assertFalse((self.folder / "x").exists())

    def test_a_state_that_does_not_go_along(self):
        beta = self.trained("beta", "--only-domains", "beta")
        joined = self.folder / "joined"
        self.experts("replace", self.base, f"{beta}:beta", "--output", joined)
        done = train("demix", self.data, self.folder / "x", "--max-update", 99, "--restore-file", joined)
        self.assert_fails(done, 1, "cannot resume from", "state.h5", "a new run can start from it")


if __name__ == "__main__":
    unittest.main()
