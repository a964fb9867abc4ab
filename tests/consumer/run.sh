#!/usr/bin/env bash
# run.sh SOURCE BUILD MODE: demix as the guest of another project, from SOURCE (MODE subdirectory) or from what
# `cmake --install BUILD` puts somewhere (MODE package): builds the README's first program and one with all headers under
# a strict host's warnings, runs them, and looks at what the host installs. MODE requirements: what find_package answers.
set -euo pipefail
source=$1 build=$2 mode=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { printf 'consumer: %s\n' "$*" >&2; exit 1; }

cp "$source"/tests/consumer/*.cpp "$folder"
(cd "$source/include" && find demix -name '*.hpp' ! -path demix/comm/mpi.hpp | sort | sed 's/.*/#include "&"/') >"$folder/all_headers.hpp"
project=project
if [[ $mode == subdirectory ]]; then
  settings=(-DDEMIX_SOURCE="$source")
else
  cmake --install "$build" --prefix "$folder/prefix" >/dev/null
  settings=(-DCMAKE_PREFIX_PATH="$folder/prefix")
  if [[ $mode == requirements ]]; then project=requirements; fi
fi
cp "$source/tests/consumer/$project.cmake" "$folder/CMakeLists.txt"
cmake -G Ninja -S "$folder" -B "$folder/build" "${settings[@]}" >/dev/null
if [[ $mode == requirements ]]; then exit 0; fi

cmake --build "$folder/build"
"$folder/build/first_model" | tee "$folder/output"
grep -q '32537600 parameters in 3 regions' "$folder/output"
"$folder/build/saved_model" "$folder/saved" | tee "$folder/output"
grep -q ': equal$' "$folder/output"
grep -q -- '-isystem [^ ]*include ' "$folder/build/compile_commands.json" || fail "demix's headers are no system headers"
cmake --install "$folder/build" --prefix "$folder/installed" >/dev/null
installed=$(cd "$folder/installed" && find . -type f)
[[ $installed == ./bin/first_model ]] || fail "the host's install wrote: $installed"
