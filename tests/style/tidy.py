"""clang-tidy finds nothing in the headers and the programs (.clang-tidy says what it looks for).

usage: tidy.py SOURCE_DIR FLAG...   (FLAG: what the compiler needs)

Needs clang-tidy 14, Debian 12's: each version has other checks. Exits with 77, CTest's code for "skipped", where there is
none. Looks at one file that includes every .hpp, and at the programs, which instantiate them."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOOL = "clang-tidy-14"
# The same lines as train_demix.cpp, for another type.
LEFT_OUT = {"train_dense.cpp", "train_unbalanced.cpp", "train_domain_token.cpp"}


def findings(root, flags, source):
    done = subprocess.run([TOOL, "--quiet", f"--config-file={root / '.clang-tidy'}", source, "--", *flags],
                          cwd=root, capture_output=True, text=True)
    return f"{source}:\n{done.stdout}{done.stderr}" if done.returncode else ""


if __name__ == "__main__":
    root, flags = Path(sys.argv[1]), [f"-I{sys.argv[1]}/include", *sys.argv[2:]]
    if not shutil.which(TOOL):
        print(f"skipped: tidy needs {TOOL}, which Debian 12 and Ubuntu 22.04 have")
        sys.exit(77)
    headers = sorted(path.relative_to(root / "include") for path in root.glob("include/demix/**/*.hpp"))
    if "-DDEMIX_MPI" not in flags:
        headers.remove(Path("demix/comm/mpi.hpp"))
    programs = [path for path in sorted(root.glob("examples/*.cpp")) if path.name not in LEFT_OUT]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        every = Path(folder) / "every_header.cpp"
        every.write_text("".join(f'#include "{header}"\n' for header in headers))
        found = [*filter(None, pool.map(lambda source: findings(root, flags, source), [every, *programs]))]
    # A header's finding comes from every file that includes it.
    lines = dict.fromkeys("\n".join(found).splitlines())
    print("\n".join(lines) or f"tidy: {len(headers)} headers and {len(programs)} programs, all well")
    sys.exit(1 if found else 0)
