#!/usr/bin/env bash
# Perplexity of one model on one domain.
set -euo pipefail

usage="Usage: eval_lm_single.sh DATA CKPT OUT SPLIT DOMAIN [DOMAIN_TOKEN] [-- OPTION...]

Writes the perplexity of a model on SPLIT (train, valid or test) of DOMAIN to the JSON file OUT.

  CKPT          a checkpoint. Of a demix model, DOMAIN's own expert is used; CKPT/experts/NAME.h5 chooses another one
  DOMAIN_TOKEN  for domain_token models: the domain whose token is taken (default: DOMAIN's)
  OPTION...     further options of demix-eval"
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_arguments 5 6 "$@"
checkpoint=${arguments[1]}
require_checkpoint "$checkpoint"
choice=()
if [[ $checkpoint == *.h5 ]]; then choice+=(--expert "$(expert_of "$checkpoint")"); fi
if [[ -n ${arguments[5]:-} ]]; then choice+=(--domain-token "${arguments[5]}"); fi

run demix-eval "${arguments[0]}" "$(checkpoint_of "$checkpoint")" --split "${arguments[3]}" \
  --domain "${arguments[4]}" --json "${arguments[2]}" "${choice[@]}" "${options[@]}"
