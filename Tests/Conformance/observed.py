"""What many sessions at one server led to: replies, log lines and delivered messages of each, without what differs from run to run."""

import concurrent.futures
import itertools
import re

from conformance import LONG_ID, QUEUED, plain_text, program_of
from machines import wait_for
from sessions import play

# Each session comes from an address of its own, which tells its log lines from others'.
ADDRESSES = (f"127.{a}.{b}.{c}" for a, b, c in itertools.product(range(100, 200), range(100, 200), range(100, 200)))
CONNECT = re.compile(r"[\w/-]+\[(\d+)\]: connect from \S+\[(127\.1\d\d\.1\d\d\.1\d\d)\]")
ID_LINE = re.compile(rf"[\w/-]+\[\d+\]: (?:warning: )?({LONG_ID}|[0-9A-F]{{6,}}): ")
WORKERS = 4


class Observed:
    """One session at one server."""

    def __init__(self, heard, lines, id_lines, machine):
        ids = list(dict.fromkeys(re.findall(rf": ({LONG_ID}|[0-9A-F]{{6,}}): client=", "\n".join(lines))))
        self.ids, self.heard = ids, heard
        self.replies = [(number, [plain_text(line, ids) for line in reply]) for number, reply in heard]
        self.log = {"smtpd": [plain_text(line, ids) for line in lines]}
        for program in ("cleanup", "qmgr"):
            own = [[line for line in id_lines.get(i, []) if program_of(line) == program] for i in ids]
            self.log[program] = [plain_text(line, ids) for line in sum(own, [])]
        queued = [m[1] for _, reply in heard for line in reply if (m := QUEUED.search(line))]
        self.messages = [self.message(machine.recorder.deliveries(i), ids) for i in queued]

    @staticmethod
    def message(deliveries, ids):
        """The message as lines, envelope ahead; deliveries of one content to some recipients each count as one."""
        merged = {}
        for mail, recipients, content in deliveries:
            merged.setdefault((re.sub(rb" SIZE=\d+", b"", mail), content), []).extend(recipients)
        lines = []
        for (mail, content), recipients in sorted(merged.items()):
            lines += [mail, *sorted(recipients), *content.split(b"\r\n")]
        return [plain_text(line.decode("utf-8", "backslashreplace"), ids) for line in lines] or ["(not delivered)"]


def observe(machine, sessions, clients):
    """Plays sessions, each from its own address, some at a time, and gathers what came of them."""
    offset = machine.log_size()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        heard = list(pool.map(lambda pair: play(pair[0], machine.port(pair[0].service), pair[1]), zip(sessions, clients)))
    queued = {m[1] for replies in heard for _, reply in replies for line in reply if (m := QUEUED.search(line))}
    wait_for(lambda: machine.log(offset).count(": disconnect from") >= len(sessions), 10)
    wait_for(lambda: queued <= set(re.findall(rf": (\w+): removed", machine.log(offset))), 10)
    # Nobody waits for cleanup(8) where a message is refused.
    wait_for(lambda: machine.all_cleaned_up(offset), 0.3)
    by_client, by_id = split(machine.lines(offset))
    return [Observed(replies, by_client.get(client, []), by_id, machine) for replies, client in zip(heard, clients)]


def split(log):
    """Lines of smtpd by the client's address, and those of other programs by queue id. A process serves one session after another."""
    by_client, by_id, current = {}, {}, {}
    for line in log:
        program = program_of(line)
        if program == "smtpd":
            process = re.match(r"[\w/-]+\[(\d+)\]", line)[1]
            if match := CONNECT.match(line):
                current[process] = by_client.setdefault(match[2], [])
            if process in current:
                current[process].append(line)
        elif match := ID_LINE.match(line):
            by_id.setdefault(match[1], []).append(line)
    return by_client, by_id
