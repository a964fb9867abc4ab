"""quickstart.sh with stand-ins for the programs, and the table that it makes."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import quickstart_table

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

CMAKE = """#!/bin/bash
for last; do :; done
[[ $1 == --build ]] || exit 0
mkdir -p "$ROOT/build/release/examples"
shift; while [[ $1 != --target ]]; do shift; done; shift
for target; do cp "$ROOT/stand-in" "$ROOT/build/release/examples/$target"; done
"""
STAND_IN = """#!/usr/bin/env python3
import json, os, pathlib, sys, time
name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
root = pathlib.Path(os.environ["ROOT"])
with open(root / "calls", "a") as calls:
    print(name, *args, file=calls)
option = lambda key: pathlib.Path(args[args.index(key) + 1])
if name == os.environ.get("BREAK"):
    sys.exit("out of luck")
if name == "demix-prepare":
    option("--output").mkdir()
elif name.startswith("demix-train"):
    folder = option("--save-dir")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "visits").open("a").write("x")
    if name == os.environ.get("HANG"):
        (root / "hanging").touch()
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("saved", flush=True)
            sys.exit(0)
    (folder / "checkpoint_last").mkdir(exist_ok=True)
else:
    value = {"dense": 20, "demix": 10}.get(pathlib.Path(args[1]).parent.name, 30)
    results = [{"domain": d, "perplexity": value + i} for i, d in enumerate(("law", "code"))]
    option("--json").write_text(json.dumps({"results": results}))
