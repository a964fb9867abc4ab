#!/usr/bin/env bash
# Trains one of the four models with the paper's recipe for its size.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="Usage: run_all.sh NUM_GPUS PORT ARCH EXPERIMENT DATA_PATH SERIALIZATION_DIR FILE_SUFFIX [debug] [-- OPTION...]

Trains EXPERIMENT (dense, unbalanced, domain_token or demix) on the domains of DATA_PATH with the recipe of ARCH
(transformer_lm, transformer_lm_gpt3_small, ..._medium, ..._large, ..._xl).

  NUM_GPUS           sets the batch: 2 sequences for each GPU, shared out evenly among the domains
  PORT               for the argument list's sake: the launcher connects the processes
  ARCH               the architecture; its recipe comes with it
  EXPERIMENT         matched by pattern, in this order: *demix*, *unbalanced*, *dense*, *domain_token*
  DATA_PATH          the data-bin. If it has all of the paper's eight training domains, these are trained on: 1b, cs,
                     legal, med, reddit and openwebtext, realnews, reviews, each with or without anonymized_ in front.
                     Otherwise all domains with a train.idx
  SERIALIZATION_DIR  the run goes to its folder EXPERIMENT_NUM_GPUS_GPUs_ARCH_FILE_SUFFIX (unbalanced:
                     unbalanced_dense_...). The same command continues a run that was interrupted
  FILE_SUFFIX        the end of that folder's name
  debug              train on the tutorial's eight domains, which all must be there: ag_news (or ag), amazon, chemprot,
                     citation_intent, hp-news (or hyperpartisan_news), imdb, rct (or rct-20k, legal_contracts), 1b_test
  OPTION...          further options of demix-train-EXPERIMENT, such as --max-update 1000. With --train-domains A,B the
                     batch is shared out among these

$environment_help
  DEMIX_TRAIN_OPTIONS   options of the trainer, as behind --, which wins

Under srun or mpirun the script trains on the processes that it was started as, which may be fewer than NUM_GPUS:
  mpirun -n 8 scripts/run_all.sh 8 ...      srun --mpi=pmix --kill-on-bad-exit=1 scripts/run_all.sh 8 ...
Alone it is one process. Either way an update has the batch that NUM_GPUS GPUs would see together.

What differs from the original: it does not call srun itself (examples/slurm has jobs for sbatch). Experts stand in
alphabetical order, as there. *switch* and *gshard* are refused: no program of demix trains them."
read_arguments DEMIX_TRAIN_OPTIONS 7 8 "$@"
gpus=${arguments[0]} port=${arguments[1]} arch=${arguments[2]} experiment=${arguments[3]} data=${arguments[4]}
debug=${arguments[7]:-}

[[ $gpus =~ ^[1-9][0-9]{0,8}$ ]] || complain "NUM_GPUS: '$gpus' is not a whole number above 0"
[[ $port =~ ^[0-9]+$ ]] || complain "PORT: '$port' is not a number"
case "$experiment" in
  *demix*) program=demix name=demix ;;
  *unbalanced*) program=unbalanced name=unbalanced_dense ;;
  *dense*) program=dense name=dense ;;
  *switch* | *gshard*)
    complain "EXPERIMENT: '$experiment': no program of demix trains a model that routes tokens (docs/extending.md has" \
      "such a layer, for a model of one's own). Here: dense, unbalanced, domain_token, demix"
    ;;
  *domain_token*) program=domain-token name=domain_token ;;
  *) complain "EXPERIMENT: '$experiment' is none of dense, unbalanced, domain_token, demix" ;;
esac
[[ -z $debug || $debug == debug ]] || complain "the last argument: '$debug' is not debug"
[[ -d $data ]] || complain "DATA_PATH: '$data' is not a folder"

# find_domains NAME|OTHER_NAME ...: sets `domains` to those of DATA_PATH, each by the first name that is there, and
# `missing` to the others.
find_domains() {
  local names name found
  domains=() missing=()
  for names in "$@"; do
    found=""
    for name in ${names//|/ }; do
      if [[ -z $found && -e $data/$name/train.idx ]]; then found=$name; fi
    done
    if [[ -n $found ]]; then domains+=("$found"); else missing+=("$names"); fi
  done
}

if list=$(value_of --train-domains); then
  IFS=, read -ra domains <<<"$list"
elif [[ -n $debug ]]; then
  find_domains "1b_test" "ag_news|ag" "amazon" "chemprot" "citation_intent" "hp-news|hyperpartisan_news" "imdb" \
    "rct|rct-20k|legal_contracts"
  ((${#missing[@]} == 0)) || complain "debug: '$data' has no train.idx of ${missing[*]}; choose other domains with" \
    "-- --train-domains A,B,..., or leave debug out and train on all"
else
  find_domains "1b" "cs" "legal" "med" "reddit" "anonymized_openwebtext|openwebtext" "anonymized_realnews|realnews" \
    "anonymized_reviews|reviews"
  if ((${#missing[@]} > 0)); then
    domains=()
    for file in "$data"/*/train.idx; do
      if [[ -e $file ]]; then domains+=("$(basename "$(dirname "$file")")"); fi
    done
  fi
fi
count=${#domains[@]}
((count > 0)) || complain "DATA_PATH: '$data' has no domain (DOMAIN/train.idx)"
# Micro-batches that the processes make side by side, as docs/training.md says of ranks.
parts=$((ranks < count ? ranks : count))
while ((ranks % parts != 0)); do ((parts -= 1)); done
at_once=$((ranks / parts))
if [[ $program == demix && $ranks -le $count ]]; then at_once=1; fi
((2 * gpus % (count * at_once) == 0)) || value_of --batch-size >/dev/null ||
  complain "NUM_GPUS: the 2 x $gpus sequences of a batch cannot be shared out evenly among $(
    ((at_once == 1)) || echo "$at_once groups of processes with "
  )$count domains; choose the domains with -- --train-domains A,B,..., or each one's sequences with -- --batch-size N"

list=$(printf '%s\n' "${domains[@]}" | in_order | paste -sd, -)
choose_defaults --train-domains "$list" --batch-size $((2 * gpus / count / at_once)) --log-interval 50
run "demix-train-$program" "$data" --arch "$arch" "${defaults[@]}" \
  --save-dir "${arguments[5]}/${name}_${gpus}_GPUs_${arch}_${arguments[6]}" "${options[@]}"
