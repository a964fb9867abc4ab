#!/usr/bin/env bash
# Adapts a trained model to a new domain with the paper's recipe.
set -euo pipefail

usage="Usage: dapt_small.sh DATA DOMAIN CKPT feedforward|full OUT [SUFFIX] [-- OPTION...]

Trains CKPT on DOMAIN of DATA for 100 updates of 16 x 8 sequences, with learning rate 5e-5: feedforward, the
feed-forward layers only (of a demix model: a new expert, the old ones stay); full, all parameters. The run goes to
the folder OUT; of a demix model, OUT/joined has the old experts and the new one.

  CKPT       a checkpoint. The new expert of a demix model starts from the expert with the highest posterior on
             DOMAIN; CKPT/experts/NAME.h5 chooses another one
  SUFFIX     for the argument list's sake: the original makes no use of it either
  OPTION...  further options of demix-adapt, such as --max-update 1000

There is one process: no srun and no mpirun, but a batch as large as that of the original's 8 GPUs."
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_arguments 5 6 "$@"
checkpoint=${arguments[2]} mode=${arguments[3]}
[[ $mode == feedforward || $mode == full ]] || complain "'$mode' is neither feedforward nor full"
require_checkpoint "$checkpoint"
choice=()
if [[ $checkpoint == *.h5 ]]; then choice+=(--from "$(expert_of "$checkpoint")"); fi

choose_defaults --batch-size 16 --update-freq 8 --lr 5e-5 --max-update 100 --validate-interval-updates 0 \
  --save-interval-updates 0 --log-interval 50
run demix-adapt "${arguments[0]}" "$(checkpoint_of "$checkpoint")" --domain "${arguments[1]}" --mode "$mode" \
  --save-dir "${arguments[4]}" "${defaults[@]}" "${choice[@]}" "${options[@]}"
