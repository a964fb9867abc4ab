"""demix-experts: its checkpoints, hashes and refusals."""

import shutil
import unittest

from programs import ProgramTest, evaluate, files_of, run, train

NAMES = ["alpha", "beta", "gamma"]


class Experts(ProgramTest):
    def setUp(self):
        super().setUp()
        done = train("demix", self.data, self.folder / "run", "--max-update", 20, "--max-valid-steps", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.checkpoint = self.folder / "run" / "checkpoint_last"

    def experts(self, *arguments):
        done = run("demix-experts", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_add_and_remove_leave_every_file_as_it_was(self):
        before = files_of(self.checkpoint.resolve())
        self.assertEqual(set(before), {"model.h5", "state.h5"} | {f"experts/{name}.h5" for name in NAMES})
        more, again = self.folder / "more", self.folder / "again"
        self.experts("add", self.checkpoint, f"{self.checkpoint}:beta=delta", "--output", more)
        self.assertEqual(evaluate(self.data, more, "--domain", "beta", "--expert", "delta")["results"][0]["loss"],
                         evaluate(self.data, self.checkpoint, "--domain", "beta")["results"][0]["loss"])
        self.experts("remove", more, "delta", "--output", again)
        self.assertEqual(files_of(again), before)
        self.assertEqual(files_of(self.checkpoint.resolve()), before)

    def test_training_goes_on_with_its_own_experts_only(self):
        def resume(checkpoint):
            folder = self.folder / f"resume-{checkpoint.name}"
            folder.mkdir()
            shutil.copytree(checkpoint, folder / "checkpoint_20")
            return train("demix", self.data, folder, "--max-update", 20, "--max-valid-steps", 1)

        fewer, again = self.folder / "fewer", self.folder / "again"
        self.experts("remove", self.checkpoint, "gamma", "--output", fewer)
        self.experts("add", fewer, f"{self.checkpoint}:gamma", "--output", again)
        self.assert_fails(resume(fewer), 1, "list of domains")
        self.assertEqual(resume(again).returncode, 0)

    def test_an_extracted_expert_scores_what_it_scored(self):
        dense = self.folder / "dense"
        self.experts("extract", self.checkpoint, "gamma", "--output", dense)
        for domain in NAMES:
            expected = evaluate(self.data, self.checkpoint, "--domain", domain, "--expert", "gamma")["results"][0]
            found = evaluate(self.data, dense, "--domain", domain)["results"][0]
            self.assertEqual((found["loss"], found["perplexity"]), (expected["loss"], expected["perplexity"]))

    def test_merge_and_rename(self):
        merged, renamed = self.folder / "merged", self.folder / "renamed"
        self.experts("merge", self.checkpoint, "alpha=0.5", "beta=1.5", "--as", "both", "--output", merged)
        alone = [evaluate(self.data, merged, "--domain", "beta", "--expert", e)["average_perplexity"]
                 for e in ("alpha", "both", "beta")]
        self.assertEqual(sorted(alone, reverse=True), alone)
        self.experts("rename", merged, "both", "mean", "--output", renamed)
        self.assertEqual(evaluate(self.data, renamed, "--domain", "beta", "--expert", "mean")["average_perplexity"],
                         alone[1])

    def test_list(self):
        copy = self.folder / "copy"
        self.experts("add", self.checkpoint, f"{self.checkpoint}:beta=delta", "--output", copy)
        listed, copied = self.experts("list", self.checkpoint), self.experts("list", copy)
        self.assertIn("experiment    demix, step 20", listed)
        rows = {line.split()[0]: line.split() for line in listed.splitlines()[-3:]}
        self.assertEqual(list(rows), NAMES)
        for name in NAMES:
            self.assertEqual(int(rows[name][1]), 2 * (2 * 32 * 64 + 32 + 64))
            self.assertIn(" ".join(rows[name]), " ".join(copied.split()))
        self.assertEqual(len({row[3] for row in rows.values()}), 3)

    def test_what_is_refused(self):
        out = self.folder / "out"

        def refuse(code, word, *arguments):
            self.assert_fails(run("demix-experts", *arguments), code, word)
            self.assertFalse(out.exists())

        c = self.checkpoint
        refuse(2, "did you mean 'remove'", "remvoe", c, "beta", "--output", out)
        refuse(2, "needs --output", "remove", c, "beta")
        refuse(2, "leave --output out", "list", c, "--output", out)
        refuse(2, "--as is for merge", "remove", c, "beta", "--as", "x", "--output", out)
        refuse(2, "needs --as", "merge", c, "beta=1", "alpha=1", "--output", out)
        refuse(2, "NAME=WEIGHT", "merge", c, "beta", "alpha=1", "--as", "x", "--output", out)
        refuse(2, "NAME=WEIGHT", "merge", c, "beta=1x", "alpha=1", "--as", "x", "--output", out)
        refuse(2, "did you mean 'beta'", "remove", c, "bta", "--output", out)
        refuse(2, "at least one expert", "remove", c, *NAMES, "--output", out)
        refuse(2, "old and the new name", "rename", c, "beta", "--output", out)
        refuse(1, "has an expert 'beta' already", "add", c, f"{c}:beta", "--output", out)
        refuse(1, "not a checkpoint", "add", c, f"{self.data}:beta=x", "--output", out)
        done = train("demix", self.data, self.folder / "stranger", "--max-update", 2, "--seed", 9)
        self.assertEqual(done.returncode, 0, done.stderr)
        refuse(1, "do not have the same body: the values of", "add", c,
               f"{self.folder / 'stranger' / 'checkpoint_last'}:beta=x", "--output", out)
        self.assert_fails(run("demix-experts", "remove", c, "beta", "--output", c), 1, "exists already")


if __name__ == "__main__":
    unittest.main()
