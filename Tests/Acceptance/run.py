#!/usr/bin/env python3
"""Runs the acceptance tests: each file in a process of its own, as many at a time as there are processors (JOBS=n for another number).

Most of them wait most of the time. A file's output is printed when it is done; the last line counts everything.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = float(os.environ.get("LIMIT", 1200))


def run(name):
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "unittest", "-v", name], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.terminate()
        output = process.communicate()[0] + f"\n{name} did not end within {LIMIT:.0f} s\n"
    print(f"== {name}: {time.monotonic() - started:.0f} s\n{output}", flush=True)
    ran = re.search(r"^Ran (\d+) tests?", output, re.M)
    failed = sum(map(int, re.findall(r"(?:failures|errors|unexpected successes)=(\d+)", output)))
    skipped = sum(map(int, re.findall(r"skipped=(\d+)", output)))
    total = int(ran[1]) if ran else 0
    if process.returncode != 0 and failed == 0:
        failed = 1
    return name, max(0, total - failed - skipped), failed, skipped


def main():
    names = sys.argv[1:] or [name[:-3] for name in os.listdir(HERE) if name.startswith("test_") and name.endswith(".py")]
    # The long ones first, so that none is left alone at the end.
    names.sort(key=lambda name: -os.path.getsize(f"{HERE}/{name}.py"))
    jobs = int(os.environ.get("JOBS") or os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(run, names))
    for name, _, failed, _ in results:
        if failed:
            print(f"FAILED: {name}")
    passed, failed, skipped = (sum(result[i] for result in results) for i in (1, 2, 3))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
