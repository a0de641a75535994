#!/bin/bash
# The acceptance tests that prove spool and generations, in the long form that POSTERN_KILLS, POSTERN_POWERCUTS, POSTERN_SOAK_SECONDS and
# POSTERN_SOAK_RATE ask for. All are run, whatever fails.
set -u
cd "$(dirname "$0")/.."
failed=0
for pattern in test_powercut.py test_kill.py test_diskfull.py test_poison.py test_generations.py test_service.py; do
    python3 -m unittest discover -v -s Tests/Acceptance -p "$pattern" || failed=1
done
# Many connections: as many of twenty thousand as this machine has descriptors for.
POSTERN_CONNECTIONS=${POSTERN_CONNECTIONS:-20000} python3 -m unittest discover -v -s Tests/Acceptance -p test_limits.py || failed=1
exit $failed
