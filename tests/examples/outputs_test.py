"""Every output of every program: checked, known to be possible before the work, and whole or not there."""

import json
import os
import pty
import re
import resource
import shutil
import signal
import stat
import subprocess
import time
import unittest

from generate_test import GenerateTest
from programs import BIN, files_of, run, small, train

PROGRAMS = ["demix-prepare", "demix-train-demix", "demix-train-dense", "demix-train-unbalanced",
            "demix-train-domain-token", "demix-train-custom-ffn", "demix-eval", "demix-mix", "demix-adapt",
            "demix-experts", "demix-generate"]


class OutputsTest(GenerateTest):
    """GenerateTest: a data-bin with a vocabulary that generates, and a checkpoint."""

    def setUp(self):
        super().setUp()
        (self.folder / "in").mkdir()
        for name in ("one", "two"):
            text = "".join(json.dumps({"text": f"{name} document {i} " * 20}) + "\n" for i in range(30))
            (self.folder / "in" / f"{name}.jsonl").write_text(text)
        shutil.copytree(self.data / "alpha", self.data / "delta")
        for path in list((self.data / "delta").iterdir()):
            path.rename(path.with_name(path.name.replace("alpha", "delta")))
        self.mix = ["demix-mix", self.data, self.checkpoint, "--domain", "beta", "--ensemble", "uniform_prior"]
        self.generation = ["demix-generate", self.checkpoint, "--data", self.data, "--prompt", "ab", "--max-tokens", 5]

    def prepare(self, output):
        return ["demix-prepare", "--input-dir", self.folder / "in", "--output", output, "--vocab-size", 300,
                "--valid-fraction", 0.2, "--test-fraction", 0.2]

    def adapt(self, output):
        return ["demix-adapt", self.data, self.checkpoint, "--domain", "delta", "--mode", "feedforward",
                "--save-dir", output, "--max-update", 1, "--threads", 1]

    def printing(self):
        """Commands that print to the standard output."""
        return {
            "eval": ["demix-eval", self.data, self.checkpoint],
            "mix": self.mix,
            "generate": self.generation,
            "list": ["demix-experts", "list", self.checkpoint],
            "extract": ["demix-experts", "extract", self.checkpoint, "beta", "--output", self.folder / "extracted"],
            "prepare": self.prepare(self.folder / "prepared"),
            "decode": ["demix-prepare", "--decode", self.data / "beta" / "train", "--document-prefix", ""],
            "adapt": self.adapt(self.folder / "adapted"),
        } | {f"{program} --help": [program, "--help"] for program in PROGRAMS}


class StandardOutput(OutputsTest):
    def check_all_fail(self, reason, **options):
        for name, command in self.printing().items():
            with self.subTest(name):
                done = subprocess.run([BIN / command[0], *map(str, command[1:])], stderr=subprocess.PIPE, text=True,
                                      timeout=300, **options)
                self.assert_fails(done, 1, f"{command[0]}: cannot write to the standard output: {reason}")

    def test_a_full_disk(self):
        with open("/dev/full", "w") as full:
            self.check_all_fail("No space left on device", stdout=full)

    def test_closed(self):
        self.check_all_fail("Bad file descriptor", preexec_fn=lambda: os.close(1))

    def test_a_pipe_that_nobody_reads(self):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as unread:
            self.check_all_fail("Broken pipe", stdout=unread)

    def test_progress_does_not_end_in_files(self):
        """Where a standard descriptor is closed, the next file must not get its number."""
        def close(*descriptors):
            return lambda: [os.close(descriptor) for descriptor in descriptors]

        def trained(name, **options):
            folder = self.folder / name
            done = subprocess.run([BIN / "demix-train-demix", self.data, "--save-dir", folder,
                                   *small("--max-update", 4, "--log-interval", 1)],
                                  stderr=subprocess.DEVNULL, timeout=300, **options)
            self.assertEqual(done.returncode, 0)
            files = files_of(folder)
            self.assertEqual(files.pop(".lock", b""), b"")
            lines = files.pop("metrics.jsonl").splitlines()
            self.assertEqual([json.loads(line)["step"] for line in lines], [1, 2, 3, 4, 4])
            return files

        expected = trained("plain")
        for descriptors in ((2,), (0,), (0, 1, 2)):
            name = "without_" + "_".join(map(str, descriptors))
            self.assertEqual(trained(name, preexec_fn=close(*descriptors)), expected)
        (self.folder / "result.json").write_text("old")
        done = subprocess.run([BIN / "demix-eval", self.data, self.checkpoint, "--json", self.folder / "result.json"],
                              stdout=subprocess.PIPE, preexec_fn=close(2), timeout=300)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(json.loads((self.folder / "result.json").read_text())["results"]), 3)


