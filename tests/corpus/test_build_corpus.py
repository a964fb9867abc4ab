import contextlib
import io
import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import build_corpus
from domains import DOMAINS, Domain
from packages import FetchError, PackageCache
from text import Document


def domain(name, documents=2, megabytes=9e-6, read=None):
    return Domain(name, (f"pkg-{name}",), read or (lambda root: iter(())), documents, megabytes, "none")


class Selection(unittest.TestCase):
    def test_copies_go_and_ids_are_unique(self):
        documents = [Document("a", "x\n\n"), Document("b", "x"), Document("a", "y"), Document("c", " \n")]
        self.assertEqual(list(build_corpus.unique(documents, "d")), [("d/a", "x\n"), ("d/a~2", "y\n")])

    def test_long_documents_are_split(self):
        paragraph = "x" * 60_000
        found = list(build_corpus.unique([Document("a", f"{paragraph}1\n\n{paragraph}2")], "d"))
        self.assertEqual(
            [(document.id, len(document.text)) for document in found], [("d/a/1", 60_002), ("d/a/2", 60_002)]
        )

    def test_a_sample_is_within_the_budget_in_order_spread_out_and_repeatable(self):
        documents = [Document(str(i), "é" * 50) for i in range(1000)]
        sample = build_corpus.sample(documents, 20_050)
        numbers = [int(document.id) for document in sample]
        self.assertEqual(build_corpus.size(sample), 20_000)
        self.assertEqual(numbers, sorted(numbers))
        self.assertTrue(60 < sum(number >= 500 for number in numbers) < 140)
        self.assertEqual(build_corpus.sample(documents, 20_050), sample)
        self.assertEqual(build_corpus.sample(documents, 10**9), documents)

    def test_implausible_amounts(self):
        documents = [Document("a", "x" * 500_000)] * 2
        build_corpus.check_plausible(domain("d", 2, 1.0), documents)
        for usual in ((5, 1.0), (2, 2.1), (2, 0.2)):
            with self.assertRaisesRegex(ValueError, "plausible"):
                build_corpus.check_plausible(domain("d", *usual), documents)

    def test_the_table_of_domains(self):
        self.assertEqual(sum(not d.novel for d in DOMAINS), 8)
        self.assertEqual(sum(d.novel for d in DOMAINS), 4)
        self.assertEqual(len({d.name for d in DOMAINS}), 12)


FAKE_APT_GET = """#!/bin/sh
# Keeps a log; "update" makes packages available; knows one package, good.
echo "$@" >> "$FAKE/log"
for last; do :; done
case "$*" in
  *update*) touch "$FAKE/updated" ;;
  *download*)
    if [ "$last" = good ] && [ -e "$FAKE/updated" ]; then cp "$FAKE/good.deb" good_1_all.deb
    else echo "W: noise" >&2; echo "E: Unable to locate package $last" >&2; exit 100; fi ;;
esac
"""
FAKE_APT_CACHE = """#!/bin/sh
case "$*" in
  *depends*libboost-dev*) [ -e "$FAKE/meta" ] &&
    printf 'libboost-dev\\n  Depends: libboost1.83-dev\\n  Suggests: x\\n' ;;
  *pkgnames*) printf 'libboost1.9-dev\\nlibboost1.74-dev\\nlibboost1.74-all-dev\\nother\\n' ;;
esac
"""


