#!/usr/bin/env python3
"""Plays the dialogues against Postfix and Postern, started from the same configuration, and reports every difference.

    conformance.py [--record] [--only Postfix|Postern] [NAME...]      (NAME: part of a dialogue's name)

Compared are replies, messages at a recording downstream, and the log lines of smtpd and cleanup, all without process ids, queue ids, dates and
ports. A difference must be a row of Docs/postfix-differences.md: the dialogue says `# differs: ROW [PATTERN]`, and the row's first cell begins
with `[ROW]`. The run fails for a difference without a row, for a row named by a dialogue that no longer differs, and for a name that is no row.
`--record` fills each `S: ?` and `L: ?` in with what Postfix says. Needs root (Postfix does) and POSTERN, the binary.
"""

import argparse
import difflib
import os
import re
import sys

from dialogue import Dialogue, matches, play
from machines import ROOT, Postern, Postfix

QUEUED = re.compile(r"queued as (\w+)$")
PROGRAMS = ("smtpd", "cleanup", "qmgr", "smtp")
LONG_ID = r"[0-9A-Za-z]{10,}"


def dialogues(names=()):
    root = os.path.join(ROOT, "Tests", "Dialogues")
    found = sorted(os.path.join(base, name) for base, _, files in os.walk(root) for name in files if name.endswith(".smtp"))
    all_of_them = [Dialogue(path, os.path.relpath(path, root)) for path in found]
    return [d for d in all_of_them if not names or any(n in d.name for n in names)]


def rows():
    """The ids of rows in the list of differences."""
    with open(os.path.join(ROOT, "Docs", "postfix-differences.md"), encoding="utf-8") as f:
        return set(re.findall(r"^\| \[([a-z0-9-]+)\] ", f.read(), re.M))


class Outcome:
    """One dialogue at one server, without what differs from run to run."""

    def __init__(self, machine, dialogue):
        offset = machine.log_size()
        heard = play(dialogue, machine.port(dialogue))
        self.ids = [m[1] for _, line in heard if (m := QUEUED.search(line))]
        connections = sum(step.kind in ("new", "another") for step in dialogue.steps)
        log = in_order(machine.settled(offset, connections, self.ids))
        self.ids += [i for line in log if (i := id_of(line)) and i not in self.ids]
        self.raw = heard
        self.replies = [f"{number}: {self.plain(line)}" for number, line in heard]
        self.log = {program: [self.plain(line) for line in log if program_of(line) == program] for program in PROGRAMS}
        for program in ("qmgr", "smtp"):
            # Messages of one dialogue are on their way at the same time.
            self.log[program].sort()
        self.messages = []
        for queue_id in self.ids[:sum(bool(QUEUED.search(line)) for _, line in heard)]:
            message = machine.recorder.message(queue_id, 3)
            self.messages += [self.plain(line) for line in message or ["(not delivered)"]]

    def plain(self, text):
        return plain_text(text, self.ids)


def plain_text(text, ids):
    """Without what differs from run to run."""
    for queue_id in ids:
        text = text.replace(queue_id, "QID")
    text = re.sub(r"^([\w/-]+)\[\d+\]", r"\1[*]", text)
    # What the relay says of time and place, and the size of what is stored (RFC 5321 trace fields differ in length by the id).
    text = re.sub(r"delays?=[\d./]+", "delay=*", text)
    text = re.sub(r" conn_use=\d+,", "", text)
    text = re.sub(r"size=\d+, nrcpt", "size=*, nrcpt", text)
    text = re.sub(r"\d{14}\.QID@", "TIME.QID@", text)
    text = re.sub(r"\w{3}, +\d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \(\w+\))?", "DATE", text)
    return re.sub(r"(\[127(?:\.\d+){3}\]|for service 127\.0\.0\.1):\d+", r"\1:PORT", text)


def in_order(log):
    """Session by session: the end of one and the begin of the next may be logged in any order."""
    sessions, current = [], {}
    for line in log:
        match = re.match(r"([\w/-]+\[\d+\]): (connect from)?", line)
        process = match[1] if match else ""
        if process not in current or (match and match[2]):
            current[process] = []
            sessions.append(current[process])
        current[process].append(line)
    return [line for session in sessions for line in session]


