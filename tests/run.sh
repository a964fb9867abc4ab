#!/usr/bin/env bash
# Builds everything with warnings as errors and runs all tests, from a fresh clone or again. Run it with --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  cat <<'TEXT'
Usage: tests/run.sh [ctest arguments]

Installs what is missing (cmake/install_dependencies.sh --tests), configures and builds the "ci" preset in build/ci, and runs
ctest there; the arguments go to ctest. With nvcc on the machine the CUDA side and its tests are built too.
The exit status is not 0 when any step or test fails, and ctest's closing lines come last.

  tests/run.sh                  everything
  tests/run.sh -R ops           the tests whose name matches "ops"
TEXT
  exit 0
fi

cmake/install_dependencies.sh --tests

settings=(-DDEMIX_CUDA=OFF)
for nvcc in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
  if [[ -x $nvcc ]]; then
    export CUDACXX=${CUDACXX:-$nvcc}
    settings=(-DDEMIX_CUDA=ON)
    standin=$(tests/cuda/standin.sh build/cuda-standin)
    if [[ -n $standin ]]; then settings+=("-DDEMIX_CUDA_STANDIN=$standin"); fi
    break
  fi
done
if command -v ccache >/dev/null; then
  settings+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi

cmake --preset ci "${settings[@]}"
cmake --build --preset ci -j "$(nproc)"
exec ctest --preset ci -j 2 --output-on-failure --no-tests=error --timeout 900 "$@"
