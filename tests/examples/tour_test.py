"""README's tour: its commands as they stand there, in order, on text and sizes that take seconds.

The commands run in a folder that looks like the repository after the quickstart: quickstart-run/text has small
files of the same names, examples/tour.ini the same options with a smaller model, build/release/examples the
programs under test, and `cmake` (which has built them) is one that only looks at its arguments."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from programs import BIN

REPOSITORY = Path(__file__).resolve().parents[2]
DOMAINS = ["biology", "cpp", "dictionary", "fiction", "manual", "maths", "politics", "scripture"]
SMALLER = {"layers": 2, "d-model": 32, "heads": 2, "d-ffn": 64, "tokens-per-sample": 32, "max-update": 60,
           "validate-interval-updates": 20, "save-interval-updates": 20}


def commands():
    """The indented lines of README's section."""
    section = re.search(r"^## A tour$(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.M | re.S).group(1)
    return re.findall(r"^    (.+)$", section, re.M)


def write_text(folder):
    """Documents of words that their domain prefers."""
    folder.mkdir(parents=True)
    rng = random.Random(1)
    words = ["".join(rng.choice("abcdefghijklmnoprstuv") for _ in range(rng.randrange(2, 8))) for _ in range(300)]
    for number, domain in enumerate(DOMAINS):
        preferred = words[number * 30:number * 30 + 60]
        with (folder / f"{domain}.jsonl").open("w") as file:
            for _ in range(150):
                file.write(json.dumps({"text": " ".join(rng.choices(preferred, k=60)) + "\n"}) + "\n")


def smaller(ini):
    """The same options; every one of SMALLER must be there."""
    for name, value in SMALLER.items():
        ini, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", ini, flags=re.M)
        assert count == 1, name
    return ini + "threads = 1\n"


class Tour(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="demix-tour-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        write_text(self.folder / "quickstart-run" / "text")
        (self.folder / "examples").mkdir()
        ini = (REPOSITORY / "examples" / "tour.ini").read_text()
        (self.folder / "examples" / "tour.ini").write_text(smaller(ini))
        (self.folder / "build" / "release").mkdir(parents=True)
        (self.folder / "build" / "release" / "examples").symlink_to(BIN)
        tools = self.folder / "tools"
        tools.mkdir()
        self.tool(tools / "cmake", 'case "$*" in "--preset release -DDEMIX_BUILD_TESTS=OFF" | "--build --preset release") ;; '
                                   '*) echo "unexpected: $*" >&2; exit 1 ;; esac')
        if not shutil.which("gnuplot"):
            self.tool(tools / "gnuplot", 'echo "<?xml"')
        self.environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def tool(self, path, script):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run_all(self, lines):
        """What each command printed; all must succeed, in one shell, which keeps what is exported."""
        mark = "-- next command --"
        script = "".join(f"echo '{mark}'\n{line}\n" for line in lines)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=300)
        printed = done.stdout.split(f"{mark}\n")[1:]
        self.assertEqual(done.returncode, 0, f"{lines[len(printed) - 1]}\n{done.stderr}")
        return dict(zip(lines, printed))

    def test_every_command(self):
        lines = commands()
        self.assertEqual(len(lines), 15, "this test checks what each of the tour's commands prints")
        printed = self.run_all(lines)

        def output_of(start, *parts):
            found = [line for line in lines if line.startswith(start) and all(part in line for part in parts)]
            self.assertEqual(len(found), 1, (start, parts))
            return printed[found[0]]

        tour = self.folder / "tour"
        table = output_of("demix-prepare").splitlines()
        self.assertEqual([line.split()[0] for line in table[1::3]], DOMAINS)
        for model in ("demix", "dense"):
            output_of(f"demix-train-{model}")
            self.assertTrue((tour / model / "checkpoint_60").is_dir())
        scores = {result["domain"]: result["perplexity"] for result in json.loads((tour / "demix.json").read_text())["results"]}
        self.assertEqual(list(scores), DOMAINS[:-1])
        rows = [line.split() for line in output_of("demix-eval", "--split test").splitlines()]
        self.assertEqual([row[0] for row in rows], ["domain", *DOMAINS[:-1], "average"])
        forced = output_of("demix-eval", "--expert maths").splitlines()[1].split()
        self.assertEqual(forced[:2], ["cpp", "maths"])
        self.assertGreater(float(forced[2]), scores["cpp"])
        self.assertIn("updating_prior", output_of("demix-mix", "--mode estimate"))
        for line in (tour / "prior.jsonl").read_text().splitlines():
            self.assertEqual(json.loads(line)["experts"], DOMAINS[:-1])
        self.assertTrue((tour / "posterior.svg").read_text().startswith("<?xml"))
        mixed = output_of("demix-mix", "--prior")
        self.assertIn("cached_prior", mixed)
        self.assertEqual([line.split()[0] for line in mixed.splitlines()[-7:]], DOMAINS[:-1])
        self.assertIn("scripture starts from", output_of("demix-adapt"))
        joined = [line.split()[:2] for line in output_of("demix-eval", "joined").splitlines()]
        self.assertEqual(joined[1:-1], [[domain, domain] for domain in DOMAINS])
        listed = output_of("demix-experts list").splitlines()
        self.assertEqual([line.split()[0] for line in listed[-8:]], DOMAINS)
        self.assertIn("wrote tour/without_cpp", output_of("demix-experts remove"))
        self.assertFalse((tour / "without_cpp" / "experts" / "cpp.h5").exists())
        self.assertTrue((tour / "without_cpp" / "experts" / "scripture.h5").exists())
        self.assertTrue(output_of("demix-generate", "--expert scripture").startswith("In the beginning"))
        shown = output_of("demix-generate", "--show-posterior")
        self.assertIn("--- the prompt ends here", shown)
        self.assertIn("\nIn the beginning", shown)

    def test_the_names_are_the_repositorys(self):
        presets = json.loads((REPOSITORY / "CMakePresets.json").read_text())
        for kind in ("configurePresets", "buildPresets"):
            self.assertIn("release", [preset["name"] for preset in presets[kind]])
        defaults = (REPOSITORY / "examples" / "corpus" / "domains.py").read_text()
        for domain in DOMAINS:
            self.assertIn(f'"{domain}"', defaults)


if __name__ == "__main__":
    unittest.main()
