#!/usr/bin/env bash
# Perplexity of one model on one domain.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="Usage: eval_lm_single.sh DATA CKPT OUT SPLIT DOMAIN [DOMAIN_TOKEN] [-- OPTION...]

Writes the perplexity of a model on a domain to the JSON-lines file OUT, as the original does: one object,
{\"model\": ..., \"dataset\": \"SPLIT_DOMAIN\", \"ppl\": ...}.

  DATA       the data-bin
$checkpoint_help
             Of a demix model, DOMAIN's own expert is used where CKPT chooses none
  SPLIT      train, valid or test
  DOMAIN     the domain of DATA whose text is scored
  DOMAIN_TOKEN   for domain_token models: the domain whose token is taken (default: DOMAIN's); ignored for others
  OPTION...  further options of demix-eval, such as --json FILE

$environment_help
  DEMIX_EVAL_OPTIONS    options of demix-eval, as behind --, which wins

What differs from the original: sequences are as long as those that the model was trained on, not always 1024 tokens;
whether a model has domain tokens is read in it, not in its name."
read_arguments DEMIX_EVAL_OPTIONS 5 6 "$@"
read_checkpoint "${arguments[1]}"
choice=()
if [[ -n $expert ]]; then choice+=(--expert "$expert"); fi
if [[ -n ${arguments[5]:-} ]]; then
  facts=""
  if [[ ! -d $checkpoint/experts ]]; then
    require_program demix-experts
    facts=$("$path" list "$checkpoint")
  fi
  if [[ $facts == experiment*\ domain_token,* ]]; then
    choice+=(--domain-token "${arguments[5]}")
  else
    note "DOMAIN_TOKEN '${arguments[5]}' is ignored: '$checkpoint' is no domain_token model"
  fi
fi

run demix-eval "${arguments[0]}" "$checkpoint" --split "${arguments[3]}" --domain "${arguments[4]}" \
  --output "${arguments[2]}" "${choice[@]}" "${options[@]}"
