#!/usr/bin/env bash
# Adapts a trained model to a new domain with the paper's recipe.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="Usage: dapt_small.sh DATA DOMAIN CKPT feedforward|full OUT [SUFFIX] [-- OPTION...]

Trains CKPT on DOMAIN of DATA for 100 updates of 16 x 8 sequences, with learning rate 5e-5 and without dropout:
feedforward, the feed-forward layers only (of a demix model: a new expert, the old ones stay); full, all parameters.
The run goes to the folder OUT; of a demix model, OUT/joined has the old experts and the new one.

  DATA       the data-bin of the new domain, with the vocabulary of the model
  DOMAIN     the new domain
$checkpoint_help
             The new expert of a demix model starts from the expert that CKPT chooses, or where it chooses none from
             the one with the highest posterior on DOMAIN
  SUFFIX     for the argument list's sake: the original makes no use of it either
  OPTION...  further options of demix-adapt, such as --max-update 1000

$environment_help
  DEMIX_ADAPT_OPTIONS   options of demix-adapt, as behind --, which wins

What differs from the original: there is one process, no srun and no mpirun, but a batch as large as that of the
original's 8 GPUs."
read_arguments DEMIX_ADAPT_OPTIONS 5 6 "$@"
mode=${arguments[3]}
[[ $mode == feedforward || $mode == full ]] || complain "'$mode' is neither feedforward nor full"
read_checkpoint "${arguments[2]}"
choice=()
if [[ -n $expert ]]; then choice+=(--from "$expert"); fi

choose_defaults --batch-size 16 --update-freq 8 --lr 5e-5 --dropout 0 --max-update 100 \
  --validate-interval-updates 0 --save-interval-updates 0 --log-interval 50
run demix-adapt "${arguments[0]}" "$checkpoint" --domain "${arguments[1]}" --mode "$mode" \
  --save-dir "${arguments[4]}" "${defaults[@]}" "${choice[@]}" "${options[@]}"
