#!/bin/bash
# run.sh BINARY: measures Postern beside the peers in one run. SUITE is the directory of the benchmark suite (load generator, sink, peers).
set -eu
binary=$(realpath "$1")
: "${SUITE:?set SUITE to the directory of the benchmark suite (its run.py drives it)}"
make -C "$SUITE"
POSTERN=$binary exec "$SUITE/run.py" --peers "${PEERS:-postfix,postern}" --scenario "${SCENARIO:-accept,e2e,tls-auth,handshake,idle}" --repeat "${REPEAT:-3}"
