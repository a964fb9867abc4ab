"""Includes point only down the line of rooms, and every header compiles alone.

usage: check_includes.py INCLUDE_DIR [COMPILER FLAG...]   (with a compiler, headers are compiled too)"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The rooms, each with those right below it: what it may include besides itself, and what those may.
LOWER = {
    "core": "",
    "device": "core",
    "ops": "device",
    "model": "ops",
    "comm": "model",
    "optim": "model",
    "text": "core",
    "data": "model text",
    "prepare": "data",
    "checkpoint": "optim comm text",
    "eval": "data",
    "train": "eval checkpoint",
    "adapt": "train",
    "program": "adapt prepare",
}


def below(room):
    """The rooms that stand below `room`, directly or not."""
    return set(LOWER[room].split()).union(*(below(lower) for lower in LOWER[room].split()))


BELOW = {room: below(room) for room in LOWER}
MOST_LINES = 400
MOST_OF_ALL = 0.15  # of the lines, in one room
# What demix::model offers, and the libraries that it does without.
MODEL = {"device", "ops", "model", "comm", "optim", "eval/mixture.hpp"}
NEEDS_MPI = "demix/comm/mpi.hpp"
NOT_FOR_MODEL = re.compile(r"#include <((boost|nlohmann)/|hdf5|pcre2|zlib)")


def complaints(root):
    headers = sorted([*root.glob("demix/**/*.hpp"), *root.glob("demix/**/*.cuh")])
    if not headers:
        yield f"{root}: no headers"
    sizes = {room: 0 for room in LOWER}
    for header in headers:
        folder = header.relative_to(root / "demix").parts[0]
        if folder == "version.hpp":
            continue
        if folder not in BELOW:
            yield f"{header}: folder '{folder}' is not a room"
            continue
        lines = header.read_text().splitlines()
        sizes[folder] += len(lines)
        if len(lines) > MOST_LINES:
            yield f"{header}: {len(lines)} lines, more than {MOST_LINES}"
        for number, line in enumerate(lines, 1):
            if match := re.match(r'#include [<"]demix/(\w+)/(\S+)[>"]', line):
                if match[1] != folder and match[1] not in BELOW[folder]:
                    yield f"{header}:{number}: {folder} must not include {match[1]}"
                if header.suffix == ".hpp" and match[2].endswith(".cuh"):
                    yield f"{header}:{number}: a .hpp must not need CUDA"
                if not (root / "demix" / match[1] / match[2]).exists():
                    yield f"{header}:{number}: includes a header that does not exist"
    for room, size in sizes.items():
        if size > MOST_OF_ALL * sum(sizes.values()):
            yield f"{room}: {size} of {sum(sizes.values())} lines; divide it"


def included(root, header, seen):
    """The header and all headers of demix that it includes, directly or not."""
    seen.add(header)
    for name in re.findall(r'^#include "(demix/\S+)"', header.read_text(), re.M):
        if root / name not in seen and (root / name).exists():
            included(root, root / name, seen)
    return seen


def foreign_to_model(root):
    for header in sorted(root.glob("demix/**/*.hpp")):
        path = header.relative_to(root / "demix")
        if path.parts[0] in MODEL or str(path) in MODEL:
            for part in included(root, header, set()):
                if match := NOT_FOR_MODEL.search(part.read_text()):
                    yield f"{header}: {part} has {match[0]}, but demix::model needs oneDNN and OpenMP alone"


def compile_alone(root, command):
    def failure(header):
        done = subprocess.run([*command, "-fsyntax-only", "-x", "c++", "-I", root, "-include", header, os.devnull],
                              capture_output=True, text=True)
        return f"{header} does not compile alone:\n{done.stderr}" if done.returncode else None

    headers = sorted(root.glob("demix/**/*.hpp"))
    if "-DDEMIX_MPI" not in command:
        headers.remove(root / NEEDS_MPI)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(failure, headers))


if __name__ == "__main__":
    include, command = Path(sys.argv[1]), sys.argv[2:]
    found = [*complaints(include), *foreign_to_model(include), *(compile_alone(include, command) if command else [])]
    print("\n".join(found) or "includes: all well")
    sys.exit(1 if found else 0)
