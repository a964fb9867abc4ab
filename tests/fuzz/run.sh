#!/usr/bin/env bash
# Builds the fuzz targets with clang and lets libFuzzer run them. Run it with --help.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$source/build/fuzz

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  cat <<'TEXT'
Usage: tests/fuzz/run.sh [SECONDS [TARGET...]]

Runs each fuzz target (default: all) for so many seconds (default: 10) with the address, leak and undefined-behaviour
sanitizers, from the samples in tests/fuzz/corpus/TARGET. What it finds that reaches new code is kept in
build/fuzz/corpus/TARGET, an input that fails in build/fuzz/findings/TARGET-*. Exit status: 0 nothing failed, 1 something
did, 77 there is no clang with libFuzzer (packages clang, libclang-rt-dev, libomp-dev).
TEXT
  exit 0
fi
seconds=${1:-10}
shift || true

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' >"$probe/probe.cpp"
if ! clang++ -fopenmp -fsanitize=fuzzer,address "$probe/probe.cpp" -o "$probe/probe" 2>"$probe/reason"; then
  echo "skipped: no clang++ with libFuzzer and OpenMP (packages clang, libclang-rt-dev, libomp-dev): $(head -n 1 "$probe/reason")"
  exit 77
fi

launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S "$source" --preset fuzz "${launcher[@]}" >"$probe/log" || { cat "$probe/log"; exit 1; }
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for folder in "$here"/corpus/*/; do targets+=("$(basename "$folder")"); done
fi
cmake --build "$build" --target "${targets[@]/#/fuzz_}"

mkdir -p "$build/findings"
failed=()
for target in "${targets[@]}"; do
  mkdir -p "$build/corpus/$target"
  echo "== $target: $seconds s"
  # One input that takes 10 s hangs, one that takes 1 GiB has a wrong size.
  "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1536 -malloc_limit_mb=1024 \
    -max_len=4096 -print_final_stats=1 -artifact_prefix="$build/findings/$target-" \
    "$build/corpus/$target" "$here/corpus/$target" 2>"$build/$target.log" || failed+=("$target")
  grep -E '^(stat::number_of_executed_units|SUMMARY|==[0-9]+==ERROR)' "$build/$target.log" || true
done
for target in "${failed[@]}"; do
  echo "FAILED: $target"
  tail -n 40 "$build/$target.log"
done
[[ ${#failed[@]} -eq 0 ]]
