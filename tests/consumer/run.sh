#!/usr/bin/env bash
# run.sh SOURCE BUILD MODE: builds the README's first program in a project of its own that takes demix from SOURCE
# (MODE subdirectory) or from what `cmake --install BUILD` puts somewhere (MODE package), and checks what it prints.
set -euo pipefail
source=$1 build=$2 mode=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$source/tests/consumer/first_model.cpp" "$folder"
cp "$source/tests/consumer/project.cmake" "$folder/CMakeLists.txt"
if [[ $mode == package ]]; then
  cmake --install "$build" --prefix "$folder/prefix" >/dev/null
  settings=(-DCMAKE_PREFIX_PATH="$folder/prefix")
else
  settings=(-DDEMIX_SOURCE="$source")
fi
cmake -G Ninja -S "$folder" -B "$folder/build" "${settings[@]}" >/dev/null
cmake --build "$folder/build"
"$folder/build/first_model" | tee "$folder/output"
grep -q '32537600 parameters in 3 regions' "$folder/output"