@unittest.skipUnless(shutil.which("dpkg-deb"), "skipped: needs dpkg-deb")
class Packages(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        for name, script in {"apt-get": FAKE_APT_GET, "apt-cache": FAKE_APT_CACHE}.items():
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)
        package = self.folder / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text(
            "Package: good\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
        )
        (package / "usr").mkdir()
        (package / "usr/file").write_text("content")
        package.chmod(0o755)
        (package / "DEBIAN").chmod(0o755)
        subprocess.run(["dpkg-deb", "-b", package, self.folder / "good.deb"], check=True, capture_output=True)
        environment = {"FAKE": str(self.folder), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        patch = mock.patch.dict(os.environ, environment)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        with contextlib.redirect_stdout(io.StringIO()):
            self.cache = PackageCache(self.folder / "cache")

    def fetch(self, package):
        with contextlib.redirect_stdout(io.StringIO()):
            return self.cache.fetch(package)

    def log(self):
        return (self.folder / "log").read_text().splitlines()

    def test_fetches_after_an_update_and_only_once(self):
        deb = self.fetch("good")
        self.assertEqual(deb.name, "good_1_all.deb")
        self.assertEqual(self.fetch("good"), deb)
        self.assertEqual(len(self.log()), 3)  # download, update, download
        self.assertIn(f"Dir::State::Lists={self.folder}/cache/apt/lists", self.log()[1])
        self.cache.unpack(deb, self.folder / "root")
        self.assertEqual((self.folder / "root/usr/file").read_text(), "content")

    def test_a_package_that_does_not_exist(self):
        with self.assertRaisesRegex(FetchError, r"cannot download bad: Unable to locate package bad$"):
            self.fetch("bad")

    def test_a_damaged_package_is_fetched_anew(self):
        deb = self.fetch("good")
        deb.write_bytes(deb.read_bytes()[:200])
        with self.assertRaisesRegex(FetchError, "damaged"):
            self.cache.unpack(deb, self.folder / "root")
        self.cache.unpack(self.fetch("good"), self.folder / "root")

    def test_a_half_download_is_not_taken_for_a_package(self):
        (self.folder / "cache/partial").mkdir()
        (self.folder / "cache/partial/bad_1_all.deb").write_bytes(b"half")
        self.fetch("good")
        with self.assertRaises(FetchError):
            self.fetch("bad")

    def test_the_served_version_is_found(self):
        pattern = r"libboost\d+\.\d+-dev"
        self.assertEqual(self.cache.find("libboost-dev", pattern), "libboost1.74-dev")
        (self.folder / "meta").touch()
        self.assertEqual(self.cache.find("libboost-dev", pattern), "libboost1.83-dev")
        with contextlib.redirect_stdout(io.StringIO()), self.assertRaisesRegex(FetchError, "nothing"):
            self.cache.find("libboost-dev", "nothing")

    def test_without_apt(self):
        with (
            mock.patch.dict(os.environ, {"PATH": "/nonexistent"}),
            self.assertRaisesRegex(FetchError, "apt-get not found"),
        ):
            self.fetch("good")


class Command(unittest.TestCase):
    def run_main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = build_corpus.main(list(arguments))
            except SystemExit as exit:
                status = exit.code
        return status, out.getvalue(), err.getvalue()

    def test_wrong_usage(self):
        for arguments, message in (
            (["--domains", "scripture,latin", "/x"], "no domain latin; there are scripture"),
            (["--max-bytes-per-domain", "0", "/x"], "not above 0"),
            ([], "OUT is missing"),
        ):
            status, _, err = self.run_main(*arguments)
            self.assertEqual(status, 2)
            self.assertIn(message, err)

    def test_list(self):
        status, out, _ = self.run_main("--list")
        self.assertEqual(status, 0)
        self.assertEqual(len(out.splitlines()), 13)

    def test_one_bad_domain_does_not_stop_the_others_and_finished_ones_stay(self):
        def broken(root):
            yield Document("1", "x")
            raise KeyError("variables")

        table = (
            domain("good", read=lambda root: iter([Document("1", 'é "x"'), Document("2", "y")])),
            domain("bad", read=broken),
            domain("thin", documents=100),
        )
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(build_corpus, "DOMAINS", table),
            mock.patch.object(PackageCache, "fetch"),
            mock.patch.object(PackageCache, "unpack"),
        ):
            status, out, err = self.run_main("--cache", f"{folder}/cache", f"{folder}/out")
            self.assertEqual(status, 1)
            self.assertIn("domain bad is missing: KeyError: 'variables'", err)
            self.assertIn("domain thin is missing: 0 documents came out", err)
            self.assertIn("2 of 3 domains are missing: bad, thin", err)
            self.assertEqual(os.listdir(f"{folder}/out"), ["good.jsonl"])
            lines = Path(folder, "out/good.jsonl").read_text(encoding="utf-8").splitlines()
            self.assertEqual(
                [json.loads(line) for line in lines],
                [{"text": 'é "x"\n', "id": "good/1"}, {"text": "y\n", "id": "good/2"}],
            )
            Path(folder, "out/good.jsonl").write_text("finished")
            status, out, _ = self.run_main("--cache", f"{folder}/cache", "--domains", "good", f"{folder}/out")
            self.assertEqual((status, Path(folder, "out/good.jsonl").read_text()), (0, "finished"))
            self.assertIn("already there", out)
