#!/usr/bin/env python3
"""Random sessions against Postfix and Postern, started from the same configurations; every difference that is not listed is shortened and shown.

    differential.py [--seed N] [--sessions N] [--seconds N] [--only SERVICE...] [--keep DIRECTORY]

`--sessions`: of each service (default 60), `--seconds`: stop after that time, whatever is left. What grammar.py generates depends only on the
seed, the service and the session's number. Compared are replies, the log lines of smtpd, cleanup and qmgr, and the delivered messages.
Listed differences (Docs/postfix-differences.md) are recognised by listed.py. Each other one is printed as a dialogue, with commands left
out as long as it stays; `--keep` writes it to a file, too. Needs root and POSTERN, as conformance.py does.
"""

import argparse
import collections
import concurrent.futures
import difflib
import os
import sys
import time

from grammar import Generator
from listed import Difference, row_of, unlisted
from machines import ROOT, Postern, Postfix
from minimise import minimise
from observed import ADDRESSES, observe
from services import SERVICES
from sessions import CONTENT

BATCH = 40


class Comparison:
    """One session at both servers: what differs, and by which row."""

    def __init__(self, session, theirs, ours):
        self.session, self.replies = session, theirs.replies
        self.rows, self.wrong = collections.Counter(), []
        self.compare(theirs, ours)

    def compare(self, theirs, ours):
        units = self.session.units()
        for (number, a), (_, b) in zip(theirs.replies, ours.replies):
            if a != b:
                unit = units[number] if number is not None and number >= 0 else None
                command = b"" if unit is None else unit.data if unit.kind != CONTENT else b"(content)"
                # From here on the two servers are in different states.
                return self.judge("reply", a, b, command)
        if len(theirs.replies) != len(ours.replies):
            return self.judge("reply", [f"{len(theirs.replies)} replies"], [f"{len(ours.replies)} replies"])
        pairs = [("log", theirs.log[program], ours.log[program]) for program in ("smtpd", "cleanup", "qmgr")]
        pairs += [("message", a, b) for a, b in zip(theirs.messages, ours.messages)]
        for kind, a, b in pairs:
            for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
                if tag == "replace" and j - i == m - k:
                    for theirs_line, our_line in zip(a[i:j], b[k:m]):
                        self.judge(kind, [theirs_line], [our_line])
                elif tag != "equal":
                    self.judge(kind, a[i:j], b[k:m])

    def judge(self, kind, theirs, ours, command=b""):
        difference = Difference(kind, theirs, ours, self.session, self.replies, command)
        row = row_of(difference)
        if row:
            self.rows[row] += 1
        else:
            self.wrong.append(difference)


class Differential:
    def __init__(self, services, binary):
        self.services = services
        self.machines = [Postfix(services, binary), Postern(services, binary)]
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.count, self.with_listed, self.rows, self.found = collections.Counter(), 0, collections.Counter(), {}

    def compare(self, sessions):
        clients = [next(ADDRESSES) for _ in sessions]
        outcomes = [self.pool.submit(observe, machine, sessions, clients) for machine in self.machines]
        return [Comparison(session, *pair) for session, *pair in zip(sessions, *(outcome.result() for outcome in outcomes))]

    def batch(self, service, seed, numbers):
        """Plays sessions of one service and returns those that differ in a way not met before: [(number, comparison)]."""
        fresh = []
        sessions = [Generator(service, f"{seed}/{service.name}/{number}").session() for number in numbers]
        for number, comparison in zip(numbers, self.compare(sessions)):
            self.count[service.name] += 1
            self.rows += comparison.rows
            self.with_listed += bool(comparison.rows)
            for difference in comparison.wrong:
                signature = difference.signature()
                if signature not in self.found:
                    fresh.append((number, comparison.session, difference))
                self.found[signature] = self.found.get(signature, 0) + 1
        return fresh

    def shortest(self, session, difference):
        def differs(candidates):
            return [difference.signature() in [d.signature() for d in c.wrong] for c in self.compare(candidates)]
        return minimise(session, differs) if differs([session])[0] else None


def report(run, number, session, difference, options):
    short = run.shortest(session, difference)
    title = f"# {session.service.name}/{number}: " + difference.text().replace("\n     ", "\n#")
    text = f"{title}\n" + (short or session).text() + ("" if short else "# was not seen again when played again\n")
    print(text, flush=True)
    if options.keep:
        with open(os.path.join(options.keep, f"{session.service.name}-{number}.smtp"), "w", encoding="utf-8") as f:
            f.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default="1")
    parser.add_argument("--first", type=int, default=0, help="number of the first session")
    parser.add_argument("--sessions", type=int, default=int(os.environ.get("SESSIONS") or 60))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--keep")
    options = parser.parse_args()
    services = [service for service in SERVICES if not options.only or service.name in options.only]
    with open(os.path.join(ROOT, "Docs", "postfix-differences.md"), encoding="utf-8") as f:
        if missing := unlisted(f.read()):
            sys.exit(f"no such row in Docs/postfix-differences.md: {missing}")
    run, start = Differential(services, os.environ["POSTERN"]), time.monotonic()
    try:
        for machine in run.machines:
            machine.start()
            machine.quiet()
        started = time.monotonic()
        for first in range(options.first, options.first + options.sessions, BATCH):
            for service in services:
                if time.monotonic() - start < options.seconds:
                    for found in run.batch(service, options.seed, range(first, min(first + BATCH, options.first + options.sessions))):
                        report(run, *found, options)
    finally:
        for machine in run.machines:
            machine.remove()
    took, total = time.monotonic() - started, sum(run.count.values())
    print(f"{total} random sessions of {len(run.count)} services in {took:.0f} s: {run.with_listed} with listed differences, {len(run.found)} others")
    print("".join(f"  {n:6} [{row}]\n" for row, n in run.rows.most_common()) + "".join(f"  {n:6} {signature}\n" for signature, n in run.found.items()), end="")
    return 1 if run.found else 0


if __name__ == "__main__":
    sys.exit(main())
