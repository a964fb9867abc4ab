"""cmake/install_dependencies.sh and tests/run.sh with stand-ins for the system's tools."""

import platform
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = "bash env sed id dirname cat dpkg nproc"  # what the scripts may use of the real system


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for tool in TOOLS.split():
            path = shutil.which(tool)
            if path is None:
                self.skipTest(f"skipped: needs {tool}")
            (self.bin / tool).symlink_to(path)
        for script in ("cmake/install_dependencies.sh", "tests/run.sh"):
            (self.root / script).parent.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / script, self.root / script)
        standin = self.root / "tests/cuda/standin.sh"
        standin.parent.mkdir()
        standin.write_text(f"#!{shutil.which('sh')}\necho $STANDIN\n")
        standin.chmod(0o755)
        self.tool(
            "cmake", 'echo "cmake $*" >> "$ROOT/log"; [ "$1" != --version ] || echo "cmake version 3.25.1"'
        )
        self.tool("ctest", 'echo "ctest $*" >> "$ROOT/log"; echo verdict; exit ${CTEST_STATUS:-0}')
        self.tool("dpkg-query", '[ ! -e "$ROOT/missing/$3" ] || exit 1; echo -n installed')
        self.tool("apt-get", 'echo "apt-get $*" >> "$ROOT/log"; [ "$1" = update ] || exit ${APT_STATUS:-0}')
        self.tool("sudo", 'echo sudo >> "$ROOT/log"; exec "$@"')
        (self.root / "missing").mkdir()

    def tool(self, name, body):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('sh')}\n{body}\n")
        path.chmod(0o755)

    def run_script(self, script, *arguments, **environment):
        done = subprocess.run(
            [self.root / script, *arguments],
            capture_output=True,
            text=True,
            env={"PATH": str(self.bin), "ROOT": str(self.root), **environment},
        )
        log = self.root / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return done, [line for line in lines if "--version" not in line]


class InstallDependencies(Scripts):
    def install(self, *arguments, **environment):
        return self.run_script("cmake/install_dependencies.sh", *arguments, **environment)

    def test_nothing_missing_nothing_done(self):
        done, log = self.install()
        self.assertEqual((done.returncode, log), (0, []), done.stderr)

    def test_check_only_reports(self):
        (self.root / "missing/libdnnl-dev").touch()
        done, log = self.install("--check")
        self.assertEqual((done.returncode, log), (1, []))
        self.assertIn("missing: libdnnl-dev (matrix products", done.stdout)

    def test_installs_only_what_is_missing_as_root(self):
        (self.root / "missing/libdnnl-dev").touch()
        (self.root / "missing/ninja-build").touch()
        for user, sudo in (("0", []), ("1000", ["sudo"])):
            self.tool("id", f"echo {user}")
            done, log = self.install()
            self.assertEqual(done.returncode, 0, done.stderr)
            install = "apt-get install -y -qq --no-install-recommends ninja-build libdnnl-dev"
            self.assertEqual(log, [*sudo, "apt-get update -qq", *sudo, install])

    def test_what_only_tests_need_comes_with_tests_alone(self):
        (self.root / "missing/clang").touch()
        self.tool("id", "echo 0")
        self.assertEqual(self.install()[1], [])
        log = self.install("--tests")[1]
        self.assertEqual(log[1:], ["apt-get install -y -qq --no-install-recommends clang"])

    def test_pinned_tools_come_where_the_distribution_has_them_as_its_own(self):
        (self.root / "missing/clang-tidy-14").touch()
        self.tool("id", "echo 0")
        self.assertEqual(self.install()[1], [])
        done, log = self.install("--tests")
        system = platform.freedesktop_os_release()
        if (system["ID"], system.get("VERSION_ID")) in {("debian", "12"), ("ubuntu", "22.04")}:
            self.assertEqual(log[1:], ["apt-get install -y -qq --no-install-recommends clang-tidy-14"])
        else:
            self.assertEqual(log, [])
            self.assertIn("format and tidy need clang 14", done.stdout)

    def test_neither_root_nor_sudo(self):
        (self.root / "missing/ccache").touch()
        self.tool("id", "echo 1000")
        (self.bin / "sudo").unlink()
        done, log = self.install()
        self.assertEqual((done.returncode, log), (1, []))
        self.assertIn("apt-get install ccache", done.stderr)

    def test_a_failing_apt_is_reported(self):
        (self.root / "missing/ccache").touch()
        done, _ = self.install(APT_STATUS="100")
        self.assertEqual(done.returncode, 1)
        self.assertIn("could not install: ccache", done.stderr)

    def test_old_cmake_is_explained_and_a_new_one_from_elsewhere_accepted(self):
        self.tool("cmake", 'echo "cmake version 3.22.1"')
        done, _ = self.install()
        self.assertEqual(done.returncode, 1)
        self.assertIn("cmake 3.22.1 is too old", done.stderr)
        self.tool("cmake", 'echo "cmake version 4.0.0-rc1"')
        (self.root / "missing/cmake").touch()
        done, log = self.install()
        self.assertEqual((done.returncode, log), (0, []), done.stderr)

    def test_wrong_usage_and_other_systems(self):
        self.assertEqual(self.install("--chekc")[0].returncode, 2)
        self.assertEqual(self.install("--help")[0].returncode, 0)
        (self.bin / "apt-get").unlink()
        done, _ = self.install()
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get not found", done.stderr)


class Run(Scripts):
    def test_steps_arguments_and_last_line(self):
        done, log = self.run_script("tests/run.sh", "-R", "a b")
        self.assertEqual(done.returncode, 0, done.stderr)
        cuda = "ON" if Path("/usr/local/cuda/bin/nvcc").exists() else "OFF"
        self.assertEqual(log[0], f"cmake --preset ci -DDEMIX_CUDA={cuda}")
        self.assertTrue(log[1].startswith("cmake --build --preset ci -j "))
        self.assertTrue(log[2].startswith("ctest --preset ci -j 2 --output-on-failure"))
        self.assertTrue(log[2].endswith(" -R a b"))
        self.assertEqual(done.stdout.splitlines()[-1], "verdict")

    def test_cuda_and_ccache_are_used_where_they_are(self):
        self.tool("nvcc", "")
        self.tool("ccache", "")
        _, log = self.run_script("tests/run.sh", STANDIN="/some/folder")
        self.assertIn("-DDEMIX_CUDA=ON", log[0])
        self.assertIn("-DDEMIX_CUDA_STANDIN=/some/folder", log[0])
        self.assertIn("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", log[0])

    def test_every_failure_counts(self):
        self.assertEqual(self.run_script("tests/run.sh", CTEST_STATUS="8")[0].returncode, 8)
        self.tool("cmake", '[ "$1" = --version ] && echo "cmake version 3.25.1" || exit 3')
        done, log = self.run_script("tests/run.sh")
        self.assertEqual((done.returncode, log), (3, []))
        (self.root / "missing/ccache").touch()
        self.assertEqual(self.run_script("tests/run.sh", APT_STATUS="100")[0].returncode, 1)
