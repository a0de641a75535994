#!/bin/bash
# A million queued messages of 4 KiB (COUNT for another number): start-up with a cold cache, memory, the first page of the list, deleting
# one, delivery while compaction runs. Needs 6 GB of disk; to empty the cache it must run as root.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=${SCRATCH:-.build}
bin=$(swift build -c release --scratch-path "$scratch" --show-bin-path)
swift build -c release --scratch-path "$scratch" --product spool-bench >&2
queue=$(mktemp -d "${QUEUE:-${TMPDIR:-/var/tmp}}/postern-million-XXXXXX")
trap 'rm -rf "$queue"' EXIT
"$bin/spool-bench" fill "$queue" "${COUNT:-1000000}"
sync
if [ -w /proc/sys/vm/drop_caches ]; then echo 3 >/proc/sys/vm/drop_caches; else echo "the cache is warm: not root"; fi
"$bin/spool-bench" measure "$queue"
