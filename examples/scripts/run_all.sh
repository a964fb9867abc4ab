#!/usr/bin/env bash
# Trains one of the four models with the paper's recipe for its size.
set -euo pipefail

usage="Usage: run_all.sh NUM_GPUS PORT ARCH EXPERIMENT DATA_PATH SERIALIZATION_DIR FILE_SUFFIX [debug] [-- OPTION...]

Trains EXPERIMENT (dense, unbalanced, domain_token or demix) on all domains of DATA_PATH with the recipe of ARCH
(transformer_lm, transformer_lm_gpt3_small, ..._medium, ..._large, ..._xl).

  NUM_GPUS   sets the batch: 2 sequences for each GPU, shared out evenly among the domains. There is one process,
             whatever the number: no srun and no mpirun, but the batch that so many GPUs would see together
  PORT       for the argument list's sake: one process needs none
  debug      train on the tutorial's eight domains: ag_news, amazon, chemprot, citation_intent, hp-news, imdb, rct, 1b_test
  OPTION...  further options of demix-train-EXPERIMENT, such as --max-update 1000

The run goes to SERIALIZATION_DIR/EXPERIMENT_NUM_GPUS_GPUs_ARCH_FILE_SUFFIX (unbalanced: unbalanced_dense_...). The
same command continues a run that was interrupted."
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
read_arguments 7 8 "$@"
gpus=${arguments[0]} port=${arguments[1]} arch=${arguments[2]} experiment=${arguments[3]} data=${arguments[4]}
debug=${arguments[7]:-}

[[ $gpus =~ ^[1-9][0-9]*$ ]] || complain "NUM_GPUS: '$gpus' is not a whole number above 0"
[[ $port =~ ^[0-9]+$ ]] || complain "PORT: '$port' is not a number"
case "$experiment" in
  demix | dense) name=$experiment ;;
  domain_token) name=domain_token ;;
  unbalanced) name=unbalanced_dense ;;
  *) complain "EXPERIMENT: '$experiment' is none of dense, unbalanced, domain_token, demix" ;;
esac
case "$debug" in
  debug) domains=(ag_news amazon chemprot citation_intent hp-news imdb rct 1b_test) ;;
  "") domains=() ;;
  *) complain "the last argument: '$debug' is not debug" ;;
esac
[[ -d $data ]] || complain "DATA_PATH: '$data' is not a folder"
if [[ -z $debug ]]; then
  for file in "$data"/*/train.idx; do
    if [[ -e $file ]]; then domains+=("$(basename "$(dirname "$file")")"); fi
  done
fi
count=${#domains[@]}
((count > 0)) || complain "DATA_PATH: '$data' has no domain (DOMAIN/train.idx)"
((2 * gpus % count == 0)) ||
  complain "NUM_GPUS: the 2 x $gpus sequences of a batch cannot be shared out evenly among $count domains"

list=$(IFS=,; printf '%s' "${domains[*]}")
choose_defaults --batch-size $((2 * gpus / count)) --log-interval 50
run "demix-train-${experiment//_/-}" "$data" --train-domains "$list" --arch "$arch" "${defaults[@]}" \
  --save-dir "${arguments[5]}/${name}_${gpus}_GPUs_${arch}_${arguments[6]}" "${options[@]}"
