# shellcheck shell=bash disable=SC2034,SC2154
# What the scripts of this folder share; they source it, and then set usage, their --help, of pieces from here.

environment_help="Environment:
  DEMIX_BIN             the folder of demix's programs (default: PATH, then build/release/examples)"
checkpoint_help="  CKPT       a checkpoint (a folder); the file of one of its experts, CKPT/experts/NAME.h5, which chooses it; or the
             original's names of these: CKPT.pt is the checkpoint, CKPT-rank-N.pt chooses the expert of rank N. Of R
             ranks and D experts in alphabetical order, that is number N * D / R, rounded down; R stands in the name
             of the run's folder (..._32_GPUs_...), else R is D. Where the folder of DIR/CKPT.pt is not there, but
             DIR/..._GPUs_.../CKPT is, of one run alone, that is taken: the original's README leaves the run out"
mix_help="estimate: mixes experts on the first 101 batches of 2 sequences of the validation text of DOMAIN, with an updating
prior. eval: mixes them on all of the test text of DOMAIN, with PRIOR. Both write an object per batch to the JSON-lines
file OUT: ppl, posterior, exp_avg_posterior and more. The posterior is that over the previous token, as in the original."
prior_help="  PRIOR      probabilities in the order of the experts, 0.1,0.9 or '[0.1, 0.9]', or the OUT of an estimate. With
             -- --ensemble uniform_prior (or simple_average, updating_prior) none is needed, and one is ignored
  OPTION...  further options of demix-mix, such as --posterior prefix, which is the paper's formula

$environment_help
  DEMIX_MIX_OPTIONS     options of demix-mix, as behind --, which wins"
mix_differences="What differs from the original: one process scores all experts, one after the other; at the first token of a
sequence the posterior is PRIOR, where the original has equal weights."

# The processes that mpirun or srun started this script as, and the number of this one among them.
ranks=${OMPI_COMM_WORLD_SIZE:-${PMI_SIZE:-${SLURM_STEP_NUM_TASKS:-1}}}
this_rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-${SLURM_PROCID:-0}}}
((ranks > 1)) || this_rank=0

