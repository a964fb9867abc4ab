#!/usr/bin/env bash
# From a fresh clone to a table that compares four language models. Run it with --help.
set -euo pipefail

# What is trained: recipe.txt; and how long. The number of updates is the time that --minutes leaves for training, at the
# speed measured on 2 cores; it is the same for all models, which see the same number of tokens.
readonly DEFAULT_MINUTES=25
readonly RESERVED_MINUTES=10       # installing, building, fetching, preparing, evaluating
readonly UPDATES_PER_MINUTE=65     # of one model
readonly SEED=1
readonly MODELS=(dense unbalanced domain-token demix)  # as in demix-train-MODEL

usage() {
  cat <<TEXT
Usage: examples/quickstart.sh [--data DIR] [--minutes N] [--output DIR]

Installs what is missing, builds the programs, fetches real text of 8 domains, trains four models on it (dense,
unbalanced, domain_token, demix) and prints their perplexity on test text of every domain in one table.

  --data DIR     your own text instead: a folder with DOMAIN.jsonl files ({"text": ...} a line) or sub-folders
                 of text files, at least two domains
  --minutes N    about how long everything may take from a fresh clone on 2 cores (default: $DEFAULT_MINUTES)
  --output DIR   where everything goes (default: quickstart-run in the repository)
  --help         show this text

Run the same command again after an interruption: finished steps are not done again, training goes on from its
last checkpoint. The table is also written to DIR/table.md and DIR/table.json; each step's log is in DIR/logs.
TEXT
}

fail() { printf 'quickstart: error: %s\n' "$*" >&2; exit 1; }
wrong_usage() { printf 'quickstart: error: %s (see --help)\n' "$*" >&2; exit 2; }
clock() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly repository
readonly programs=$repository/build/release/examples
# recipe NAME: the options that recipe.txt has under this name.
recipe() { sed -n "s/^$1 //p" "$repository/examples/recipe.txt"; }
read -ra TEXT_OPTIONS <<<"$(recipe text)"
read -ra PREPARE_OPTIONS <<<"$(recipe prepare)"
read -ra MODEL_OPTIONS <<<"$(recipe model)"
read -ra TRAIN_OPTIONS <<<"$(recipe train) --seed $SEED"
readonly TEXT_OPTIONS PREPARE_OPTIONS MODEL_OPTIONS TRAIN_OPTIONS
text=
minutes=$DEFAULT_MINUTES
output=$repository/quickstart-run
while [[ $# -gt 0 ]]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --data | --minutes | --output)
      [[ $# -ge 2 && -n $2 && $2 != --* ]] || wrong_usage "$1 needs a value"
      case "$1" in
        --data) text=$2 ;;
        --minutes) minutes=$2 ;;
        --output) output=$2 ;;
      esac
      shift 2
      ;;
    *) wrong_usage "unknown option '$1'" ;;
  esac
done

[[ $minutes =~ ^[1-9][0-9]{0,5}$ ]] || wrong_usage "--minutes: '$minutes' is not a whole number above 0"
((minutes > RESERVED_MINUTES)) ||
  wrong_usage "--minutes: $minutes leaves no time for training; the other steps take about $RESERVED_MINUTES"
