"""Adapting models to a new domain, as a user does it."""

import json
import os
import shutil
import signal
import subprocess
import time
import unittest

import programs
import tiny_data
from programs import BIN, evaluate, files_of, metrics, run, train

OPTIONS = {"--lr": "3e-3", "--max-update": 40, "--batch-size": 3, "--update-freq": 2, "--threads": 1}


def adapt_command(data, checkpoint, save_dir, mode, *arguments, domain="gamma"):
    options = [item for name, value in OPTIONS.items() if name not in arguments for item in (name, value)]
    return list(map(str, [BIN / "demix-adapt", data, checkpoint, "--domain", domain, "--mode", mode, "--save-dir", save_dir,
                          *options, *arguments]))


class AdaptTest(programs.ProgramTest):
    """A base that knows alpha and beta; gamma is new."""

    def base(self, experiment, *arguments):
        save_dir = self.folder / f"base-{experiment}"
        done = train(experiment, self.data, save_dir, "--train-domains", "alpha,beta", "--max-update", 120, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return save_dir / "checkpoint_last"

    def adapt(self, checkpoint, save_dir, mode, *arguments, **options):
        return subprocess.run(adapt_command(self.data, checkpoint, save_dir, mode, *arguments, **options),
                              capture_output=True, text=True, timeout=300)

    def adapted(self, checkpoint, save_dir, mode, *arguments, **options):
        done = self.adapt(checkpoint, save_dir, mode, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def copy_domain(self, old, new):
        for split in ("train", f"valid_{old}", f"test_{old}"):
            for suffix in (".bin", ".idx"):
                to = self.data / new / (split.replace(old, new) + suffix)
                to.parent.mkdir(exist_ok=True)
                shutil.copy(self.data / old / (split + suffix), to)


class Adapting(AdaptTest):
    def test_it_may_have_another_dropout(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        self.adapted(base, run_dir, "feedforward", "--from", "beta", "--dropout", 0)
        done = self.adapt(base, run_dir, "feedforward", "--from", "beta")
        self.assert_fails(done, 1, "architecture", "dropout=0\n", "dropout=0.1\n")
        self.assertEqual(sorted(r["domain"] for r in evaluate(self.data, run_dir / "joined")["results"]), ["alpha", "beta", "gamma"])

    def test_a_new_expert_joins_the_old_ones_which_stay_as_they_are(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        before = {d: evaluate(self.data, base, "--domain", d)["results"][0]["perplexity"] for d in ("alpha", "beta")}
        files = files_of(base)
        start = evaluate(self.data, base, "--domain", "gamma", "--expert", "beta", "--split", "valid")["results"][0]["perplexity"]
        self.adapted(base, run_dir, "feedforward", "--from", "beta", "--validate-interval-updates", 10,
                     "--save-interval-updates", 20)
        self.assertEqual(files_of(base), files)
        joined = files_of(run_dir / "joined")
        self.assertEqual(sorted(joined), ["experts/alpha.h5", "experts/beta.h5", "experts/gamma.h5", "model.h5"])
        for name in ("experts/alpha.h5", "experts/beta.h5"):
            self.assertEqual(joined[name], files[name])
        after = {r["domain"]: r["perplexity"] for r in evaluate(self.data, run_dir / "joined")["results"]}
        self.assertEqual({d: after[d] for d in before}, before)
        self.assertEqual(after["gamma"], evaluate(self.data, run_dir / "checkpoint_last")["results"][0]["perplexity"])
        valid = metrics(run_dir, "valid")
        self.assertEqual([m["step"] for m in valid], [10, 20, 30, 40])
        self.assertEqual(list(valid[0]["perplexity"]), ["gamma"])
        self.assertLess(valid[0]["average_perplexity"], start)
        self.assertLess(valid[-1]["average_perplexity"], 0.7 * start)
        # The body is the base's to the last bit: without the new expert the model is the base again.
        done = run("demix-experts", "remove", run_dir / "joined", "gamma", "--output", self.folder / "back")
        self.assertEqual(done.returncode, 0, done.stderr)
        without_state = {name: content for name, content in files.items() if not name.startswith("state")}
        self.assertEqual(files_of(self.folder / "back"), without_state)

    def test_full_moves_the_body_and_keeps_the_old_experts(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        before = evaluate(self.data, base, "--domain", "alpha")["results"][0]["perplexity"]
        self.adapted(base, run_dir, "full")
        for name in ("alpha", "beta"):
            self.assertEqual((run_dir / "joined" / "experts" / f"{name}.h5").read_bytes(),
                             (base / "experts" / f"{name}.h5").read_bytes())
        after = {r["domain"]: r["perplexity"] for r in evaluate(self.data, run_dir / "joined")["results"]}
        self.assertEqual(after["gamma"], evaluate(self.data, run_dir / "checkpoint_last")["results"][0]["perplexity"])
        self.assertNotEqual(after["alpha"], before)

    def test_the_start_is_the_domain_whose_text_it_is_and_from_overrides(self):
        base = self.base("demix")
        for old, new in (("alpha", "delta"), ("beta", "epsilon")):
            self.copy_domain(old, new)
            done = self.adapted(base, self.folder / new, "feedforward", "--max-update", 1, domain=new)
            record = json.loads((self.folder / new / "adapt.json").read_text())
            self.assertEqual(record["start"], old)
            self.assertEqual(list(record["posterior"]), ["alpha", "beta"])
            self.assertAlmostEqual(sum(record["posterior"].values()), 1, places=9)
            self.assertGreater(record["posterior"][old], 0.6)
            self.assertIn(f"{new} starts from {old}", done.stdout)
        self.adapted(base, self.folder / "from", "feedforward", "--max-update", 1, "--from", "beta", domain="delta")
        record = json.loads((self.folder / "from" / "adapt.json").read_text())
        self.assertEqual((record["start"], record["posterior"]), ("beta", None))
        self.assertNotEqual((self.folder / "from" / "joined" / "experts" / "delta.h5").read_bytes(),
                            (self.folder / "delta" / "joined" / "experts" / "delta.h5").read_bytes())

    def test_models_without_experts_adapt_and_evaluate(self):
        for experiment in ("dense", "unbalanced", "domain-token"):
            base = self.base(experiment)
            for mode in ("feedforward", "full"):
                with self.subTest(experiment, mode=mode):
                    run_dir = self.folder / f"{experiment}-{mode}"
                    self.adapted(base, run_dir, mode, "--validate-interval-updates", 5, "--log-interval", 1)
                    self.assertFalse((run_dir / "joined").exists())
                    valid = metrics(run_dir, "valid")
                    self.assertLess(valid[-1]["average_perplexity"], 0.8 * valid[0]["average_perplexity"])
                    self.assertEqual({d for m in metrics(run_dir, "train") for d in m["loss_by_domain"]}, {"gamma"})
                    result = evaluate(self.data, run_dir / "checkpoint_last", "--split", "valid")
                    self.assertEqual(result["experiment"], experiment.replace("-", "_"))
                    rows = {r["domain"]: r["perplexity"] for r in result["results"]}
                    self.assertEqual(list(rows), ["alpha", "beta", "gamma"])
                    self.assertEqual(rows["gamma"], valid[-1]["perplexity"]["gamma"])
                    record = json.loads((run_dir / "adapt.json").read_text())
                    self.assertEqual(record["start"] is None, experiment != "domain-token")

    def test_an_adapted_model_adapts_again(self):
        base = self.base("demix")
        self.adapted(base, self.folder / "one", "feedforward", "--max-update", 5)
        self.copy_domain("gamma", "delta")
        self.adapted(self.folder / "one" / "joined", self.folder / "two", "feedforward", "--max-update", 5, domain="delta")
        record = json.loads((self.folder / "two" / "adapt.json").read_text())
        self.assertEqual(list(record["posterior"]), ["alpha", "beta", "gamma"])
        rows = evaluate(self.data, self.folder / "two" / "joined")["results"]
        self.assertEqual([r["domain"] for r in rows], ["alpha", "beta", "gamma", "delta"])


class AdaptingInterrupted(AdaptTest):
    OPTIONS = ["--max-update", 120, "--validate-interval-updates", 30, "--save-interval-updates", 5]

    def test_killed_at_any_moment_it_continues_bit_for_bit(self):
        for experiment in ("demix", "domain-token"):
            base = self.base(experiment, "--dropout", "0.1")
            unbroken, broken = self.folder / f"unbroken-{experiment}", self.folder / f"broken-{experiment}"
            self.adapted(base, unbroken, "feedforward", *self.OPTIONS)
            programs.kill_until_done(adapt_command(self.data, base, broken, "feedforward", *self.OPTIONS), broken, "checkpoint_120")
            self.adapted(base, broken, "feedforward", *self.OPTIONS)
            for name in ("checkpoint_120", "joined"):
                self.assertEqual(files_of(broken / name), files_of(unbroken / name))
            self.assertEqual((broken / "adapt.json").read_bytes(), (unbroken / "adapt.json").read_bytes())
            self.assertEqual(metrics(broken, "valid"), metrics(unbroken, "valid"))
            self.assertEqual([p.name for p in broken.iterdir() if p.name.endswith(".partial")], [])

    def test_a_signal_saves_and_leaves_and_the_choice_is_read_back(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        child = subprocess.Popen(adapt_command(self.data, base, run_dir, "feedforward", "--max-update", 100000),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while child.poll() is None and not programs.has_line(run_dir / "metrics.jsonl"):
            time.sleep(0.01)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 143, errors)
        self.assertFalse((run_dir / "joined").exists())
        step = int(os.readlink(run_dir / "checkpoint_last").split("_")[1])
        record = json.loads((run_dir / "adapt.json").read_text())
        record["posterior"] = {"alpha": 0.125, "beta": 0.875}
        (run_dir / "adapt.json").write_text(json.dumps(record))
        child = subprocess.Popen(adapt_command(self.data, base, run_dir, "feedforward", "--max-update", 100000),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        errors = ""
        for line in child.stderr:
            errors += line
            if "continuing from" in line:
                break
        child.send_signal(signal.SIGINT)
        out, rest = child.communicate(timeout=60)
        errors += rest
        self.assertEqual(child.returncode, 130, errors)
        self.assertIn("0.875000", out)  # as the file says, not estimated again
        self.assertIn(f"continuing from {run_dir}/checkpoint_{step}", errors)

    def test_another_mode_base_start_or_domain_is_refused(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        self.adapted(base, run_dir, "feedforward", "--from", "alpha")
        before = files_of(run_dir)
        self.adapted(base, run_dir, "feedforward", "--from", "alpha")
        self.adapted(base, run_dir, "feedforward")
        self.copy_domain("gamma", "delta")
        self.assert_fails(self.adapt(base, run_dir, "full", "--from", "alpha"), 1, "mode", "'feedforward'", "'full'", "save_dir")
        self.assert_fails(self.adapt(base, run_dir, "feedforward", "--from", "beta"), 1, "start", "'alpha'", "'beta'")
        self.assert_fails(self.adapt(base, run_dir, "feedforward", domain="delta"), 1, "domain", "'gamma'", "'delta'")
        self.assert_fails(self.adapt(base, run_dir, "feedforward", "--lr", "1e-3"), 1, "settings", "save_dir")
        other = self.folder / "other"
        self.assertEqual(train("demix", self.data, other, "--train-domains", "alpha,beta", "--max-update", 3).returncode, 0)
        self.assert_fails(self.adapt(other / "checkpoint_last", run_dir, "feedforward"), 1, "base", "step 3", "step 120")
        # The record is lost, and with it what the run was.
        (run_dir / "adapt.json").unlink()
        self.assert_fails(self.adapt(base, run_dir, "feedforward", "--from", "alpha"), 1, "adapt.json", "save_dir")
        self.assertEqual(files_of(run_dir), {name: data for name, data in before.items() if name != "adapt.json"})


class AdaptingWrongly(AdaptTest):
    def test_help_is_complete_and_needs_nothing(self):
        done = run("demix-adapt", "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        for word in ("usage:", "Example:", "--domain", "--mode", "--from", "--lr", "5e-5", "--threads", "--config", "--save-dir"):
            self.assertIn(word, done.stdout)
        self.assertNotIn("--arch", done.stdout)

    def test_wrong_usage(self):
        base = self.base("demix")
        cases = [
            (["--mode", "ffn"], 2, ["--mode", "feedforward"]),
            (["--from", "alphq"], 2, ["--from", "'alpha'"]),
            (["--domain", "beta"], 2, ["beta", "demix-experts rename"]),
            (["--domain", "delta"], 1, ["delta", "gamma"]),
            (["--domain", "../gamma"], 2, ["../gamma"]),
            (["--arch", "transformer_lm"], 2, ["arch"]),
            (["--dropout", "1"], 2, ["--dropout"]),
            (["--lr", "0"], 2, ["--lr"]),
            (["--max-update", "0"], 2, ["--max-update"]),
            (["--warmup-updates", "5", "--max-update", "5"], 2, ["--warmup-updates"]),
        ]
        for arguments, code, words in cases:
            with self.subTest(arguments):
                options = {"--domain": "gamma", "--mode": "full"}
                for name in arguments[::2]:
                    options.pop(name, None)
                done = run("demix-adapt", self.data, base, "--save-dir", self.folder / "run", *arguments,
                           *(item for pair in options.items() for item in pair))
                self.assert_fails(done, code, *words)
                self.assertFalse((self.folder / "run").exists())
        for missing in ("domain", "mode", "save-dir"):
            options = {"domain": "gamma", "mode": "full", "save-dir": self.folder / "run"}
            del options[missing]
            done = run("demix-adapt", self.data, base, *(item for name, value in options.items() for item in (f"--{name}", value)))
            self.assert_fails(done, 2, missing)
        self.assert_fails(self.adapt(self.folder / "none", self.folder / "run", "full"), 1, "none")

    def test_from_needs_something_to_choose(self):
        self.assert_fails(self.adapt(self.base("dense"), self.folder / "run", "full", "--from", "alpha"), 2, "--from", "dense")

    def test_another_vocabulary(self):
        base = self.base("demix")
        with (self.data / "dict.txt").open("a") as dictionary:
            dictionary.write("more 1\n")
        self.assert_fails(self.adapt(base, self.folder / "run", "full"), 1, "vocabulary", "fingerprint")

    def test_a_folder_of_checkpoints_or_of_another_run(self):
        base = self.base("demix")
        self.assert_fails(self.adapt(base.parent, self.folder / "run", "full"), 1, "checkpoint_last")
        before = files_of(base.parent)
        self.assert_fails(self.adapt(base, base.parent, "full"), 1, "another save_dir")
        self.assertEqual(files_of(base.parent), before)

    def test_a_save_dir_inside_the_base(self):
        base, link = self.base("demix"), self.folder / "link"
        link.symlink_to(base.resolve())
        before = files_of(base.parent)
        for place in (base, base / "new", base.resolve() / "experts", link / "new"):
            self.assert_fails(self.adapt(base, place, "feedforward"), 1, "lies in the checkpoint", str(base.resolve()))
        self.assert_fails(self.adapt(base, self.data / "gamma" / "run", "feedforward"), 1, "lies in the data-bin")
        self.assertEqual(files_of(base.parent), before)

    def test_what_another_adaptation_joined(self):
        base, run_dir = self.base("demix"), self.folder / "run"
        (run_dir / "joined").mkdir(parents=True)
        self.assert_fails(self.adapt(base, run_dir, "feedforward"), 1, "joined", "another adaptation", "save_dir")

    def test_damaged_files_are_named(self):
        base = self.base("demix")
        for name in ("model.h5", "experts/alpha.h5"):
            whole = (base / name).read_bytes()
            (base / name).write_bytes(whole[:len(whole) // 2])
            self.assert_fails(self.adapt(base, self.folder / "run", "feedforward"), 1, name)
            (base / name).write_bytes(whole)
        (self.folder / "run").mkdir()
        (self.folder / "run" / "adapt.json").write_text("{\"domain\"")
        self.assert_fails(self.adapt(base, self.folder / "run", "feedforward"), 1, "adapt.json")


if __name__ == "__main__":
    unittest.main()
