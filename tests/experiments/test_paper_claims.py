"""The experiment as a whole: with stand-ins for the programs, and with the programs on tiny text."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import paper_claims

SCRIPT = Path(paper_claims.__file__)
OLD, NEW = ["law", "code", "news"], ["poems"]
STEPS = 4 + 9 + 4 + 3 + 3 + 6  # trained, evaluated and mixed, adapted, removed, adapted on old, removed on others

STAND_IN = """#!/usr/bin/env -S python3 -S
import json, os, pathlib, sys, time
name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
root = pathlib.Path(os.environ["ROOT"])
option = lambda key: args[args.index(key) + 1] if key in args else None
with open(root / "calls", "a") as calls:
    print(name, *args, file=calls)
if name == os.environ.get("BREAK"):
    sys.exit("out of luck")
if name == os.environ.get("HANG"):
    (root / "hanging").touch()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("saved", flush=True)
        sys.exit(130)
domains = ["law", "code", "news"]
if name.startswith("demix-train") or name == "demix-adapt":
    print("%s: 1234 parameters, 3 domains" % name, file=sys.stderr)
    folder = pathlib.Path(option("--save-dir"))
    names = [option("--domain")] if name == "demix-adapt" else domains
    (folder / "checkpoint_last/experts").mkdir(parents=True, exist_ok=True)
    record = {"type": "train", "step": 4, "tokens": 6000, "tokens_per_second": 100.0}
    (folder / "metrics.jsonl").write_text(json.dumps(record))
    for d in domains:
        (folder / "checkpoint_last/experts" / (d + ".h5")).write_text(d)
    if name == "demix-adapt" and "demix/" in args[1]:
        (folder / "joined/experts").mkdir(parents=True, exist_ok=True)
        for d in domains:
            (folder / "joined/experts" / (d + ".h5")).write_text(d)
        (folder / "adapt.json").write_text(json.dumps({"start": "code"}))
elif name == "demix-eval":
    names = [option("--domain")] if option("--domain") else domains
    if "adapted" in args[1]:
        names = domains + ["poems"]
    results = [{"domain": d, "perplexity": 20.0} for d in names]
    pathlib.Path(option("--json")).write_text(json.dumps({"results": results}))
elif option("--mode") == "estimate":
    pathlib.Path(option("--output")).write_text(args[3])
else:
    assert pathlib.Path(option("--prior")).read_text() == args[3]
    experts = option("--experts").split(",") if option("--experts") else domains
    if args[1].endswith("joined"):
        experts = experts + ["poems"]
    mixed = [("simple_average", "none")]
    mixed += [(e, p) for e in option("--ensemble").split(",")[1:] for p in option("--posterior").split(",")]
    results = [{"ensemble": e, "posterior_over": p, "perplexity": 10.0} for e, p in mixed]
    single = [{"expert": e, "perplexity": 15.0} for e in experts]
    result = {"tokens": 5, "experts": experts, "results": results, "single": single}
    pathlib.Path(option("--json")).write_text(json.dumps(result))
