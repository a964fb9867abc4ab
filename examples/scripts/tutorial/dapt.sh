#!/usr/bin/env bash
# dapt_small.sh with the number of updates of the original's tutorial.
set -euo pipefail

scripts=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$scripts/common.sh"
usage="Usage: dapt.sh DATA DOMAIN CKPT feedforward|full OUT [SUFFIX] [-- OPTION...]

dapt_small.sh with 1 000 updates of a model with experts and 750 of any other, a validation every 500 and a checkpoint
every 200. dapt_small.sh --help says what the arguments are.

$environment_help
  DEMIX_ADAPT_OPTIONS   options of demix-adapt, as behind --, which wins

What differs from the original: as dapt_small.sh --help says. One process trains."
read_arguments DEMIX_ADAPT_OPTIONS 5 6 "$@"
read_checkpoint "${arguments[2]}"
updates=750
if [[ -d $checkpoint/experts ]]; then updates=1000; fi
choose_defaults --max-update "$updates" --validate-interval-updates 500 --save-interval-updates 200
exec bash "$scripts/dapt_small.sh" "${arguments[@]}" -- "${defaults[@]}" "${options[@]}"
