"""Every C++ and CUDA file of the checkout has the format of .clang-format.

usage: format.py SOURCE_DIR

Needs clang-format 14, Debian 12's: another version lays the same code out in another way. Exits with 77, CTest's code for
"skipped", where there is none."""

import shutil
import subprocess
import sys

TOOL = "clang-format-14"
PATTERNS = ("*.cpp", "*.hpp", "*.cu", "*.cuh")

if __name__ == "__main__":
    root = sys.argv[1]
    if not shutil.which(TOOL):
        print(f"skipped: format needs {TOOL}, which Debian 12 and Ubuntu 22.04 have")
        sys.exit(77)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PATTERNS],
                            cwd=root, capture_output=True, text=True)
    if listed.returncode:
        print(f"skipped: format needs a git checkout: {listed.stderr.strip()}")
        sys.exit(77)
    files = [name for name in listed.stdout.split("\0") if name]
    done = subprocess.run([TOOL, "--dry-run", "-Werror", *files], cwd=root, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, f"\n{TOOL} -i FILE lays a file out", sep="")
        sys.exit(1)
    print(f"format: {len(files)} files, all well")
