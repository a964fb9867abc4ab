#!/usr/bin/env bash
# Mixes all experts of one model: ensemble_eval_lm.sh without naming them.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="Usage: mix_experts.sh DATA MODEL DOMAIN DOMAIN OUT estimate [-- OPTION...]
       mix_experts.sh DATA MODEL DOMAIN DOMAIN OUT eval PRIOR [-- OPTION...]

$mix_help

  DATA       the data-bin
  MODEL      all its experts are mixed: the folder of a run (its checkpoint_last is taken; of a run of demix-adapt,
             which must have finished, the model with all experts, joined), a checkpoint, or the name of either in
             SERIALIZATION_DIR
  DOMAIN     the domain of DATA whose text is scored, twice, as the original's argument list has it
$prior_help
  SERIALIZATION_DIR     where a MODEL that is no folder is looked for

$mix_differences"
read_arguments "" 6 7 "$@"
model=${arguments[1]}
if [[ ! -d $model && -n ${SERIALIZATION_DIR:-} ]]; then
  model=$SERIALIZATION_DIR/$model
  [[ -d $model ]] || complain "MODEL: there is no folder '${arguments[1]}', and no '$model'"
fi
[[ -d $model ]] ||
  complain "MODEL: there is no folder '$model'; a name is looked for in SERIALIZATION_DIR, which is not set"
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