"""


class Script(unittest.TestCase):
    def setUp(self):
        self.root = Path(self.enter(tempfile.TemporaryDirectory()))
        (self.root / "examples/corpus").mkdir(parents=True)
        for name in ("quickstart.sh", "quickstart_table.py", "recipe.txt"):
            shutil.copy(EXAMPLES / name, self.root / "examples" / name)
        self.script("cmake/install_dependencies.sh", "#!/bin/sh\n")
        self.script("bin/cmake", CMAKE)
        self.script("stand-in", STAND_IN)
        self.script("examples/corpus/build_corpus.py", "import sys; sys.exit('no network')\n")
        for domain in ("law", "code"):
            self.script(f"text/{domain}.jsonl", '{"text": "x"}\n')
        self.environment = {
            **os.environ,
            "ROOT": str(self.root),
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
        }

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def script(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def command(self, *arguments):
        return [self.root / "examples/quickstart.sh", "--data", self.root / "text", *arguments]

    def run_script(self, *arguments, **environment):
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, env={**self.environment, **environment}
        )

    def calls(self):
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]

    ALL_CALLS = [
        "demix-prepare",
        "demix-train-dense",
        "demix-eval",
        "demix-train-unbalanced",
        "demix-eval",
        "demix-train-domain-token",
        "demix-eval",
        "demix-train-demix",
        "demix-eval",
    ]

    def test_a_whole_run_and_nothing_is_done_twice(self):
        done = self.run_script()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.calls(), self.ALL_CALLS)
        self.assertIn(
            "demix is 48.8 % lower than dense on average, and better on 2 of 2 domains", done.stdout
        )
        output = self.root / "quickstart-run"
        self.assertIn("| average | 20.50 | 30.50 | 30.50 | **10.50** |", (output / "table.md").read_text())
        self.assertEqual(json.loads((output / "table.json").read_text())["average"]["domain_token"], 30.5)
        again = self.run_script()
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.calls(), [])
        self.assertEqual(again.stdout.count("already done"), 9)

    def test_other_settings_start_afresh(self):
        self.run_script()
        self.calls()
        self.assertEqual(self.run_script("--minutes", "30").returncode, 0)
        self.assertEqual(self.calls(), self.ALL_CALLS[1:])
        visits = self.root / "quickstart-run/models/demix/visits"
        self.assertEqual(visits.read_text(), "x")
        (self.root / "text/law.jsonl").write_text('{"text": "longer"}\n')
        self.assertEqual(self.run_script("--minutes", "30").returncode, 0)
        self.assertEqual(self.calls(), self.ALL_CALLS)

    def test_a_failure_is_fatal_and_names_the_log(self):
        done = self.run_script(BREAK="demix-train-unbalanced")
        self.assertEqual(done.returncode, 1)
        log = self.root / "quickstart-run/logs/train_unbalanced.log"
        self.assertIn(f"'demix-train-unbalanced' failed; its output is in {log}", done.stderr)
        self.assertIn("out of luck", log.read_text())
        self.assertEqual(self.calls(), self.ALL_CALLS[:4])
        self.assertEqual(self.run_script().returncode, 0)
        self.assertEqual(self.calls(), self.ALL_CALLS[3:])

    def test_a_failed_fetch_is_fatal(self):
        done = subprocess.run(
            [self.root / "examples/quickstart.sh"], capture_output=True, text=True, env=self.environment
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("no network", done.stdout)
        self.assertEqual(self.calls(), [])

    def test_interrupted_training_is_not_taken_for_finished_and_goes_on(self):
        process = subprocess.Popen(
            self.command(),
            env={**self.environment, "HANG": "demix-train-demix"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not (self.root / "hanging").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        self.assertIn("interrupted; run the same command again", err)
        self.assertNotIn("error", err)
        self.assertIn("saved", out)
        self.calls()
        self.assertEqual(self.run_script().returncode, 0)
        self.assertEqual(self.calls(), self.ALL_CALLS[-2:])
        self.assertEqual((self.root / "quickstart-run/models/demix/visits").read_text(), "xx")

    def test_wrong_usage(self):
        for arguments, message in (
            (["--minutes", "many"], "'many' is not a whole number"),
            (["--minutes", "3"], "leaves no time"),
            (["--data", "/nonexistent"], "is not a folder"),
            (["--data", str(self.root / "bin")], "has 0 domains"),
            (["--output"], "needs a value"),
            (["--output", "--data"], "needs a value"),
            (["--output", ""], "needs a value"),
            (["--speed", "1"], "unknown option '--speed'"),
        ):
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(message, done.stderr)
        self.assertEqual(self.run_script("--help").returncode, 0)
        self.assertFalse((self.root / "quickstart-run").exists())


class Table(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def result(self, name, **perplexities):
        path = Path(self.folder.name, name)
        results = [{"domain": domain, "perplexity": value} for domain, value in perplexities.items()]
        path.write_text(json.dumps({"results": results}))
        return path

    def run_main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = quickstart_table.main([str(argument) for argument in arguments])
        return status, out.getvalue(), err.getvalue()

    def test_numbers_and_marks(self):
        a = self.result("a", x=10, y=4)
        b = self.result("b", y=5.004, x=9.999)
        status, out, _ = self.run_main(f"dense={a}", f"demix={b}")
        self.assertEqual(status, 0)
        lines = [line.split() for line in out.splitlines()]
        self.assertIn(["x", "10.00*", "10.00*"], lines)  # equal as shown
        self.assertIn(["y", "4.00*", "5.00"], lines)
        self.assertIn(["average", "7.00*", "7.50"], lines)

    def test_it_does_not_favour_demix(self):
        status, out, _ = self.run_main(f"dense={self.result('a', x=10)}", f"demix={self.result('b', x=11)}")
        self.assertEqual(status, 0)
        self.assertIn("Lowest average perplexity: dense (10.00).", out)
        self.assertIn("demix is 10.0 % higher than dense on average, and better on 0 of 1 domains.", out)

    def test_numbers_that_are_none(self):
        path = Path(self.folder.name, "nan")
        path.write_text('{"results": [{"domain": "x", "perplexity": NaN}]}')
        status, out, _ = self.run_main(f"dense={self.result('a', x=10)}", f"demix={path}")
        self.assertIn("No comparison: the perplexity of demix", out)
        self.assertNotIn("nan*", out)

    def test_where_it_writes(self):
        result, pipe, missing = self.result("a", x=10), Path(self.folder.name, "pipe"), Path(self.folder.name, "no", "x")
        os.mkfifo(pipe)
        reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
        status, _, _ = self.run_main(f"dense={result}", "--json", pipe)
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(reader.communicate(timeout=60)[0])["average"], {"dense": 10})
        self.assertTrue(pipe.is_fifo())  # a rename would have replaced it
        status, out, err = self.run_main(f"dense={result}", "--markdown", missing)
        self.assertEqual((status, "10.00" in out), (1, True))
        self.assertIn(f"No such file or directory: '{missing}", err)

    def test_unusable_files(self):
        good = self.result("good", x=1)
        for name, content in {
            "empty": "",
            "list": "[]",
            "none": '{"results": []}',
            "text": '{"results": [{"domain": "x"}]}',
        }.items():
            path = Path(self.folder.name, name)
            path.write_text(content)
            status, _, err = self.run_main(f"a={good}", f"b={path}")
            self.assertEqual(status, 1)
            self.assertIn(str(path), err)
        status, _, err = self.run_main(f"a={good}", f"b={self.result('other', x=1, z=2)}")
        self.assertEqual(status, 1)
        self.assertIn("differ in z", err)
