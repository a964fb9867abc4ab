#!/usr/bin/env bash
# ensemble_eval_lm.sh with the argument list of the original's tutorial.
set -euo pipefail

scripts=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$scripts/common.sh"
usage="Usage: mix_eval_lm.sh NUM_GPUS DATA CKPT:CKPT:... DOMAIN OUT estimate [-- OPTION...]
       mix_eval_lm.sh NUM_GPUS DATA CKPT:CKPT:... DOMAIN OUT eval PRIOR [ENSEMBLE] [-- OPTION...]

$mix_help

  NUM_GPUS   for the argument list's sake: one process scores all experts
  DATA       the data-bin
$checkpoint_help
  DOMAIN     the domain of DATA whose text is scored
$prior_help
  ENSEMBLE   cached_prior (default), updating_prior, uniform_prior or simple_average

$mix_differences"
read_arguments "" 6 8 "$@"
gpus=${arguments[0]} mode=${arguments[5]} ensemble=${arguments[7]:-}
[[ $gpus =~ ^[1-9][0-9]*$ ]] || complain "NUM_GPUS: '$gpus' is not a whole number above 0"
if [[ -n $ensemble ]]; then
  [[ $mode == eval ]] || complain "ENSEMBLE is for eval; estimate is updating_prior"
  choose_defaults --ensemble "$ensemble"
  options=("${defaults[@]}" "${options[@]}")
fi
exec bash "$scripts/ensemble_eval_lm.sh" "${arguments[@]:1:6}" -- "${options[@]}"
