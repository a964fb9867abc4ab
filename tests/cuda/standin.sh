#!/usr/bin/env bash
# tests/cuda/standin.sh FOLDER: on a machine without a GPU, with a CUDA stand-in beside the checkout, builds the
# stand-in in FOLDER unless it is there and prints FOLDER's full path; otherwise prints nothing.
set -euo pipefail

folder=${1:?usage: tests/cuda/standin.sh FOLDER}
sources=$(dirname "${BASH_SOURCE[0]}")/../../../shared/tools/ptxvm
if nvidia-smi -L >/dev/null 2>&1 || [[ ! -x $sources/build.sh ]]; then
  exit 0
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [[ ! -e $folder/complete || -n $(find "$sources" -maxdepth 1 -newer "$folder/complete" -print -quit) ]]; then
  "$sources/build.sh" "$folder" >&2
  touch "$folder/complete"
fi
echo "$folder"
