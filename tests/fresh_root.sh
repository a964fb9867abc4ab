#!/usr/bin/env bash
# Runs the README's two commands on a machine that has nothing but git. Run it with --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/fresh_root.sh [--minutes N] SUITE [FOLDER]

Makes a fresh root of a Debian or Ubuntu release (SUITE: bookworm, trixie, sid, ...) with debootstrap, with nothing in
it but git and certificates, clones this repository's HEAD into it and runs both commands of README.md there:
tests/run.sh and examples/quickstart.sh. The last lines say how each of them ended. Needs root, debootstrap and some
6 GB; the packages come from the mirror, and with the proxy, of this machine's own apt.

  --minutes N   what examples/quickstart.sh is given (default 11, its least)
  FOLDER        where to make the root; it stays for inspection. Without it, the root is made below ${TMPDIR:-/var/tmp}
                and removed at the end

Exit status: 0 when both commands succeeded, 1 when one failed, 2 for wrong usage.
TEXT
}

note() { printf 'fresh_root: %s\n' "$*"; }
fail() { printf 'fresh_root: error: %s\n' "$*" >&2; exit 1; }
wrong_usage() { printf 'fresh_root: error: %s (see --help)\n' "$*" >&2; exit 2; }

minutes=11
words=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --minutes)
      [[ $# -ge 2 ]] || wrong_usage "--minutes needs a value"
      minutes=$2
      shift 2
      ;;
    -*) wrong_usage "unknown option '$1'" ;;
    *) words+=("$1"); shift ;;
  esac
done
[[ ${#words[@]} -ge 1 && ${#words[@]} -le 2 ]] || wrong_usage "expected SUITE [FOLDER], found ${#words[@]} arguments"
suite=${words[0]}
[[ $(id -u) -eq 0 ]] || fail "making a root needs the rights of root"
for tool in debootstrap unshare git; do
  command -v "$tool" >/dev/null || fail "$tool not found; apt-get install $tool"
done
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Every address that apt reads Debian or Ubuntu packages from, in both formats of its lists.
mirrors() {
  find /etc/apt -name '*.list' -exec sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) .*/\2/p' {} +
  find /etc/apt -name '*.sources' -exec sed -nE 's/^URIs: *//p' {} + | tr ' ' '\n'
}
mirror=
release=$(mktemp)
for candidate in $(mirrors); do
  if /usr/lib/apt/apt-helper download-file "${candidate%/}/dists/$suite/Release" "$release" &>/dev/null; then
    mirror=$candidate
    break
  fi
done
rm -f "$release"
[[ -n $mirror ]] || fail "none of the addresses in /etc/apt has a release called '$suite'"

if [[ ${#words[@]} -eq 2 ]]; then
  root=${words[1]}
  mkdir -p "$root"
  [[ -z $(ls -A "$root") ]] || fail "'$root' is not empty; name a new folder"
  root=$(cd "$root" && pwd)
else
  root=$(mktemp -d "${TMPDIR:-/var/tmp}/demix-$suite-XXXXXX")
  temporary=$root
fi
child=
# What runs in the root ends with its unshare, which heeds only KILL, and takes the mounts of its namespace along.
# shellcheck disable=SC2317
clean_up() {
  if [[ -n $child ]]; then kill -KILL "$child" 2>/dev/null || true; fi
  if [[ -n ${temporary:-} ]]; then rm -rf --one-file-system "$temporary" "$temporary.log"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What apt needs to reach its mirror: its own settings, and the proxy also for those who know no apt.
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
proxies=()
for name in http_proxy https_proxy no_proxy; do
  if [[ -n ${!name:-} ]]; then
    export "${name?}"
    proxies+=("$name=${!name}")
  fi
done

note "$suite: debootstrap in $root"
# It mounts /proc, too, where an interruption must not leave it.
unshare --mount --propagation private debootstrap --variant=minbase --include=ca-certificates,git \
  "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; fail "debootstrap failed"; }
rm -f "$root.log"
apt-config dump Acquire | grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])\b' \
  >"$root/etc/apt/apt.conf.d/99fresh-root" || true
cp /etc/resolv.conf "$root/etc/resolv.conf"
[[ -z $(git -C "$repository" status --porcelain) ]] || note "changes that are not committed are left out"
git clone --quiet "$repository" "$root/root/demix"
note "$suite: demix at $(git -C "$root/root/demix" log -1 --format='%h %s')"

# in_root COMMAND...: becomes the command in the clone, with mounts and processes in namespaces of their own.
in_root() {
  # shellcheck disable=SC2016
  exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc="$root/proc" \
    bash -c 'mount --rbind /dev "$1/dev" && exec chroot "$@"' - \
    "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${proxies[@]}" \
    bash -c 'cd /root/demix && exec "$@"' - "$@"
}

outcomes=()
failed=0
for command in tests/run.sh "examples/quickstart.sh --minutes $minutes"; do
  note "$suite: $command"
  begin=$SECONDS status=0
  # shellcheck disable=SC2086
  in_root $command </dev/null &
  child=$!
  wait "$child" || status=$?
  child=
  [[ $status -eq 0 ]] || failed=1
  outcomes+=("$suite: $command: exit $status after $(((SECONDS - begin) / 60)) min")
done
for outcome in "${outcomes[@]}"; do note "$outcome"; done
exit $failed
