#!/usr/bin/env bash
# Estimates the prior of a mixture of experts, or evaluates the mixture with it.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="Usage: ensemble_eval_lm.sh DATA CKPT:CKPT:... DOMAIN [DOMAIN] OUT estimate [-- OPTION...]
       ensemble_eval_lm.sh DATA CKPT:CKPT:... DOMAIN [DOMAIN] OUT eval PRIOR [-- OPTION...]

$mix_help

  DATA       the data-bin
$checkpoint_help
             Several must each choose an expert; one that chooses none stands for all its experts. Experts of other
             checkpoints need the body of the first one: those that demix-adapt made from it have it
  DOMAIN     the domain of DATA whose text is scored, once or, as the original's argument list has it, twice
$prior_help

$mix_differences"
read_arguments DEMIX_MIX_OPTIONS 5 7 "$@"
if [[ ${arguments[4]} == estimate || ${arguments[4]} == eval ]]; then
  arguments=("${arguments[@]:0:3}" "${arguments[2]}" "${arguments[@]:3}")
fi
((${#arguments[@]} == 6 || ${#arguments[@]} == 7)) || complain "expected estimate, or eval and PRIOR, after OUT"
domain=${arguments[2]} mode=${arguments[5]} prior=${arguments[6]:-}
[[ ${arguments[3]} == "$domain" ]] || complain "DOMAIN: '$domain' and '${arguments[3]}' are not the same"
choice=()
case "$mode" in
  estimate)
    [[ -z $prior ]] || complain "PRIOR is for eval; estimate finds one"
    choose_defaults --batch-size 2 --max-batches 101 --posterior previous_token
    ;;
  eval)
    choose_defaults --batch-size 2 --posterior previous_token
    ensembles=$(value_of --ensemble || echo cached_prior)
    if [[ ,$ensembles, == *,cached_prior,* ]]; then
      if ! value_of --prior >/dev/null; then
        [[ -n $prior ]] || complain "eval needs PRIOR: the OUT of an estimate, or numbers"
        choice+=(--prior "$prior")
      elif [[ -n $prior ]]; then
        complain "PRIOR '$prior' and --prior: give one of them"
      fi
    elif [[ -n $prior ]]; then
      note "PRIOR '$prior' is ignored: it is for the ensemble cached_prior, not $ensembles"
    fi
    ;;
  *) complain "'$mode' is neither estimate nor eval" ;;
esac

[[ ${arguments[1]} != *: && ${arguments[1]} != *$'\n'* && -n ${arguments[1]} ]] ||
  complain "CKPT: which checkpoint? '${arguments[1]}' has an empty one, or a line end"
IFS=: read -ra list <<<"${arguments[1]}"
first="" experts=()
for each in "${list[@]}"; do
  read_checkpoint "$each"
  if [[ -z $first ]]; then first=$checkpoint; fi
  if [[ -z $expert ]]; then
    ((${#list[@]} == 1)) ||
      complain "CKPT: '$each' chooses no expert (CKPT/experts/NAME.h5, or CKPT-rank-N.pt), as several need to do"
  elif [[ $checkpoint == "$first" ]]; then
    experts+=("$expert")
  else
    experts+=("$checkpoint:$expert")
  fi
done
if ((${#experts[@]} > 0)); then choice+=(--experts "$(IFS=,; printf '%s' "${experts[*]}")"); fi

run demix-mix "${arguments[0]}" "$first" --domain "$domain" --mode "$mode" --output "${arguments[4]}" \
  "${defaults[@]}" "${choice[@]}" "${options[@]}"
