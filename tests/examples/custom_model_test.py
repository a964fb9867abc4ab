"""The example of a model type of one's own in every program, as a user of the list of models has it."""

import json
import unittest

import programs
import tiny_data
from programs import evaluate, files_of, metrics, run, train


class CustomModel(programs.ProgramTest):
    def setUp(self):
        super().setUp()
        tiny_data.write_byte_vocabulary(self.data)

    def trained(self, *arguments):
        save_dir = self.folder / "gated"
        done = train("custom-ffn", self.data, save_dir, "--train-domains", "alpha,beta", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return save_dir

    def checked(self, program, *arguments):
        done = run(program, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_it_is_trained_evaluated_mixed_adapted_continued_and_taken_apart(self):
        run_dir = self.trained("--max-update", 120)
        base = run_dir / "checkpoint_last"
        files = files_of(base.resolve())

        valid = metrics(run_dir, "valid")[-1]["perplexity"]
        rows = {row["domain"]: row["perplexity"] for row in evaluate(self.data, base, "--split", "valid")["results"]}
        self.assertEqual(rows, valid)
        other = evaluate(self.data, base, "--domain", "alpha", "--expert", "beta")["results"][0]["perplexity"]
        own = evaluate(self.data, base, "--domain", "alpha")["results"][0]["perplexity"]
        self.assertLess(own, 0.7 * other)

        result = self.folder / "mix.json"
        self.checked("demix-mix", self.data, base, "--domain", "alpha", "--ensemble", "uniform_prior", "--json", result)
        mixed = json.loads(result.read_text())["results"][0]
        self.assertGreater(mixed["perplexity"], 0.9 * own)
        self.assertLess(mixed["perplexity"], other)
        self.assertGreater(mixed["exp_avg_posterior"][0], 0.5)

        adapted = self.folder / "adapted"
        self.checked("demix-adapt", self.data, base, "--domain", "gamma", "--mode", "feedforward", "--save-dir", adapted,
                     "--max-update", 40, "--lr", "3e-3", "--batch-size", 3, "--update-freq", 2, "--threads", 1)
        start, end = (metrics(adapted, "valid")[i]["average_perplexity"] for i in (0, -1))
        self.assertLess(end, 0.8 * start)
        joined = adapted / "joined"
        self.assertEqual({name for name in files_of(joined)}, {"model.h5", *(f"experts/{d}.h5" for d in ("alpha", "beta", "gamma"))})
        for name in ("experts/alpha.h5", "experts/beta.h5"):
            self.assertEqual(files_of(joined)[name], files[name])
        after = {row["domain"]: row["perplexity"] for row in evaluate(self.data, joined, "--split", "valid")["results"]}
        self.assertEqual(after, {**valid, "gamma": end})

        continued = self.folder / "text.json"
        self.checked("demix-generate", joined, "--data", self.data, "--max-tokens", 8, "--json", continued)
        text = json.loads(continued.read_text())
        self.assertEqual(text["experts"], ["alpha", "beta", "gamma"])
        self.assertTrue(1 <= len(text["texts"][0]["tokens"]) <= 8)

        self.assertIn("demix_gated", self.checked("demix-experts", "list", joined))
        self.checked("demix-experts", "remove", joined, "gamma", "--output", self.folder / "less")
        self.assertEqual(files_of(self.folder / "less"), {n: b for n, b in files.items() if not n.startswith("state")})
        again = {row["domain"]: row["perplexity"] for row in evaluate(self.data, self.folder / "less", "--split", "valid")["results"]}
        self.assertEqual(again, valid)

    def test_the_activation_is_the_one_that_was_chosen(self):
        relu = evaluate(self.data, self.trained("--max-update", 20) / "checkpoint_last")["average_perplexity"]
        run_dir = self.folder / "gelu"
        done = train("custom-ffn", self.data, run_dir, "--max-update", 20, "--activation", "gelu", "--train-domains", "alpha,beta")
        self.assertEqual(done.returncode, 0, done.stderr)
        gelu = evaluate(self.data, run_dir / "checkpoint_last", "--split", "valid")
        self.assertEqual(gelu["average_perplexity"], metrics(run_dir, "valid")[-1]["average_perplexity"])
        self.assertNotEqual(gelu["average_perplexity"], relu)
        self.assert_fails(train("custom-ffn", self.data, run_dir, "--activation", "silu"), 2, "--activation", "gelu_tanh")


if __name__ == "__main__":
    unittest.main()
