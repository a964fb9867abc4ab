#!/usr/bin/env bash
# run_all.sh on the tutorial's domains, with the tutorial's sizes.
set -euo pipefail

scripts=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$scripts/common.sh"
usage="Usage: train.sh NUM_GPUS PORT ARCH EXPERIMENT DATA_PATH SERIALIZATION_DIR FILE_SUFFIX [-- OPTION...]

run_all.sh with debug, so on the tutorial's eight domains, and with the recipe of transformer_lm for every ARCH:
sequences of 128 tokens, 5 000 updates, a validation every 500. run_all.sh --help says what the arguments are.

$environment_help
  DEMIX_TRAIN_OPTIONS   options of the trainer, as behind --, which wins

What differs from the original: as run_all.sh --help says. One process trains, whatever NUM_GPUS."
read_arguments DEMIX_TRAIN_OPTIONS 7 7 "$@"
choose_defaults --tokens-per-sample 128 --max-update 5000 --validate-interval-updates 500 --save-interval-updates 5000
exec bash "$scripts/run_all.sh" "${arguments[@]}" debug -- "${defaults[@]}" "${options[@]}"