readonly max_update=$(((minutes - RESERVED_MINUTES) * UPDATES_PER_MINUTE / ${#MODELS[@]}))
if [[ -n $text ]]; then
  [[ -d $text ]] || wrong_usage "--data: '$text' is not a folder"
  text=$(cd "$text" && pwd)
  domain_count=$(find -L "$text" -mindepth 1 -maxdepth 1 ! -name '.*' \
    \( -type d -o -iname '*.jsonl' -o -iname '*.jsonl.gz' -o -iname '*.ndjson' -o -iname '*.ndjson.gz' \) | wc -l)
  ((domain_count >= 2)) ||
    wrong_usage "--data: '$text' has $domain_count domains (DOMAIN.jsonl or sub-folders); 2 or more are needed"
fi
mkdir -p "$output/logs" "$output/stamps" || fail "cannot create '$output'"
output=$(cd "$output" && pwd)

trap 'printf "\nquickstart: interrupted; run the same command again to go on\n" >&2; exit 130' INT TERM

# logged NAME COMMAND...: runs the command, its output shown and kept in logs/NAME.log; a failure is fatal.
logged() {
  local log=$output/logs/$1.log
  shift
  # tee ignores Ctrl-C, so that a program that saves its work when interrupted can still write its log.
  if ! "$@" 2>&1 </dev/null | tee -ia "$log"; then
    fail "'$(basename "$1")' failed; its output is in $log"
  fi
}

# step NAME RESULT SETTINGS COMMAND...: runs the command unless it has finished before with the same settings.
# What another run with other settings left in RESULT (a file or folder) is removed first.
step() {
  local name=$1 result=$2 settings=$3 begin=$SECONDS
  local stamp=$output/stamps/$name
  shift 3
  if [[ -f $stamp.done && $(<"$stamp.done") == "$settings" && -e $result ]]; then
    printf '== %s: already done\n' "$name"
    return
  fi
  printf '== %s\n' "$name"
  if [[ ! -f $stamp.started || $(<"$stamp.started") != "$settings" ]]; then
    rm -rf "$result" "$stamp.done"
    printf '%s\n' "$settings" >"$stamp.started"
  fi
  logged "$name" "$@"
  [[ -e $result ]] || fail "step $name ended, but $result is not there; see $output/logs/$name.log"
  printf '%s\n' "$settings" >"$stamp.done"
  printf '== %s: %s\n' "$name" "$(clock $((SECONDS - begin)))"
}

build_programs() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S "$repository" --preset release "${launcher[@]}" &&
    cmake --build "$repository/build/release" -j "$(nproc)" --target demix-prepare demix-eval \
      "${MODELS[@]/#/demix-train-}"
}

prepare() {
  rm -rf "$output/data-bin"
  "$programs/demix-prepare" --input-dir "$text" --output "$output/data-bin" "${PREPARE_OPTIONS[@]}"
}

evaluate() {
  mkdir -p "$(dirname "$2")"
  "$programs/demix-eval" "$output/data-bin" "$1" --split test --json "$2"
}

# timed NAME COMMAND...: a step that looks for itself whether there is anything to do.
timed() {
  local begin=$SECONDS
  printf '== %s\n' "$1"
  logged "$@"
  printf '== %s: %s\n' "$1" "$(clock $((SECONDS - begin)))"
}

timed install "$repository/cmake/install_dependencies.sh"
timed build build_programs

if [[ -z $text ]]; then
  text=$output/text
  step text "$text" "${TEXT_OPTIONS[*]}" \
    python3 -B "$repository/examples/corpus/build_corpus.py" "$text" --cache "$output/packages" \
    "${TEXT_OPTIONS[@]}"
fi

data_settings="$text $(find "$text" -type f -printf '%P %s %T@\n' | sort | cksum) ${PREPARE_OPTIONS[*]}"
step prepare "$output/data-bin" "$data_settings" prepare

results=()
for model in "${MODELS[@]}"; do
  save_dir=$output/models/$model
  settings="$data_settings ${MODEL_OPTIONS[*]} ${TRAIN_OPTIONS[*]} $max_update updates"
  step "train_$model" "$save_dir" "$settings" \
    "$programs/demix-train-$model" "$output/data-bin" --save-dir "$save_dir" \
    "${MODEL_OPTIONS[@]}" "${TRAIN_OPTIONS[@]}" --max-update "$max_update"
  step "test_$model" "$output/results/$model.json" "$settings" \
    evaluate "$save_dir/checkpoint_last" "$output/results/$model.json"
  results+=("${model//-/_}=$output/results/$model.json")
done

printf '\n'
python3 -B "$repository/examples/quickstart_table.py" "${results[@]}" \
  --note "$max_update updates each; ${MODEL_OPTIONS[*]} ${TRAIN_OPTIONS[*]}" \
  --markdown "$output/table.md" --json "$output/table.json"
printf '\nWritten to %s/table.md and table.json. Everything took %s.\n' "$output" "$(clock "$SECONDS")"
