# shellcheck shell=bash
# What the scripts of this folder share; they source it. Each of them sets usage, its --help.
: "${usage:?}"

complain() { printf '%s: %s (see --help)\n' "$(basename "$0")" "$*" >&2; exit 2; }

# read_arguments LEAST MOST ARGUMENT...: sets `arguments`, and `options` to what stands behind a --.
read_arguments() {
  local least=$1 most=$2
  shift 2
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
}

# choose_defaults OPTION VALUE ...: sets `defaults` to those that `options` does not give otherwise.
choose_defaults() {
  defaults=()
  while [[ $# -gt 0 ]]; do
    if [[ " ${options[*]} " != *" $1"[\ =]* ]]; then defaults+=("$1" "$2"); fi
    shift 2
  done
}

# program NAME: the path of a demix program: in DEMIX_BIN, else in PATH, else where the release preset builds.
program() {
  local built
  built=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build/release/examples/$1
  if [[ -n ${DEMIX_BIN:-} ]]; then
    printf '%s\n' "$DEMIX_BIN/$1"
  elif ! command -v "$1"; then
    printf '%s\n' "$built"
  fi
}

# run NAME ARGUMENT...: becomes the demix program, after showing its command line on stderr.
run() {
  local path
  path=$(program "$1")
  [[ -x $path ]] || { printf '%s: %s is missing; build it, or set DEMIX_BIN\n' "$(basename "$0")" "$path" >&2; exit 1; }
  printf '+ %s\n' "$*" >&2
  shift
  exec "$path" "$@"
}

# CKPT is a checkpoint, or the file of one of its experts, which stands for the original's file of one rank.
checkpoint_of() { if [[ $1 == *.h5 ]]; then dirname "$(dirname "$1")"; else printf '%s\n' "$1"; fi; }
expert_of() { if [[ $1 == *.h5 ]]; then basename "$1" .h5; fi; }
require_checkpoint() {
  [[ -e $1 ]] || complain "there is no checkpoint '$1'"
  [[ $1 != *.h5 || $(basename "$(dirname "$1")") == experts ]] ||
    complain "'$1' is not the file of an expert (CKPT/experts/NAME.h5)"
}
