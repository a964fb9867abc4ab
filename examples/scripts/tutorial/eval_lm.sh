#!/usr/bin/env bash
# eval_lm_single.sh by its later name.
set -euo pipefail

scripts=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exec bash "$scripts/eval_lm_single.sh" "$@"