def id_of(line):
    match = re.match(rf"[\w/-]+\[\d+\]: ({LONG_ID}|[0-9A-F]{{6,}}): ", line) or re.match(rf"[\w/-]+\[\d+\]: warning: ([0-9A-F]{{6,}}|{LONG_ID}): ", line)
    return match[1] if match and match[1] not in ("statistics", "disconnect") else None


def program_of(line):
    match = re.match(r"[\w/-]*?/(\w+)\[", line)
    return match[1] if match else ""


def compare(dialogue, postfix, postern):
    """[(kind, text)] of what differs, a text having both sides."""
    out = []
    pairs = [("reply", postfix.replies, postern.replies), ("message", postfix.messages, postern.messages)]
    pairs += [("log", postfix.log[p], postern.log[p]) for p in PROGRAMS]
    for kind, theirs, ours in pairs:
        matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag != "equal":
                out.append((kind, "Postfix: " + " / ".join(theirs[a:b]) + "\n      Postern: " + " / ".join(ours[c:d])))
    return out


def judge(dialogue, differences, known):
    """The lines of the report that make the run fail, and those that don't."""
    wrong, listed, used = [], [], set()
    for kind, text in differences:
        row = next((row for row, pattern in dialogue.differs if matches(text, f"*{pattern}*")), None)
        if row is None or row not in known:
            wrong.append(f"  {kind}\n      {text}")
        else:
            used.add(row)
            listed.append(f"  [{row}] {kind}\n      {text}")
    for row, _ in dialogue.differs:
        if row not in known:
            wrong.append(f"  no row [{row}] in Docs/postfix-differences.md")
        elif row not in used:
            wrong.append(f"  [{row}]: no such difference any more")
    return wrong, listed


def record(dialogue, outcome):
    """Writes Postfix's answers in the places of `S: ?` and `L: ?`."""
    heard, log, lines = {}, outcome.log["smtpd"] + outcome.log["cleanup"], []
    for number, line in outcome.raw:
        heard.setdefault(number, []).append(QUEUED.sub("queued as *", line))
    for number, line in enumerate(dialogue.lines, 1):
        if line == "S: ?":
            lines += [f"S: {text}" for text in heard.get(number, [])]
        elif line == "L: ?":
            lines += [f"L: {re.sub('TIME.QID|QID|PORT|DATE', '*', text)}" for text in log]
        else:
            lines.append(line)
    with open(dialogue.path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="listed differences, too")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen, binary, known = dialogues(options.names), os.environ["POSTERN"], rows()
    if options.record:
        chosen = [d for d in chosen if {"S: ?", "L: ?"} & set(d.lines)]
    machines, failed, same, listed_count, used = [], 0, 0, 0, set()
    try:
        for kind in [Postfix] if options.record else [Postfix, Postern]:
            machines.append(kind(chosen, binary))
            machines[-1].start()
            machines[-1].quiet()
        for dialogue in chosen:
            outcomes = [Outcome(machine, dialogue) for machine in machines]
            if options.record:
                record(dialogue, outcomes[0])
                continue
            wrong, listed = judge(dialogue, compare(dialogue, *outcomes), known)
            failed, same, listed_count = failed + bool(wrong), same + (not wrong and not listed), listed_count + (not wrong and bool(listed))
            print(("DIFFERS  " if wrong else "listed   " if listed else "same     ") + dialogue.name)
            print("".join(f"{text}\n" for text in wrong + (listed if options.verbose else [])), end="", flush=True)
    finally:
        for machine in machines:
            machine.remove()
    if not options.record:
        print(f"{len(chosen)} dialogues: {same} the same, {listed_count} with listed differences, {failed} with others")
        if not options.names:
            unused = known - {row for d in chosen for row, _ in d.differs}
            print("".join(f"row [{row}]: no dialogue shows it\n" for row in sorted(unused)), end="")
            failed += len(unused)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
