"""demix-mix against demix-eval, its files against each other, and what it refuses."""

import json
import math
import os
import shutil
import unittest

from programs import ProgramTest, evaluate, run, train

EXPERTS = ["alpha", "beta", "gamma"]


class MixTest(ProgramTest):
    experiment = "demix"

    def setUp(self):
        super().setUp()
        done = train(self.experiment, self.data, self.folder / "run", "--max-update", 60, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.checkpoint = self.folder / "run" / "checkpoint_last"

    def mix(self, *arguments):
        """The --json of a run that must succeed."""
        out = self.folder / "mix.json"
        done = run("demix-mix", self.data, self.checkpoint, "--domain", "beta", "--json", out, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.output = done.stdout
        return json.loads(out.read_text())

    def refuse(self, code, *words, arguments=(), domain="beta"):
        done = run("demix-mix", self.data, self.checkpoint, "--domain", domain, *arguments)
        self.assert_fails(done, code, *words)


class Mixing(MixTest):
    def test_a_prior_of_one_is_that_expert(self):
        for number, expert in enumerate(EXPERTS):
            prior = ",".join("1" if i == number else "0" for i in range(3))
            expected = evaluate(self.data, self.checkpoint, "--domain", "beta", "--expert", expert)["results"][0]
            for posterior in ("prefix", "previous_token"):
                result = self.mix("--prior", prior, "--posterior", posterior)
                self.assertEqual(result["results"][0]["loss"], expected["loss"])
                self.assertEqual(result["tokens"], expected["tokens"])
                self.assertEqual([s["expert"] for s in result["single"]], [expert])
                self.assertIn(f"{expected['perplexity']:.4f}", self.output)
            alone = self.mix("--experts", expert, "--ensemble", "uniform_prior")
            self.assertEqual(alone["results"][0]["loss"], expected["loss"])

    def test_the_experts_alone_are_those_of_demix_eval(self):
        result = self.mix("--ensemble", "uniform_prior")
        for single in result["single"]:
            expected = evaluate(self.data, self.checkpoint, "--domain", "beta", "--expert", single["expert"])
            self.assertAlmostEqual(single["loss"], expected["results"][0]["loss"], places=6)
        self.assertEqual([s["expert"] for s in result["single"]], EXPERTS)
        best = min(result["single"], key=lambda s: s["loss"])
        self.assertEqual(best["expert"], "beta")
        self.assertLess(result["results"][0]["loss"], max(s["loss"] for s in result["single"]))

    def test_estimate_then_eval(self):
        estimate = self.folder / "estimate.jsonl"
        self.mix("--mode", "estimate", "--output", estimate, "--batch-size", 3, "--posterior", "prefix,previous_token")
        lines = [json.loads(line) for line in estimate.read_text().splitlines()]
        valid = 1 + max(line["batch"] for line in lines)
        self.assertEqual(len(lines), 2 * (valid - 1))
        for line in lines:
            self.assertEqual(line["experts"], EXPERTS)
            self.assertAlmostEqual(sum(line["posterior"]), 1, places=9)
            self.assertAlmostEqual(sum(line["exp_avg_posterior"]), 1, places=9)
            self.assertEqual(line["ensemble"], "updating_prior")
        for over in ("prefix", "previous_token"):
            mine = [line for line in lines if line["posterior_over"] == over]
            average = mine[0]["posterior"]
            for line in mine:
                if line["batch"] > 1:
                    average = [0.3 * p + 0.7 * a for p, a in zip(line["posterior"], average)]
                for found, expected in zip(line["exp_avg_posterior"], average):
                    self.assertAlmostEqual(found, expected, places=12)
            last = ",".join(repr(p) for p in mine[-1]["exp_avg_posterior"])
            by_file = self.mix("--prior", estimate, "--posterior", over)
            by_text = self.mix("--prior", last, "--posterior", over)
            self.assertAlmostEqual(by_file["results"][0]["loss"], by_text["results"][0]["loss"], places=12)
            self.assertAlmostEqual(by_file["results"][0]["perplexity"], math.exp(by_file["results"][0]["loss"]))

    def test_a_cached_prior_is_its_own_average_as_in_the_original(self):
        """In the files; the table shows the moving average of the posteriors."""
        lines = self.folder / "eval.jsonl"
        result = self.mix("--ensemble", "cached_prior,uniform_prior", "--prior", "[2, 3, 5]", "--output", lines,
                          "--batch-size", 2)
        cached, uniform = ([line for line in map(json.loads, lines.read_text().splitlines()) if line["ensemble"] == name]
                           for name in ("cached_prior", "uniform_prior"))
        self.assertGreater(len(cached), 2)
        for line in cached:
            self.assertEqual(line["exp_avg_posterior"], [0.2, 0.3, 0.5])
            self.assertNotEqual(line["posterior"], line["exp_avg_posterior"])
        average = uniform[0]["posterior"]
        for line in uniform[1:]:
            average = [0.3 * p + 0.7 * a for p, a in zip(line["posterior"], average)]
            for found, expected in zip(line["exp_avg_posterior"], average):
                self.assertAlmostEqual(found, expected, places=12)
        self.assertEqual(result["results"][0]["exp_avg_posterior"], [0.2, 0.3, 0.5])
        average = cached[0]["posterior"]
        for line in cached[1:]:
            average = [0.3 * p + 0.7 * a for p, a in zip(line["posterior"], average)]
        for expert, p in zip(EXPERTS, average):
            self.assertRegex(self.output, rf"(?m)^{expert} +{p:.6f} ")

    def test_the_last_line_has_the_perplexity_of_the_whole_split(self):
        lines = self.folder / "eval.jsonl"
        result = self.mix("--ensemble", "simple_average,uniform_prior,updating_prior", "--posterior",
                          "prefix,previous_token", "--output", lines, "--batch-size", 2)
        self.assertEqual([(r["ensemble"], r["posterior_over"]) for r in result["results"]],
                         [("simple_average", "none"), ("uniform_prior", "prefix"), ("uniform_prior", "previous_token"),
                          ("updating_prior", "prefix"), ("updating_prior", "previous_token")])
        last = [json.loads(line) for line in lines.read_text().splitlines()][-5:]
        for line, whole in zip(last, result["results"]):
            self.assertEqual(line["ppl"], whole["perplexity"])
            self.assertEqual(line["exp_avg_posterior"], whole["exp_avg_posterior"])
        self.assertEqual(result["results"][0]["posterior"], [1 / 3] * 3)

    def test_a_subset_of_the_experts(self):
        estimate = self.folder / "estimate.jsonl"
        self.mix("--mode", "estimate", "--output", estimate)
        result = self.mix("--prior", estimate, "--experts", "gamma,alpha")
        self.assertEqual(result["experts"], ["gamma", "alpha"])
        self.mix("--mode", "estimate", "--output", estimate, "--experts", "alpha,gamma")
        self.refuse(1, "says nothing about expert 'beta'", arguments=["--prior", estimate])

    def test_experts_of_another_checkpoint(self):
        copy = self.folder / "copy"
        shutil.copytree(self.checkpoint.resolve(), copy)
        result = self.mix("--experts", f"alpha,{copy}:beta=other", "--ensemble", "uniform_prior")
        own = self.mix("--experts", "alpha,beta", "--ensemble", "uniform_prior")
        self.assertEqual(result["experts"], ["alpha", "other"])
        self.assertEqual(result["results"][0]["loss"], own["results"][0]["loss"])
        done = train("demix", self.data, self.folder / "stranger", "--max-update", 2, "--seed", 9)
        self.assertEqual(done.returncode, 0, done.stderr)
        stranger = self.folder / "stranger" / "checkpoint_last"
        self.refuse(1, "decoder.", arguments=["--experts", f"alpha,{stranger}:beta", "--ensemble", "uniform_prior"])

    def test_the_posterior_is_that_of_adapt_and_generate_where_nothing_is_said(self):
        result = self.mix("--ensemble", "uniform_prior")["results"][0]
        self.assertEqual(result["posterior_over"], "prefix")

    def test_the_most_probable_experts(self):
        whole = self.mix("--ensemble", "uniform_prior")["results"][0]
        one = self.mix("--ensemble", "uniform_prior", "--top-k", 1, "--first-segment", 4)
        two = self.mix("--ensemble", "uniform_prior", "--top-k", 2, "--first-segment", 4)
        self.assertEqual(one["single"], [])
        self.assertAlmostEqual(two["results"][0]["loss"], whole["loss"], delta=0.05)
        self.assertAlmostEqual(one["results"][0]["loss"], whole["loss"], delta=0.3)
        self.assertNotEqual(one["results"][0]["loss"], two["results"][0]["loss"])

    @unittest.skipUnless(shutil.which("gnuplot"), "skipped: no gnuplot")
    def test_a_picture(self):
        for name, start in (("it's.svg", b"<?xml"), ("posterior.png", b"\x89PNG")):
            picture = self.folder / name
            self.mix("--ensemble", "uniform_prior", "--plot", picture)
            self.assertTrue(picture.read_bytes().startswith(start))
            self.assertGreater(picture.stat().st_size, 2000)

    def test_what_is_refused(self):
        self.refuse(2, "--mode estimate", "cached_prior")
        self.refuse(2, "--prior is for", arguments=["--prior", "1,0,0", "--ensemble", "uniform_prior"])
        self.refuse(2, "did you mean 'uniform_prior'", arguments=["--ensemble", "uniform_pior"])
        self.refuse(2, "prefix previous_token", arguments=["--ensemble", "uniform_prior", "--posterior", "all"])
        self.refuse(1, "2 numbers for 3 experts", arguments=["--prior", "[0.5, 0.5]"])
        self.refuse(1, "2 numbers for 3 experts", arguments=["--prior", "0.5,0.5"])
        self.refuse(1, "probabilities", arguments=["--prior", "0.5,0.5,-1"])
        self.refuse(2, "neither a file nor a list", arguments=["--prior", "0.5,x,1"])
        self.refuse(2, "is not less than the 3 experts", arguments=["--ensemble", "uniform_prior", "--top-k", 3])
        self.refuse(2, "one --ensemble", arguments=["--ensemble", "simple_average", "--top-k", 1])
        self.refuse(2, "--first-segment is for", arguments=["--ensemble", "uniform_prior", "--first-segment", 1])
        self.refuse(2, "leaves nothing", arguments=["--ensemble", "uniform_prior", "--top-k", 1, "--first-segment", 16])
        self.refuse(2, "neither .svg nor .png", arguments=["--ensemble", "uniform_prior", "--plot", "x.pdf"])
        self.refuse(2, "stands twice", arguments=["--ensemble", "uniform_prior", "--experts", "beta,beta"])
        self.refuse(2, "did you mean 'alpha'", arguments=["--ensemble", "uniform_prior", "--experts", "alpa"])
        self.refuse(1, "no test split", arguments=["--ensemble", "uniform_prior"], domain="delta")
        broken = self.folder / "broken.jsonl"
        broken.write_text('{"ppl": 1}\n')
        self.refuse(1, "line 1", "exp_avg_posterior", arguments=["--prior", broken])
        broken.write_text('{"exp_avg_posterior": ["a", 1, 2]}\n')
        self.refuse(1, "broken.jsonl", arguments=["--prior", broken])
        self.refuse(1, "--output", arguments=["--ensemble", "uniform_prior", "--output", self.folder / "no" / "x"])
        (self.data / "dict.txt").write_text((self.data / "dict.txt").read_text().replace("7 1", "700 1"))
        self.refuse(1, "fingerprint", arguments=["--ensemble", "uniform_prior"])

    def test_padding_inside_a_text_is_refused_by_eval_and_mix_alike(self):
        tokens = self.data / "beta" / "test_beta.bin"
        whole = tokens.read_bytes()
        half = len(whole) // 4 * 2
        for contents, place in ((whole[:half] + b"\1\0" + whole[half + 2 :], f"token {half // 2}"),
                                (b"\1\0" * (len(whole) // 2), "token 0")):
            tokens.write_bytes(contents)
            words = ("test_beta.bin", place, "<pad>")
            self.refuse(1, *words, arguments=["--ensemble", "uniform_prior"])
            done = run("demix-eval", self.data, self.checkpoint, "--domain", "beta")
            self.assert_fails(done, 1, *words)
            self.assertNotIn("nan", done.stdout)

    def test_without_gnuplot(self):
        done = run("demix-mix", self.data, self.checkpoint, "--domain", "beta", "--ensemble", "uniform_prior",
                   "--plot", self.folder / "x.svg", env={**os.environ, "PATH": "/nowhere"})
        self.assert_fails(done, 1, "gnuplot-nox")


class MixingTokens(MixTest):
    experiment = "domain-token"

    def test_a_prior_of_one_is_that_token(self):
        expected = evaluate(self.data, self.checkpoint, "--domain", "beta", "--domain-token", "gamma")["results"][0]
        result = self.mix("--prior", "0,0,1")
        self.assertEqual(result["results"][0]["loss"], expected["loss"])
        self.assertEqual(result["experiment"], "domain_token")
        two = self.mix("--ensemble", "uniform_prior", "--experts", "gamma,beta", "--top-k", 1)
        self.assertEqual(two["experts"], ["gamma", "beta"])
        self.refuse(2, "its own tokens only", arguments=["--ensemble", "uniform_prior", "--experts", "beta=x"])


class MixingDense(MixTest):
    experiment = "dense"

    def test_a_dense_model_has_nothing_to_mix(self):
        self.refuse(2, "dense model has no experts", arguments=["--ensemble", "uniform_prior"])


if __name__ == "__main__":
    unittest.main()