"""


def write_text(folder):
    """A domain per file: words of its own alphabet."""
    folder.mkdir()
    for number, domain in enumerate([*OLD, *NEW]):
        draw = random.Random(number)
        letters = "abcdefghij"[number : number + 5]
        words = ["".join(draw.choices(letters, k=draw.randint(2, 6))) for _ in range(60)]
        documents = [{"text": " ".join(draw.choices(words, k=40))} for _ in range(120)]
        (folder / f"{domain}.jsonl").write_text("\n".join(map(json.dumps, documents)))


class Case(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="demix-test-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        self.output = self.root / "out"

    def command(self, *arguments, programs):
        domains = ["--train-domains", ",".join(OLD), "--novel-domains", ",".join(NEW)]
        where = ["--output", self.output, "--programs", programs]
        return [str(word) for word in (sys.executable, "-B", SCRIPT, "--quick", *where, *domains, *arguments)]

    def report(self):
        return (self.output / "results.md").read_text()


class StandIns(Case):
    def setUp(self):
        super().setUp()
        self.programs = self.root / "bin"
        self.programs.mkdir()
        for name in paper_claims.PROGRAMS:
            (self.programs / name).write_text(STAND_IN)
            (self.programs / name).chmod(0o755)
        self.data = self.root / "data"
        for domain in [*OLD, *NEW]:
            (self.data / domain).mkdir(parents=True)
            for stem in ("train", f"valid_{domain}", f"test_{domain}"):
                for kind in ("bin", "idx"):
                    (self.data / domain / f"{stem}.{kind}").write_text(stem)
        (self.data / "dict.txt").write_text("a 1\n")

    def start(self, *arguments, **environment):
        words = self.command("--data-bin", self.data, "--seeds", "7", *arguments, programs=self.programs)
        environment = {**os.environ, "ROOT": str(self.root), **environment}
        return subprocess.Popen(
            words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
        )

    def run_script(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def calls(self):
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def test_a_whole_run_and_nothing_is_done_twice(self):
        done = self.run_script()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"[{STEPS}/{STEPS}]", done.stdout)
        calls = self.calls()
        self.assertEqual(sum(line.startswith("demix-train") for line in calls), 4)
        self.assertEqual(sum(line.startswith("demix-adapt") for line in calls), 2)
        modes = [line.split("--mode ")[1].split()[0] for line in calls if "--mode " in line]
        self.assertEqual(modes.count("estimate"), modes.count("eval"))
        self.assertTrue(all("--seed 7" in line for line in calls if line.startswith("demix-train")))
        report = self.report()
        self.assertIn("| law | 20.00 | 20.00 | 20.00 | 15.00 | **10.00** |", report)
        self.assertIn("poems: code", report)
        self.assertIn("| training | 4 min |", report)  # 4 runs of 6000 tokens at 100 a second
        self.assertNotIn(str(self.root), report)
        again = self.run_script()
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.calls(), [])
        self.assertIn(f"{STEPS} of {STEPS} steps have been done before", again.stdout)
        self.assertEqual(self.report(), report)

    def test_only_what_is_missing_is_done_again(self):
        self.run_script()
        self.calls()
        (self.output / "results/seed-7/mix-demix-without-law-on-law.json").unlink()
        self.assertEqual(self.run_script().returncode, 0)
        calls = self.calls()
        self.assertEqual(len(calls), 2)
        self.assertTrue(all("--domain law --experts code,news" in line for line in calls), calls)

    def test_the_report_alone_runs_nothing(self):
        self.run_script()
        before = self.report()
        self.calls()
        (self.output / "results.md").unlink()
        done = self.run_script("--report-only")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.report(), before)
        self.output = self.root / "nothing"
        self.assertIn("holds no results", self.run_script("--report-only").stderr)

    def test_the_first_seed_has_the_others_domains_and_more_seeds_can_be_added(self):
        self.run_script()
        self.calls()
        self.assertEqual(self.run_script("--seeds", "7,8").returncode, 0)
        calls = self.calls()
        self.assertTrue(all("seed-8" in line for line in calls if not line.startswith("demix-train")), calls)
        self.assertFalse((self.output / "results/seed-8/mix-demix-without-law-on-code.json").exists())
        self.assertIn("Seeds: 7, 8.", self.report())

    def test_other_settings_are_refused(self):
        self.run_script()
        self.calls()
        (self.data / "law/test_law.idx").write_text("longer")
        done = self.run_script()
        self.assertEqual(done.returncode, 1)
        self.assertIn("holds results with other settings (data)", done.stderr)
        self.assertEqual(self.calls(), [])

    def test_a_failure_names_step_and_log_and_can_be_mended(self):
        done = self.run_script(BREAK="demix-adapt")
        self.assertEqual(done.returncode, 1)
        log = self.output / "logs/seed-7/demix-adapted-poems.log"
        self.assertIn(f"seed 7, adapting demix to poems: demix-adapt ended with status 1; see {log}", done.stderr)
        self.assertIn("out of luck", done.stderr)
        self.assertIn("out of luck", log.read_text())
        self.assertFalse((self.output / "results/seed-7/demix-adapted-poems.json").exists())
        self.calls()
        self.assertEqual(self.run_script().returncode, 0)
        self.assertTrue(self.calls()[0].startswith("demix-adapt"))

    def interrupt(self, number, whole_group):
        process = self.start(HANG="demix-train-unbalanced")
        deadline = time.monotonic() + 60
        while not (self.root / "hanging").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + number, err)
        self.assertIn("run the same command again", err)
        self.assertNotIn("Traceback", err)
        self.assertFalse((self.output / "results/seed-7/train-unbalanced.json").exists())
        return (self.output / "logs/seed-7/train-unbalanced.log").read_text()

    def test_interrupted_from_the_keyboard(self):
        self.interrupt(signal.SIGINT, True)
        self.calls()
        self.assertEqual(self.run_script().returncode, 0)
        self.assertTrue(self.calls()[0].startswith("demix-train-unbalanced"))

    def test_a_request_to_end_reaches_the_program(self):
        begin = time.monotonic()
        self.interrupt(signal.SIGTERM, False)
        self.assertLess(time.monotonic() - begin, 50)  # it did not wait for the program's 60 s

    def test_a_damaged_result_is_named(self):
        self.run_script()
        path = self.output / "results/seed-7/train-dense.json"
        for content in ("", "[]", '{"phase": "training"}'):
            path.write_text(content)
            done = self.run_script("--report-only")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{path}: not a result of this experiment", done.stderr)

    def test_a_data_bin_that_lacks_something(self):
        (self.data / "poems/test_poems.bin").unlink()
        done = self.run_script()
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{self.data / 'poems/test_poems.bin'} is missing", done.stderr)
        self.assertEqual(self.calls(), [])

    def test_wrong_usage(self):
        for arguments, message in (
            (["--seeds", "1,x"], "is not a list of whole numbers"),
            (["--seeds", "1,1"], "is not a list of different names"),
            (["--seeds", "-1"], "is not a list of whole numbers"),
            (["--novel-domains", "law"], "--novel-domains: law is trained on"),
            (["--train-domains", "law,code"], "3 or more are needed"),
            (["--programs", str(self.data)], "lacks demix-prepare"),
            (["--programs", "/nonexistent"], "is not a folder"),
            (["--text", str(self.data)], "not allowed with"),
            (["--speed"], "unrecognized arguments: --speed"),
        ):
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(message, done.stderr)
        self.assertEqual(self.run_script("--help").returncode, 0)
        self.assertFalse(self.output.exists())


class Programs(Case):
    def test_tiny_text_from_beginning_to_end(self):
        write_text(self.root / "text")
        words = self.command("--text", self.root / "text", "--seeds", "5", programs=os.environ["DEMIX_BIN"])
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = self.report()
        self.assertNotIn("Not measured yet", report)
        self.assertNotIn("nan", report)
        self.assertIn("3 of 3 expert files are the same bytes", report)
        self.assertIn("**Holds**: After DEMix-DAPT, every old domain's own expert has the perplexity", report)
        records = {p.stem: json.loads(p.read_text()) for p in (self.output / "results/seed-5").glob("*.json")}
        self.assertEqual(len(records), STEPS)
        # The same model and text by two programs: the own expert alone, and the average of all domains.
        out = self.root / "evaluation.json"
        subprocess.run(
            [
                Path(os.environ["DEMIX_BIN"]) / "demix-eval",
                self.output / "data-bin",
                self.output / "models/seed-5/demix/checkpoint_last",
                "--json",
                out,
            ],
            check=True,
            capture_output=True,
        )
        for result in json.loads(out.read_text())["results"]:
            single = records[f"mix-demix-on-{result['domain']}"]["result"]["single"]
            own = next(s["perplexity"] for s in single if s["expert"] == result["domain"])
            self.assertAlmostEqual(own / result["perplexity"], 1, delta=1e-6)
        without = records["mix-demix-without-code-on-news"]["result"]
        self.assertEqual(without["experts"], ["law", "news"])
        joined = records["mix-demix-adapted-poems-on-poems"]["result"]
        self.assertEqual(joined["experts"], ["law", "code", "news", "poems"])


if __name__ == "__main__":
    unittest.main()
