#!/usr/bin/env bash
# Estimates the prior of a mixture of experts, or evaluates the mixture with it.
set -euo pipefail

usage="Usage: ensemble_eval_lm.sh DATA CKPT:CKPT:... DOMAIN DOMAIN OUT estimate [-- OPTION...]
       ensemble_eval_lm.sh DATA CKPT:CKPT:... DOMAIN DOMAIN OUT eval PRIOR [-- OPTION...]

estimate: mixes experts on the first 100 batches of the validation text of DOMAIN, with an updating prior.
eval: mixes them on the test text of DOMAIN, with PRIOR. Both write an object per batch to the JSON-lines file OUT.

  CKPT       the file of an expert, CKPT/experts/NAME.h5; or, alone, a checkpoint: all its experts. Experts of other
             checkpoints need the body of the first one: those that demix-adapt made from it have it
  DOMAIN     is given twice, as the original's argument list has it
  PRIOR      probabilities in the order of the experts, 0.1,0.9, or the OUT of an estimate
  OPTION...  further options of demix-mix, such as --posterior previous_token, which the original computes

One process scores all experts, one after the other."
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_arguments 6 7 "$@"
domain=${arguments[2]} mode=${arguments[5]} prior=${arguments[6]:-}
[[ ${arguments[3]} == "$domain" ]] || complain "DOMAIN: '$domain' and '${arguments[3]}' are not the same"
choice=()
case "$mode" in
  estimate) [[ -z $prior ]] || complain "PRIOR is for eval; estimate finds one" ;;
  eval)
    [[ -n $prior ]] || complain "eval needs PRIOR: the OUT of an estimate, or numbers"
    choice+=(--prior "$prior")
    ;;
  *) complain "'$mode' is neither estimate nor eval" ;;
esac

[[ ${arguments[1]} != *: && ${arguments[1]} != *$'\n'* && -n ${arguments[1]} ]] ||
  complain "CKPT: which checkpoint? '${arguments[1]}' has an empty one, or a line end"
IFS=: read -ra checkpoints <<<"${arguments[1]}"
first=$(checkpoint_of "${checkpoints[0]}")
experts=()
for checkpoint in "${checkpoints[@]}"; do
  require_checkpoint "$checkpoint"
  if [[ $checkpoint == *.h5 ]]; then
    if [[ $(checkpoint_of "$checkpoint") == "$first" ]]; then
      experts+=("$(expert_of "$checkpoint")")
    else
      experts+=("$(checkpoint_of "$checkpoint"):$(expert_of "$checkpoint")")
    fi
  elif ((${#checkpoints[@]} > 1)); then
    complain "CKPT: '$checkpoint' is not the file of an expert (CKPT/experts/NAME.h5), which several need to be"
  fi
done
if ((${#experts[@]} > 0)); then choice+=(--experts "$(IFS=,; printf '%s' "${experts[*]}")"); fi

run demix-mix "${arguments[0]}" "$first" --domain "$domain" --mode "$mode" --output "${arguments[4]}" "${choice[@]}" \
  "${options[@]}"
