"""demix-generate against itself in other ways, what it writes, and what it refuses."""

import json
import shutil
import subprocess
import unittest

import tiny_data
from programs import BIN, ProgramTest, run, train

EXPERTS = ["alpha", "beta", "gamma"]
KNOWN = tiny_data.VOCABULARY - 4  # of which dict.txt lists the first ones
TIMES = ["--max-tokens", 40]  # contexts have 16 positions


def bytes_of(tokens):
    return bytes(tiny_data.BYTES[token - 4] for token in tokens if token >= 4)


class GenerateTest(ProgramTest):
    experiment = "demix"

    def setUp(self):
        super().setUp()
        tiny_data.write_byte_vocabulary(self.data)
        done = train(self.experiment, self.data, self.folder / "run", "--max-update", 60, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.checkpoint = self.folder / "run" / "checkpoint_last"

    def generate(self, *arguments):
        """The --json of a run that must succeed; its text must be what is printed."""
        out = self.folder / "texts.json"
        done = run("demix-generate", self.checkpoint, "--data", self.data, "--json", out, "--threads", 1, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        self.output = done.stdout
        result = json.loads(out.read_text())
        for text in result["texts"]:
            self.assertEqual(text["ended"], text["tokens"][-1] == 2 and "--ignore-eos" not in arguments)
            if "--ignore-eos" not in arguments:
                self.assertEqual(text["text"], bytes_of(text["tokens"]).decode(errors="replace"))
                self.assertNotIn(2, text["tokens"][:-1])
            for token in text["tokens"]:
                self.assertTrue(token == 2 or 4 <= token < tiny_data.VOCABULARY, token)
        if "--show-posterior" not in arguments:
            several = len(result["texts"]) > 1
            for text in result["texts"]:
                self.assertIn(("===\n" if several else "") + text["prompt"] + text["text"], self.output)
        return result

    def tokens(self, *arguments):
        return [text["tokens"] for text in self.generate(*arguments)["texts"]]

    def refuse(self, code, *words, arguments=()):
        done = run("demix-generate", self.checkpoint, "--data", self.data, *arguments)
        self.assert_fails(done, code, *words)
        self.assertEqual(done.stdout, "")

    def check_ways(self, *arguments):
        """With a cache, without, in batches of any size and each prompt alone: the same tokens."""
        prompts = ["", "abc", "a much longer prompt than a context has room for: 16 tokens", "z"]
        options = [item for prompt in prompts for item in ("--prompt", prompt)]
        expected = self.tokens(*options, *TIMES, *arguments)
        self.assertEqual(len(expected), 4)
        self.assertTrue(any(len(tokens) > 16 for tokens in expected))
        self.assertEqual(self.tokens(*options, *TIMES, *arguments, "--no-cache"), expected)
        self.assertEqual(self.tokens(*options, *TIMES, *arguments, "--batch-size", 3), expected)
        for prompt, tokens in zip(prompts, expected):
            self.assertEqual(self.tokens("--prompt", prompt, *TIMES, *arguments), [tokens])
        return expected


class Generating(GenerateTest):
    def test_all_ways_give_the_same_text(self):
        mixed = self.check_ways("--ignore-eos")
        self.assertNotEqual(mixed, self.check_ways("--ignore-eos", "--posterior", "previous_token"))
        alpha = self.check_ways("--ignore-eos", "--expert", "alpha")
        self.assertNotEqual(alpha, self.check_ways("--ignore-eos", "--expert", "beta"))
        self.check_ways("--temperature", 0.7, "--top-k", 20, "--top-p", 0.9, "--seed", 3, "--experts", "gamma,alpha")

    def test_an_empty_prompt(self):
        expected = self.tokens(*TIMES)
        self.assertEqual(self.tokens("--prompt=", *TIMES), expected)
        self.assertEqual(self.tokens("--prompt", "", *TIMES), expected)

    def test_a_prior_of_one_is_that_expert(self):
        prompt = ["--prompt", "ab", *TIMES]
        for number, expert in enumerate(EXPERTS):
            alone = self.generate(*prompt, "--expert", expert)
            prior = ",".join("1" if i == number else "0" for i in range(3))
            mixed = self.generate(*prompt, "--prior", prior)
            self.assertEqual(mixed["texts"][0]["tokens"], alone["texts"][0]["tokens"])
            self.assertNotIn("posterior", alone["texts"][0])
            self.assertEqual(alone["experts"], [expert])
            for posterior in mixed["texts"][0]["posterior"]:
                self.assertEqual(posterior, [float(i == number) for i in range(3)])

    def test_the_posterior_finds_the_domain_of_the_prompt(self):
        for number, expert in enumerate(EXPERTS):
            document = tiny_data.documents(1, 17 * number, 5)[0]
            (self.folder / "prompt").write_bytes(bytes_of(document))
            result = self.generate("--prompt-file", self.folder / "prompt", "--prior", "1,1,2", *TIMES)
            text = result["texts"][0]
            self.assertEqual(text["prompt_tokens"], document[:-1])
            self.assertEqual(text["prompt_posterior"][0], [0.25, 0.25, 0.5])
            self.assertEqual(len(text["prompt_posterior"]), len(document) - 1)
            self.assertEqual(len(text["posterior"]), len(text["tokens"]))
            for posterior in text["prompt_posterior"] + text["posterior"]:
                self.assertAlmostEqual(sum(posterior), 1, places=9)
            self.assertGreater(text["posterior"][0][number], 0.5)
            self.assertEqual(result["experts"], EXPERTS)
            self.assertEqual(result["posterior_over"], "prefix")

    def test_seeds_and_samples(self):
        one, two, three = self.tokens("--prompt", "ab", "--samples", 3, *TIMES)
        self.assertEqual(len({tuple(one), tuple(two), tuple(three)}), 3)
        self.assertIn("=== prompt 1 of 1, sample 3 of 3 ===", self.output)
        self.assertEqual(self.tokens("--prompt", "ab", *TIMES), [one])
        self.assertNotEqual(self.tokens("--prompt", "ab", *TIMES, "--seed", 2), [one])
        greedy = self.tokens("--prompt", "ab", *TIMES, "--temperature", 0)
        self.assertEqual(self.tokens("--prompt", "ab", *TIMES, "--top-k", 1, "--seed", 7), greedy)
        self.assertEqual(self.tokens("--prompt", "ab", *TIMES, "--top-p", 1e-9), greedy)

    def test_documents_end_texts(self):
        ended = self.generate("--samples", 30, *TIMES)["texts"]
        self.assertTrue(0 < sum(text["ended"] for text in ended) < 30)
        through = self.generate("--samples", 30, *TIMES, "--ignore-eos")["texts"]
        for text, whole in zip(ended, through):
            self.assertEqual(whole["tokens"][:len(text["tokens"])], text["tokens"])
            self.assertEqual(len(whole["tokens"]), 40)
            self.assertEqual(whole["text"].count("</s>\n"), whole["tokens"].count(2))

    def test_prompts_of_a_file(self):
        file = self.folder / "prompts"
        file.write_bytes(b"ab\r\n\nx y\n\xc3\xa9\xff")
        texts = self.generate("--prompt", "first", "--prompt-file", file, "--max-tokens", 3)["texts"]
        self.assertEqual([text["prompt"] for text in texts], ["first", "ab", "", "x y", "\u00e9\ufffd"])
        self.assertEqual(texts[3]["prompt_tokens"], [4 + tiny_data.BYTES.index(ord("x")), 3, 4 + tiny_data.BYTES.index(ord("y"))])
        self.assertEqual([text["sample"] for text in texts], [1] * 5)
        positions = [self.output.index(f"=== prompt {number} of 5 ===") for number in range(1, 6)]
        self.assertEqual(positions, sorted(positions))

    def test_a_line_per_token(self):
        text = self.generate("--prompt", "x y", "--max-tokens", 9, "--show-posterior")["texts"][0]
        legend, *lines = self.output.splitlines()
        self.assertEqual(legend, "a alpha  b beta  g gamma")
        self.assertEqual(lines[3], "--- the prompt ends here")
        self.assertTrue(lines[0].startswith('"x" ') and lines[1].startswith('"<unk>" '), lines[:2])
        rows = lines[:3] + lines[4:4 + len(text["tokens"])]
        self.assertEqual(lines[4 + len(text["tokens"])], "")
        self.assertTrue("\n".join(lines[5 + len(text["tokens"]):]).startswith("x y" + text["text"].split("\n")[0]))
        for row, posterior in zip(rows, text["prompt_posterior"] + text["posterior"]):
            best = max(range(3), key=lambda j: posterior[j])
            name, number, bar = row.split()[-3:]
            self.assertEqual((name, number, len(bar)), (EXPERTS[best], f"{posterior[best]:5.3f}", 50))
            for letter, p in zip("abg", posterior):
                self.assertAlmostEqual(bar.count(letter) / 50, p, delta=0.0201)

    def test_an_expert_of_another_checkpoint(self):
        copy = self.folder / "copy"
        shutil.copytree(self.checkpoint.resolve(), copy)
        expected = self.tokens("--expert", "beta", *TIMES)
        self.assertEqual(self.tokens("--expert", f"{copy}:beta", *TIMES), expected)
        result = self.generate("--experts", f"alpha,{copy}:beta=other", *TIMES)
        self.assertEqual(result["experts"], ["alpha", "other"])

    def test_what_is_refused(self):
        self.refuse(2, "--expert: ", "did you mean 'alpha'", arguments=["--expert", "alpa"])
        self.refuse(2, "--experts: ", "did you mean 'alpha'", arguments=["--experts", "beta,alpa"])
        self.refuse(2, "--expert is one expert", arguments=["--expert", "alpha", "--experts", "alpha,beta"])
        self.refuse(2, "stands twice", arguments=["--experts", "beta,beta"])
        for option in (["--prior", "1"], ["--posterior", "prefix"], ["--show-posterior"]):
            self.refuse(2, "mixture", arguments=["--expert", "alpha", *option])
        for option in (["--top-k", 4], ["--top-p", 0.5], ["--seed", 4], ["--samples", 2]):
            self.refuse(2, "--temperature 0", arguments=["--temperature", 0, *option])
        for option, value in (("temperature", -1), ("temperature", "nan"), ("top-p", 0), ("top-p", 1.5), ("top-k", 0),
                              ("max-tokens", 0), ("samples", 0), ("batch-size", 0), ("threads", 0)):
            self.refuse(2, f"--{option}", arguments=[f"--{option}", value])
        self.refuse(2, "prefix previous_token", arguments=["--posterior", "all"])
        self.refuse(1, "2 numbers for 3 experts", arguments=["--prior", "0.5,0.5"])
        self.refuse(2, "neither a file nor a list", arguments=["--prior", "a,b,c"])
        self.refuse(1, "--prompt-file", arguments=["--prompt-file", self.folder / "none"])
        (self.folder / "empty").write_text("")
        self.refuse(1, "has no line", arguments=["--prompt-file", self.folder / "empty"])
        self.refuse(1, "--json", arguments=["--json", self.folder / "no" / "file"])
        with open("/dev/full", "w") as full:
            done = run_to(full, self.checkpoint, "--data", self.data)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)
        done = run("demix-generate", self.checkpoint)
        self.assert_fails(done, 2, "--data")
        (self.data / "dict.txt").write_text((self.data / "dict.txt").read_text().replace("7 1", "700 1"))
        self.refuse(1, "fingerprint")
        (self.data / "vocab.bpe").unlink()
        self.refuse(1, "vocab.bpe")


def run_to(stdout, *arguments):
    return subprocess.run([BIN / "demix-generate", *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE,
                          text=True, timeout=60)


class GeneratingTokens(GenerateTest):
    experiment = "domain-token"

    def test_all_ways_give_the_same_text(self):
        self.check_ways("--ignore-eos")
        alpha = self.check_ways("--expert", "alpha", "--ignore-eos")
        self.assertNotEqual(alpha, self.check_ways("--expert", "beta", "--ignore-eos"))
        self.assertEqual(self.generate("--experts", "gamma,beta", *TIMES)["experts"], ["gamma", "beta"])


class GeneratingDense(GenerateTest):
    experiment = "dense"

    def test_all_ways_give_the_same_text(self):
        self.check_ways("--ignore-eos")
        result = self.generate(*TIMES)
        self.assertNotIn("experts", result)
        self.assertEqual(set(result["texts"][0]), {"prompt", "sample", "prompt_tokens", "tokens", "text", "ended"})

    def test_there_are_no_experts(self):
        for option in (["--expert", "alpha"], ["--experts", "alpha,beta"]):
            self.refuse(2, "dense model has no experts", arguments=option)
        for option in (["--prior", "1"], ["--posterior", "prefix"], ["--show-posterior"]):
            self.refuse(2, "mixture", arguments=option)


if __name__ == "__main__":
    unittest.main()
