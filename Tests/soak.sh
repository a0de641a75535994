#!/bin/bash
# The acceptance tests that prove the spool, in the long form that POSTERN_KILLS and POSTERN_POWERCUTS ask for. All are run, whatever fails.
set -u
cd "$(dirname "$0")/.."
failed=0
for pattern in test_powercut.py test_kill.py test_diskfull.py test_poison.py; do
    python3 -m unittest discover -v -s Tests/Acceptance -p "$pattern" || failed=1
done
# Many connections: as many of twenty thousand as this machine has descriptors for.
POSTERN_CONNECTIONS=${POSTERN_CONNECTIONS:-20000} python3 -m unittest discover -v -s Tests/Acceptance -p test_limits.py || failed=1
exit $failed
