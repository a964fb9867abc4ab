# shellcheck shell=bash
# What the jobs of this folder do, once sbatch has started them: srun starts scripts/run_all.sh on every process; the signal
# that comes before the end goes to all of them, and a job that it ended is queued again. DEMIX_ROOT is the folder of demix,
# by default the one that sbatch was called in.
root=${DEMIX_ROOT:-$SLURM_SUBMIT_DIR}
srun --mpi=pmix --kill-on-bad-exit=1 "$root/scripts/run_all.sh" "$SLURM_NTASKS" 0 "$@" &
step=$!
trap 'scancel --signal=USR1 "$SLURM_JOB_ID".0 2>/dev/null || kill -USR1 "$step"' USR1
code=0
wait "$step" || code=$?
# A trapped signal ends the wait before the step does.
while kill -0 "$step" 2>/dev/null; do
  code=0
  wait "$step" || code=$?
done
if ((code == 128 + 10)); then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