complain() { ((this_rank > 0)) || printf '%s: %s (see --help)\n' "$(basename "$0")" "$*" >&2; exit 2; }
note() { ((this_rank > 0)) || printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# value_of OPTION: prints the value that `options` gives it; fails where they give none.
value_of() {
  local i
  for ((i = 0; i < ${#options[@]}; ++i)); do
    case "${options[i]}" in
      "$1") printf '%s\n' "${options[i + 1]:-}"; return ;;
      "$1="*) printf '%s\n' "${options[i]#*=}"; return ;;
    esac
  done
  return 1
}

# read_arguments VARIABLE LEAST MOST ARGUMENT...: sets `arguments`, and `options` to what stands behind a --, and
# before that to what the environment VARIABLE, if there is one, has besides.
read_arguments() {
  local variable=$1 least=$2 most=$3 name="" word words=() besides=()
  shift 3
  arguments=() options=()
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --help | -h) printf '%s\n' "$usage"; exit 0 ;;
      --) shift; options=("$@"); break ;;
      --*) complain "'$1' has no meaning here; options of the program stand behind a --" ;;
      *) arguments+=("$1"); shift ;;
    esac
  done
  ((${#arguments[@]} >= least && ${#arguments[@]} <= most)) ||
    complain "${#arguments[@]} arguments, expected $least$( ((most > least)) && echo " to $most")"
  if [[ -n $variable ]]; then read -rd '' -ra words <<<"${!variable:-}" || true; fi
  for word in "${words[@]}"; do
    if [[ $word == --* ]]; then name=${word%%=*}; fi
    [[ -n $name ]] || complain "$variable: '$word' is no option (--NAME VALUE ...)"
    if ! value_of "$name" >/dev/null; then besides+=("$word"); fi
  done
  options=("${besides[@]}" "${options[@]}")
}

# choose_defaults OPTION VALUE ...: sets `defaults` to those that `options` does not give otherwise.
choose_defaults() {
  defaults=()
  while [[ $# -gt 0 ]]; do
    if ! value_of "$1" >/dev/null; then defaults+=("$1" "$2"); fi
    shift 2
  done
}

# program NAME: the path of a demix program: in DEMIX_BIN, else in PATH, else where the release preset builds.
# cd -P, because the folder may be named by a link, as scripts/ in the repository is one.
program() {
  local built
  built=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/release/examples/$1
  if [[ -n ${DEMIX_BIN:-} ]]; then
    printf '%s\n' "$DEMIX_BIN/$1"
  elif ! command -v "$1"; then
    printf '%s\n' "$built"
  fi
}

# require_program NAME: sets `path` to its path.
require_program() {
  path=$(program "$1")
  [[ -x $path ]] || { note "$path is missing; build it, or set DEMIX_BIN"; exit 1; }
}

# run NAME ARGUMENT...: becomes the demix program, after showing its command line on stderr.
run() {
  local path
  require_program "$1"
  ((this_rank > 0)) || printf '+ %s\n' "$*" >&2
  shift
  exec "$path" "$@"
}

# in_order: the lines in the order of Python's sorted(), whatever the language.
in_order() { LC_ALL=C sort; }

# experts_of CHECKPOINT: the names of its experts, a line each, in alphabetical order; none of a model without.
experts_of() {
  local file
  for file in "$1"/experts/*.h5; do
    if [[ -e $file ]]; then basename "$file" .h5; fi
  done | in_order
}

# expert_of_rank CHECKPOINT RANK: sets `expert` to the one that this rank of the original's trained.
expert_of_rank() {
  local rank=$((10#$2)) run ranks names
  mapfile -t names < <(experts_of "$1")
  ((${#names[@]} > 0)) ||
    complain "'$1' has no experts, so it has no file of rank $rank: without experts all ranks have one model, '$1'"
  run=$(cd "$(dirname "$1")" && pwd)
  ranks=${#names[@]}
  if [[ $(basename "$run") =~ _([1-9][0-9]*)_GPUs_ ]]; then
    ranks=${BASH_REMATCH[1]}
  elif ((ranks == 1)); then
    ranks=$((rank + 1)) # an adapted expert: as many ranks as there were had the same
  fi
  ((rank < ranks)) || complain "rank $rank: '$1' stands for a model of $ranks ranks, 0 to $((ranks - 1))"
  expert=${names[rank * ${#names[@]} / ranks]}
}

# find_checkpoint CKPT: sets `checkpoint` to the folder that the original's name CKPT.pt stands for. The original's
# README leaves out the folder of the run; where one run alone has such a checkpoint, that is it.
find_checkpoint() {
  local found=() each
  checkpoint=$1
  if [[ -e $1 ]]; then return; fi
  [[ ! -f $1.pt ]] || complain "'$1.pt' is a file of PyTorch's; here a checkpoint is a folder, and '$1.pt' a name for '$1'"
  for each in "$(dirname "$1")"/*_GPUs_*/"$(basename "$1")"; do
    if [[ -e $each && (-z ${2:-} || -d $each/experts) ]]; then found+=("$each"); fi
  done
  ((${#found[@]} <= 1)) || complain "which checkpoint is '$1.pt'? $(printf "'%s' " "${found[@]}")"
  ((${#found[@]} == 1)) || complain "there is no checkpoint '$1' that '$1.pt' could stand for"
  checkpoint=${found[0]}
  if [[ $checkpoint != "${last_found:-}" ]]; then note "'$1.pt' is taken for '$checkpoint'"; fi
  last_found=$checkpoint
}

# read_checkpoint CKPT: sets `checkpoint` to its folder, and `expert` to the name of the expert that CKPT chooses, if
# it does. CKPT is a checkpoint; CKPT/experts/NAME.h5; or the original's name of it, CKPT.pt or CKPT-rank-N.pt.
read_checkpoint() {
  expert=""
  if [[ $1 =~ ^(.+)-rank-([0-9]{1,9})\.pt$ ]]; then
    local rank=${BASH_REMATCH[2]}
    find_checkpoint "${BASH_REMATCH[1]}" experts
    expert_of_rank "$checkpoint" "$rank"
  elif [[ $1 == ?*.pt ]]; then
    find_checkpoint "${1%.pt}"
  elif [[ $1 == *.h5 ]]; then
    [[ -e $1 ]] || complain "there is no checkpoint '$1'"
    [[ $(basename "$(dirname "$1")") == experts ]] || complain "'$1' is not the file of an expert (CKPT/experts/NAME.h5)"
    checkpoint=$(dirname "$(dirname "$1")") expert=$(basename "$1" .h5)
  else
    [[ -e $1 ]] || complain "there is no checkpoint '$1'"
    checkpoint=$1
  fi
}
