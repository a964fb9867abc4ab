#!/usr/bin/env bash
# Mixes all experts of one model: ensemble_eval_lm.sh without naming them.
set -euo pipefail

usage="Usage: mix_experts.sh DATA MODEL DOMAIN DOMAIN OUT estimate [-- OPTION...]
       mix_experts.sh DATA MODEL DOMAIN DOMAIN OUT eval PRIOR [-- OPTION...]

As ensemble_eval_lm.sh, with all experts of MODEL: the folder of a run (its checkpoint_last is taken; of a run of
demix-adapt, which must have finished, the model with all experts, joined), or a checkpoint."
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_arguments 6 7 "$@"
model=${arguments[1]}
[[ -d $model ]] || complain "MODEL: there is no folder '$model'"
if [[ -d $model/joined ]]; then
  model=$model/joined
elif [[ -e $model/adapt.json && (-d $model/checkpoint_last/experts || ! -e $model/checkpoint_last) ]]; then
  complain "MODEL: the adaptation in '$model' has not finished: there is no '$model/joined' with all experts yet;" \
    "run demix-adapt with the same options again, and it goes on"
elif [[ -d $model/checkpoint_last ]]; then
  model=$model/checkpoint_last
fi
exec bash "$(dirname "${BASH_SOURCE[0]}")/ensemble_eval_lm.sh" "${arguments[0]}" "$model" "${arguments[@]:2}" \
  -- "${options[@]}"
