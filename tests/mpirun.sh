#!/usr/bin/env bash
# mpirun.sh ARGUMENT...: Open MPI's mpirun for tests: more ranks than processors, as root too, threads where they like.
set -euo pipefail
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun --oversubscribe --bind-to none "$@"
