"""demix-prepare together with the programs that read what it writes."""

import json
import random
import unittest

import programs


def write_jsonl(path, seed, documents=30):
    """Documents of words that no two have in common as a whole."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for i in range(documents):
            text = f"document {i} of {seed}: " + " ".join(rng.choice(["a", "bc", "def"]) for _ in range(90))
            file.write(json.dumps({"text": text}) + "\n")


class Preparing(programs.ProgramTest):
    def test_a_name_that_prepare_accepts_is_trained_scored_and_renamed(self):
        text, data, run = self.folder / "text", self.folder / "data-bin", self.folder / "run"
        text.mkdir()
        names = ["_law", "a+b", "c.d-e"]
        for seed, name in enumerate(names):
            write_jsonl(text / f"{name}.jsonl", seed)
        done = programs.run("demix-prepare", "--input-dir", text, "--output", data, "--vocab-size", 300)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = programs.train("demix", data, run, "--max-update", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = programs.evaluate(data, run / "checkpoint_last")
        self.assertEqual([row["domain"] for row in result["results"]], names)
        renamed = programs.run("demix-experts", "rename", run / "checkpoint_last", "_law", "l+w", "--output",
                               self.folder / "renamed")
        self.assertEqual(renamed.returncode, 0, renamed.stderr)
        for arguments in (("rename", run / "checkpoint_last", "_law", "l w"),
                          ("add", self.folder / "renamed", f"{run / 'checkpoint_last'}:_law=l w")):
            self.assert_fails(programs.run("demix-experts", *arguments, "--output", self.folder / "no"), 2, "domain name 'l w'")


if __name__ == "__main__":
    unittest.main()
