#!/usr/bin/env bash
# A SLURM of virtual nodes on this machine, for tests: its daemons, their key, sockets, state and logs live in one folder.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/slurm/cluster.sh start FOLDER [NODES] | stop FOLDER

start brings up munged, slurmctld and a slurmd for each of NODES (default 4) virtual nodes of 4 processors, waits until the
nodes are idle, and prints the exports that srun and sbatch need. stop ends what start has started. Needs root, and Debian's
slurm-wlm and munge. Exit status 77: this machine cannot have one, and why stands on stderr.
TEXT
}
cannot() { printf 'cluster: %s\n' "$*" >&2; exit 77; }
fail() { printf 'cluster: error: %s; the logs are in %s\n' "$*" "$folder" >&2; stop; exit 1; }

# Ends the daemons whose process numbers stand in the folder, the nodes first.
stop() {
  local file pid
  for file in "$folder"/n*.pid "$folder/controller.pid" "$folder/munge.pid"; do
    [[ -s $file ]] || continue
    pid=$(<"$file")
    kill "$pid" 2>/dev/null || true
    for _ in {1..100}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$file"
  done
}

# free_ports COUNT: the first of so many ports in a row that nothing listens on.
free_ports() {
  python3 -c '
import random, socket, sys
count = int(sys.argv[1])
for _ in range(100):
    first = random.randrange(20000, 30000)
    try:
        for port in range(first, first + count):
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        break
    except OSError:
        pass
else:
    sys.exit("no free ports")
print(first)' "$1"
}

write_configuration() {
  local first host n names
  first=$(free_ports $((nodes + 1)))
  host=$(hostname -s)
  names="n[1-$nodes]"
  {
    printf '%s\n' "ClusterName=test" "SlurmctldHost=$host(127.0.0.1)" "SlurmctldPort=$first" \
      "SlurmUser=root" "SlurmdUser=root" "AuthType=auth/munge" "AuthInfo=socket=$folder/munge.socket" "CredType=cred/munge" \
      "MpiDefault=none" "ProctrackType=proctrack/linuxproc" "TaskPlugin=task/none" "SwitchType=switch/none" \
      "JobAcctGatherType=jobacct_gather/none" "AccountingStorageType=accounting_storage/none" \
      "SelectType=select/cons_tres" "SelectTypeParameters=CR_Core" "SchedulerType=sched/backfill" \
      "SchedulerParameters=sched_interval=1,bf_interval=1" "SlurmdParameters=config_overrides" "ReturnToService=2" \
      "KillWait=10" "MessageTimeout=60" "StateSaveLocation=$folder/state" "TmpFS=$folder/tmp-%n" \
      "SlurmdSpoolDir=$folder/spool-%n" "SlurmctldPidFile=$folder/controller.pid" "SlurmdPidFile=$folder/%n.pid" \
      "SlurmctldLogFile=$folder/controller.log" "SlurmdLogFile=$folder/%n.log" "PlugStackConfig=$folder/plugstack.conf"
    for ((n = 1; n <= nodes; ++n)); do
      printf '%s\n' "NodeName=n$n NodeHostname=$host NodeAddr=127.0.0.1 Port=$((first + n)) CPUs=4 CoresPerSocket=4"
    done
    printf '%s\n' "PartitionName=main Nodes=$names Default=YES MaxTime=INFINITE State=UP"
  } >"$folder/slurm.conf"
  : >"$folder/plugstack.conf"
  printf 'CgroupAutomount=no\n' >"$folder/cgroup.conf"
}

start() {
  local n
  [[ $(id -u) -eq 0 ]] || cannot "SLURM's daemons need root"
  for n in munged slurmctld slurmd srun sinfo; do
    PATH=$PATH:/usr/sbin command -v "$n" >/dev/null || cannot "there is no $n (Debian: slurm-wlm, munge)"
  done
  export PATH=$PATH:/usr/sbin
  mkdir -p "$folder/state"
  chmod 755 "$folder"
  folder=$(cd "$folder" && pwd)
  write_configuration
  export SLURM_CONF=$folder/slurm.conf
  (umask 077 && head -c 128 /dev/urandom >"$folder/munge.key")
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
    --log-file="$folder/munge.log" --seed-file="$folder/munge.seed" --num-threads=2 || fail "munged does not start"
  slurmctld -c || fail "slurmctld does not start"
  for ((n = 1; n <= nodes; ++n)); do
    mkdir -p "$folder/tmp-n$n"
    slurmd -N "n$n" || fail "slurmd of node $n does not start"
  done
  for _ in {1..300}; do
    if [[ $(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | sort -u | wc -l) -eq $nodes ]]; then
      # The nodes have one host name, by which Open MPI's shared memory is named: let them talk over the loopback.
      printf 'export SLURM_CONF=%q OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo\n' \
        "$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  fail "the nodes do not become idle"
}

if [[ ${1:-} == --help || ${1:-} == -h ]]; then usage; exit 0; fi
[[ $# -ge 2 && $# -le 3 && ($1 == start || $1 == stop) ]] || { usage >&2; exit 2; }
folder=$2 nodes=${3:-4}
[[ $nodes =~ ^[1-9][0-9]?$ ]] || { usage >&2; exit 2; }
"$1"
