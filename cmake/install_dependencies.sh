#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that demix is built from. Run it with --help for its options.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: cmake/install_dependencies.sh [--tests] [--check] [--help]

Finds out which packages demix needs that this machine lacks, and installs those with apt-get (through sudo
when you are not root). Nothing happens, and the network is not used, when everything is there.

  --tests   also what only the tests need
  --check   only report; exit 1 when something is missing
  --help    show this text

For Debian 12 or later and Ubuntu 22.04 or later. On Ubuntu 22.04 CMake has to come from elsewhere (the script
says how).
TEXT
}

# package | why demix needs it
packages=(
  "g++|C++20 compiler"
  "cmake|build system, 3.25 or later"
  "ninja-build|build tool of the presets"
  "ccache|makes a second build fast"
  "libboost-program-options-dev|command lines of the programs"
  "libhdf5-dev|checkpoints"
  "libdnnl-dev|matrix products on the CPU (oneDNN)"
  "libpcre2-dev|regular expressions of the tokenizer"
  "zlib1g-dev|text in gzip"
  "nlohmann-json3-dev|text, metrics and results in JSON"
  "libopenmpi-dev|training on several processes (MPI)"
  "openmpi-bin|starts them (mpirun)"
  "libbenchmark-dev|microbenchmarks"
  "gnuplot-nox|pictures of posteriors (demix-mix --plot)"
  "python3|corpus builder and test helpers"
)
readonly TEST_PACKAGES=(
  "libboost-test-dev|unit tests"
  "hdf5-tools|tests read checkpoints with h5dump"
  "python3-numpy|tests compare with NumPy"
  "python3-h5py|tests read checkpoints with h5py"
  "slurm-wlm|tests run ranks under SLURM"
  "munge|tests run ranks under SLURM"
  "clang|fuzz tests (libFuzzer)"
  "libclang-rt-dev|fuzz tests (sanitizers)"
  "libomp-dev|fuzz tests (OpenMP of clang)"
)
# Versions that a test pins. Other distributions have other ones, or headers that these do not understand.
readonly PINNED_PACKAGES=(
  "clang-format-14|test of the format"
  "clang-tidy-14|test of what clang-tidy finds"
)
readonly MIN_CMAKE=3.25

note() { printf 'install_dependencies: %s\n' "$*"; }
fail() { printf 'install_dependencies: error: %s\n' "$*" >&2; exit 1; }

is_installed() {
  [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# True where clang 14 is the distribution's own.
has_clang_14() {
  local system
  # shellcheck source=/dev/null
  system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_ID:-}") || true
  [[ $system == "debian 12" || $system == "ubuntu 22.04" ]]
}

# True when version $1 is at least version $2.
at_least() { dpkg --compare-versions "$1" ge "$2"; }

found_cmake_version() {
  command -v cmake >/dev/null || return 0
  cmake --version | sed -n '1s/^cmake version \([0-9.]*\).*/\1/p'
}

# Runs a command as root.
as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

explain_old_cmake() {
  cat >&2 <<TEXT
install_dependencies: error: cmake $1 is too old: demix needs $MIN_CMAKE or later, and this distribution serves none.
Install a newer one, open a new shell, and run this script again. Any one of these does it:
  python3 -m pip install --user 'cmake>=$MIN_CMAKE'    (then put ~/.local/bin first in PATH)
  sudo snap install cmake --classic
  the apt repository of CMake's makers, Kitware
TEXT
  exit 1
}

check_only=false
for argument in "$@"; do
  case "$argument" in
    --tests)
      packages+=("${TEST_PACKAGES[@]}")
      if has_clang_14; then
        packages+=("${PINNED_PACKAGES[@]}")
      else
        note "the tests format and tidy need clang 14, the one of Debian 12 and Ubuntu 22.04: they will be skipped"
      fi
      ;;
    --check) check_only=true ;;
    --help | -h) usage; exit 0 ;;
    *) printf 'install_dependencies: error: unknown option "%s"\n' "$argument" >&2; usage >&2; exit 2 ;;
  esac
done

for tool in dpkg-query apt-get; do
  command -v "$tool" >/dev/null || fail "$tool not found: this script is for Debian and Ubuntu. On another system" \
    "install the like of: ${packages[*]%%|*}"
done

missing=()
for entry in "${packages[@]}"; do
  package=${entry%%|*}
  # A new enough cmake may come from elsewhere than apt.
  if [[ $package == cmake ]]; then
    version=$(found_cmake_version)
    if [[ -n $version ]] && at_least "$version" "$MIN_CMAKE"; then continue; fi
  fi
  if is_installed "$package"; then continue; fi
  missing+=("$package")
  note "missing: $package (${entry#*|})"
done

if [[ ${#missing[@]} -gt 0 ]]; then
  if $check_only; then
    note "${#missing[@]} missing; run cmake/install_dependencies.sh without --check to install"
    exit 1
  fi
  if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
    fail "not root, and no sudo. Ask an administrator to run: apt-get install ${missing[*]}"
  fi
  note "installing with apt-get: ${missing[*]}"
  as_root apt-get update -qq || note "apt-get update reported errors; going on with the package lists at hand"
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install: ${missing[*]} (see its message above; Ubuntu needs its 'universe' component)"
  hash -r
fi

version=$(found_cmake_version)
at_least "${version:-0}" "$MIN_CMAKE" || explain_old_cmake "${version:-(none)}"
note "all ${#packages[@]} dependencies are there (cmake $version)"