class OutputFiles(OutputsTest):
    def writing(self):
        """Commands that write, with what they write."""
        place = self.folder / "out"
        longer = f"{self.checkpoint}{'/.' * 100}"  # which the lines repeat
        return {
            "eval --json": (["demix-eval", self.data, self.checkpoint, "--json", place], place),
            "eval --output": (["demix-eval", self.data, longer, "--output", place], place),
            "mix --json": ([*self.mix, "--json", place], place),
            "mix --output": ([*self.mix, "--batch-size", 1, "--output", place], place),
            "mix --plot": ([*self.mix, "--plot", f"{place}.svg"], place.with_suffix(".svg")),
            "generate --json": ([*self.generation, "--json", place], place),
        }

    def leftovers(self):
        return [str(path) for path in self.folder.rglob("*partial*")]

    def test_a_file_that_may_not_grow(self):
        """As `ulimit -f`: a message, 1, and nothing half-done."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

        folders = {
            "prepare": (self.prepare(self.folder / "p"), self.folder / "p"),
            "extract": (["demix-experts", "extract", self.checkpoint, "beta", "--output", self.folder / "x"],
                        self.folder / "x"),
            "adapt": (self.adapt(self.folder / "a"), self.folder / "a" / "checkpoint_1"),
            "train": (["demix-train-demix", self.data, "--save-dir", self.folder / "t", *small("--max-update", 1)],
                      self.folder / "t" / "checkpoint_1"),
        }
        for name, (command, place) in (self.writing() | folders).items():
            if name == "mix --plot" and not shutil.which("gnuplot"):
                continue
            with self.subTest(name):
                if name not in folders:
                    place.write_text("old")
                done = run(*command, preexec_fn=limit)
                self.assert_fails(done, 1, "File too large")
                self.assertTrue(done.stderr.splitlines()[-1].startswith(f"{command[0]}: "), done.stderr)
                if name in folders:
                    self.assertFalse(place.exists())
                else:
                    self.assertEqual(place.read_text(), "old")
                self.assertEqual(self.leftovers(), [])

    def test_a_signal_leaves_no_part_of_a_file(self):
        out, partial = self.folder / "out.json", self.folder / ".out.json.partial"
        evaluation = ["demix-eval", self.data, self.checkpoint]
        for command in (evaluation, self.mix, [*self.generation[:-1], 2000]):
            with subprocess.Popen([str(BIN / command[0]), *map(str, command[1:]), "--json", str(out)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
                while child.poll() is None and not partial.exists():
                    time.sleep(0.001)
                child.send_signal(signal.SIGTERM)
                _, errors = child.communicate(timeout=60)
            self.assertIn(child.returncode, (0, 143), errors)  # it may have been done already
            self.assertFalse(partial.exists())
            if child.returncode == 143:
                self.assertIn(f"{command[0]}: SIGTERM: stopping after this", errors)
                self.assertFalse(out.exists())
            out.unlink(missing_ok=True)

    def test_a_full_file_system(self):
        """A small file system of its own; needs the right to mount one."""
        mount, place = "mount -t tmpfs -o size=64k demix-test", self.folder / "small"
        place.mkdir()
        if subprocess.run(["unshare", "-m", "sh", "-c", f"{mount} {place}"], capture_output=True).returncode != 0:
            self.skipTest("skipped: no right to mount a file system")

        def on_it(command, before="true"):
            words = " ".join(f"'{word}'" for word in [BIN / command[0], *command[1:]])
            script = f"{mount} {place} && {before} && {words}; code=$?; find {place} -name '*partial*' >&2; exit $code"
            return subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=300)

        fill = f"dd if=/dev/zero of={place}/filler bs=1k count=200 2>{place}/none || true"
        commands = {
            "train": ["demix-train-demix", self.data, "--save-dir", place / "t", *small("--max-update", 1)],
            "adapt": self.adapt(place / "a"),
            "prepare": self.prepare(place / "p"),
            "extract": ["demix-experts", "extract", self.checkpoint, "beta", "--output", place / "x"],
            "remove": ["demix-experts", "remove", self.checkpoint, "beta", "--output", place / "x"],
        }
        for name, command in commands.items():
            with self.subTest(name):
                done = on_it(command)
                self.assert_fails(done, 1, "No space left on device")
                self.assertEqual([line for line in done.stderr.splitlines() if line.startswith(str(place))], [])
        for name, command in {"eval": ["demix-eval", self.data, self.checkpoint, "--json", place / "e"],
                              "mix": [*self.mix, "--output", place / "m"]}.items():
            with self.subTest(name):
                self.assert_fails(on_it(command, fill), 1, f"cannot write '{command[-1]}': No space left on device")

    def test_a_place_that_cannot_be_written_is_known_before_the_work(self):
        for name, (command, _) in self.writing().items():
            with self.subTest(name):
                wrong = self.folder / "no" / "x.svg"
                command = [self.folder / "none" if word == self.checkpoint else word for word in command[:-1]]
                self.assert_fails(run(*command, wrong), 1, command[-1], str(wrong), "No such file or directory")

    def test_links_pipes_and_descriptors(self):
        target, link, pipe = (self.folder / name for name in ("target", "link", "pipe"))
        target.write_text("old")
        target.chmod(0o640)
        link.symlink_to("target")
        evaluation = ["demix-eval", self.data, self.checkpoint, "--json"]
        self.assertEqual(run(*evaluation, link).returncode, 0)
        self.assertTrue(link.is_symlink())
        self.assertEqual(json.loads(target.read_text())["split"], "test")
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)
        os.mkfifo(pipe)
        reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
        self.assertEqual(run(*evaluation, pipe).returncode, 0)
        self.assertEqual(json.loads(reader.communicate(timeout=60)[0])["split"], "test")
        self.assertTrue(stat.S_ISFIFO(pipe.stat().st_mode))
        with target.open("w") as out:  # the table, then the JSON
            done = subprocess.run([BIN / evaluation[0], *evaluation[1:], "/proc/self/fd/1"], stdout=out, timeout=300)
        self.assertEqual(done.returncode, 0)
        table, brace, text = target.read_text().partition("{")
        self.assertEqual(len(table.splitlines()), 5)
        self.assertEqual(len(json.loads(brace + text)["results"]), 3)
        self.assertEqual(self.leftovers(), [])

    def test_the_lines_of_demix_eval(self):
        """As in the original's files: an object per domain, three fields; the numbers are those of --json."""
        lines, result = self.folder / "lines.jsonl", self.folder / "result.json"
        evaluation = ["demix-eval", self.data, self.checkpoint, "--split", "valid", "--output", lines, "--json", result]
        for options, expert_of in (([], lambda domain: domain), (["--expert", "gamma"], lambda _: "gamma")):
            done = run(*evaluation, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = json.loads(result.read_text())["results"]
            self.assertEqual([row["domain"] for row in rows], ["alpha", "beta", "gamma"])
            expected = [{"model": f"{self.checkpoint}/experts/{expert_of(row['domain'])}.h5",
                         "dataset": f"valid_{row['domain']}", "ppl": row["perplexity"]} for row in rows]
            self.assertEqual([json.loads(line) for line in lines.read_text().splitlines()], expected)
        done = run(*evaluation[:-1], lines)
        self.assert_fails(done, 1, "--json", "is being written already")
        self.assertEqual(len(lines.read_text().splitlines()), 3)

    def test_all_domains_are_looked_for_before_the_work(self):
        for path in (self.data / "gamma").glob("test*"):
            path.unlink()
        (self.folder / "result.json").write_text("old")
        done = run("demix-eval", self.data, self.checkpoint, "--json", self.folder / "result.json")
        self.assert_fails(done, 1, "no test split of domain 'gamma'")
        self.assertEqual(done.stdout, "")
        self.assertEqual((self.folder / "result.json").read_text(), "old")
        for path in (self.data / "gamma").glob("valid*"):
            path.unlink()
        done = train("demix", self.data, self.folder / "new", "--train-domains", "alpha,gamma", "--max-update", 1)
        self.assert_fails(done, 1, "no valid split of domain 'gamma'")
        self.assertFalse((self.folder / "new").exists())

    def test_a_picture_without_gnuplot(self):
        picture = self.folder / "x.svg"
        folder = self.folder / "bin"
        folder.mkdir()

        def plot(**environment):
            return run(*self.mix, "--json", self.folder / "m.json", "--plot", picture, env=os.environ | environment)

        done = plot(PATH="/nowhere")  # noticed before the work
        self.assert_fails(done, 1, "--plot", "gnuplot-nox")
        self.assertEqual(done.stdout, "")
        self.assertFalse((self.folder / "m.json").exists())
        gnuplot = folder / "gnuplot"
        for end, said in (("echo broken >&2; exit 3", "exit code 3): broken"), ("kill -9 $$", "signal 9"), ("", "gnuplot")):
            gnuplot.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo gnuplot && exit 0\n{end}\n')
            gnuplot.chmod(0o755)
            done = plot(PATH=f"{folder}:{os.environ['PATH']}")  # it reads nothing of what it is given
            self.assert_fails(done, 1, "--plot", said)
            self.assertIn("uniform_prior", done.stdout)
            self.assertEqual(len(json.loads((self.folder / "m.json").read_text())["results"]), 1)
            self.assertFalse(picture.exists())
        self.assertEqual(self.leftovers(), [])


class Terminal(OutputsTest):
    def test_control_characters(self):
        """Written out on a terminal; as they are elsewhere."""
        prompt = "a\x1b[31mb\x07c\x7fd\u009be\rf\tg\nh"
        command = [BIN / "demix-generate", self.checkpoint, "--data", self.data, "--prompt", prompt, "--max-tokens", "1"]
        self.assertIn(prompt.encode(), subprocess.run(command, capture_output=True, timeout=300, check=True).stdout)
        main, other = pty.openpty()
        child = subprocess.Popen(command, stdout=other)
        os.close(other)
        text = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # the end of a terminal
                part = b""
            if not part:
                break
            text += part
        self.assertEqual(child.wait(timeout=300), 0)
        os.close(main)
        text = text.replace(b"\r\n", b"\n").replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")
        self.assertIn(b"a\\x1b[31mb\\x07c\\x7fd\\u009be\\x0df\tg\nh", text)
        self.assertIsNone(re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text), text)


if __name__ == "__main__":
    unittest.main()
