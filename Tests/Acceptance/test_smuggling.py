"""SMTP smuggling, end to end: every sequence that some server has taken for the end of a message, in every way to send it, to several next hops.

What is shown: each next hop gets one message for each that the client was told `250 ... queued` about, never another, with the content that the
rules of smtpd_forbid_bare_newline give. Next hops are a strict receiver, three that are as gullible as servers were before December 2023, a real
Postfix with `smtpd_forbid_bare_newline = no`, and Dovecot's LMTP server; and a Postfix that is given the same bytes must say and pass on the same.

`make test` plays a sample, another for each value of POSTERN_SEED; `make soak` plays the whole table (POSTERN_SMUGGLING=all).
"""

import collections
import concurrent.futures
import itertools
import os
import random
import re
import socket
import time
import unittest

from counterparts import Dovecot
from downstream import Postfix
from postern import Case, free_port, have, wait_for
from receivers import GULLIBLE, Receiver
from test_badinput import connect, read_all, read_reply

WHOLE = os.environ.get("POSTERN_SMUGGLING") == "all"
SEED = int(os.environ.get("POSTERN_SEED", "1"))
SAMPLE = 600

# Ends that have been published (CVE-2023-51764, 51765, 51766, 52160 and what was found around them) and their neighbours: these are sent in each way.
PUBLISHED = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\r\n.\r\n",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\0.\n", b"\r\0\n.\r\n", b"\r\n.\r\0\n", b"\x85.\x85", b"\x8a.\x8a", b"\x8d\x8a.\x8d\x8a",
    b"\r\n\xae\r\n", b"\r\n\0\xae\r\n", "\u0085.\u0085".encode(), "\u2028.\u2028".encode(), "\u2029.\u2029".encode(), b"\r\n..\r\n",
    b"\r\n. \r\n", b"\r\n.\t\r\n", b"\v.\v", b"\f.\f", b"\n\r.\n\r", b"\r\n.\r\n",
)
LINE_ENDS = (
    b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r" * 60 + b"\n", b"\n\r", b"\r\0\n", b"\0\r\n", b"\x85", b"\x8a", b"\x8d\x8a", "\u0085".encode(),
    "\u2028".encode(), b"\v",
)
DOTS = (b".", b"..", b"...", b"\0.", b".\0", b"\0.\0", b". ", b" .", b"\xae", b"\x80.", b".\xa0", b".\r", b"\r.")
# What stands before the sequence: at the lengths where lines are folded, taken apart or read in pieces, it may fall into two.
FILLERS = (0, 1, 996, 997, 998, 999, 1994, 2046, 2047, 2048, 2049, 4095, 65000)

MODES = {
    "normalize": "smtpd_forbid_bare_newline=normalize", "yes": "smtpd_forbid_bare_newline=yes", "note": "smtpd_forbid_bare_newline=note",
    "reject": "smtpd_forbid_bare_newline=reject", "no": "smtpd_forbid_bare_newline=no",
    "excluded": "smtpd_forbid_bare_newline=normalize -o smtpd_forbid_bare_newline_exclusions=127.0.0.0/8",
}
LENIENT = ("no", "excluded")
PARAMETERS = (b"", b" BODY=7BIT", b" BODY=8BITMIME", b" BODY=8BITMIME SMTPUTF8")
DATA_WAYS = ("one packet", "cut", "bytes", "all pipelined")
BDAT_WAYS = ("one chunk", "cut", "bytes", "empty LAST")
MARKER = b"XYZZY\r\n"
MARKED = rb"^500 5\.5\.2 Error: command not recognized\r\n|^221 .*\r\n|^5.*bare <LF> received\r\n"

Part = collections.namedtuple("Part", "verb end way cut filler parameters")
Attack = collections.namedtuple("Attack", "number mode parts")
Outcome = collections.namedtuple("Outcome", "attack replies taken")


def parts_of(verb, end, parameters, filler=0):
    for way in DATA_WAYS if verb == "DATA" else BDAT_WAYS:
        for cut in range(len(end) + 3) if way == "cut" else (0,):
            yield Part(verb, end, way, cut, filler, parameters)


def every_attack(modes):
    """All of them, in a fixed order."""
    rng = random.Random(0)
    for mode in modes:
        for end, verb in itertools.product(PUBLISHED, ("DATA", "BDAT")):
            for part in parts_of(verb, end, rng.choice(PARAMETERS)):
                yield mode, (part,)
            # Two messages in one session, of both kinds.
            other = rng.choice(PUBLISHED)
            ways = list(parts_of("BDAT" if verb == "DATA" else "DATA", other, rng.choice(PARAMETERS)))
            yield mode, (Part(verb, end, "bytes", 0, 0, b""), rng.choice(ways))
        for left, dots, right in itertools.product(LINE_ENDS, DOTS, LINE_ENDS):
            parts = list(parts_of(rng.choice(("DATA", "BDAT")), left + dots + right, rng.choice(PARAMETERS)))
            yield mode, (rng.choice(parts),)
        for filler, end in itertools.product(FILLERS, PUBLISHED):
            for verb in ("DATA", "BDAT"):
                yield mode, (rng.choice(list(parts_of(verb, end, b" BODY=8BITMIME", filler))),)


def attacks(modes):
    chosen = list(every_attack(modes))
    if not WHOLE:
        # Each published one in each mode, and of all the others some.
        chosen = random.Random(SEED).sample(chosen, SAMPLE)
    return [Attack(number, mode, parts) for number, (mode, parts) in enumerate(chosen)]


def content_lines(text, lenient, dots):
    """`text` as smtpd(8) reads it: the lines of the first message, and what follows its end; nil for the latter where there is no end."""
    lines, previous, position = [], True, 0
    while (line_feed := text.find(b"\n", position)) >= 0:
        line, position = text[position:line_feed], line_feed + 1
        proper = line.endswith(b"\r")
        line = line.rstrip(b"\r") if lenient else line.removesuffix(b"\r")
        if dots and line.startswith(b"."):
            if line == b".":
                if lenient or (proper and previous):
                    return lines, text[position:]
                previous = proper
                continue
            line = line[1:]
        previous = proper
        lines.append(line.replace(b"\r", b" "))
    if position < len(text) and not dots:
        lines.append(text[position:].replace(b"\r", b" "))
    return lines, None


def folded(line):
    """smtp_line_length_limit."""
    while len(line) > 998:
        yield line[:998]
        line = b" " + line[998:]
    yield line


def on_the_wire(line):
    """A NUL at the start of a line is no part of mail, and the relay does not pass it on."""
    return b" " + line[1:] if line.startswith(b"\0") else line


def body(content):
    """The lines below the header of what a strict receiver has recorded."""
    return [line[1:] if line.startswith(b".") else line for line in content.split(b"\r\n\r\n", 1)[1].split(b"\r\n")]


def address(command):
    return re.search(rb"<(.*?)>", command)[1].decode()


class Client:
    """Plays one attack on one server."""

    def __init__(self, domains):
        self.domains = domains

    def recipients(self):
        return b"".join(b"RCPT TO:<r@%s>\r\n" % domain for domain in self.domains)

    def text(self, number, part):
        """Header, filler; the sequence; and what wants to be a second message."""
        before = b"Subject: %d\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\nbefore" % number + b"x" * part.filler
        smuggled = b"MAIL FROM:<smuggled-%d@evil.example>\r\n" % number + self.recipients() + b"DATA\r\nSubject: %d\r\n\r\nsmuggled" % number
        return before, part.end, smuggled

    def play(self, port, attack):
        replies, last = b"", len(attack.parts) - 1
        with connect(port) as c:
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            read_reply(c)
            c.sendall(b"EHLO x\r\n")
            read_reply(c)
            try:
                for index, part in enumerate(attack.parts):
                    sender = b"%s-%d@example.org" % ((b"a", b"b")[index], attack.number)
                    envelope = b"MAIL FROM:<" + sender + b">" + part.parameters + b"\r\n" + self.recipients()
                    packets = self.packets(attack.number, part)
                    packets[-1] += b"QUIT\r\n" if index == last else MARKER
                    if part.verb == "DATA" and part.way != "all pipelined":
                        c.sendall(envelope + b"DATA\r\n")
                        replies += self.until(c, rb"^354 .*\r\n|^5\d\d .*\r\n\Z")
                    else:
                        packets[0] = envelope + (b"DATA\r\n" if part.verb == "DATA" else b"") + packets[0]
                    for number, packet in enumerate(packets):
                        if number:
                            time.sleep(0.001)
                        c.sendall(packet)
                    if index != last:
                        replies += self.until(c, MARKED)
            except ConnectionError:
                pass
            replies += read_all(c)
        queued = re.findall(rb"^(?:250 2\.0\.0 Ok: .*queued as|550 5\.5\.2 .*bare <LF>)", replies, re.M)
        return Outcome(attack, replies, queued)

    @staticmethod
    def until(connection, pattern):
        collected = b""
        while not re.search(pattern, collected, re.M):
            data = connection.recv(65536)
            if not data:
                raise ConnectionError
            collected += data
        return collected

    def packets(self, number, part):
        before, end, smuggled = self.text(number, part)
        whole, start = before + end + smuggled, len(before)
        if part.verb == "BDAT":
            return [b"".join(self.chunks(whole + b"\r\n.\r\n", start, len(end), part))]
        whole += b"\r\n.\r\n"
        match part.way:
            case "cut":
                return [whole[:start + part.cut], whole[start + part.cut:]] if start + part.cut else [whole]
            case "bytes":
                borders = [0, *range(start, start + len(end) + 3), len(whole)]
                return [whole[a:b] for a, b in itertools.pairwise(borders)]
        return [whole]

    @staticmethod
    def chunks(content, start, length, part):
        borders = {
            "one chunk": [0], "empty LAST": [0, len(content)], "cut": [0, start + part.cut],
            "bytes": [0, *range(start, start + length + 1)],
        }[part.way]
        pairs = list(itertools.pairwise([*sorted(set(borders)), len(content)]))
        for number, (a, b) in enumerate(pairs, 1):
            yield b"BDAT %d%s\r\n" % (b - a, b" LAST" if number == len(pairs) else b"")
            yield content[a:b]

    def expected(self, attack, index):
        """The body of the message that part `index` comes to."""
        part = attack.parts[index]
        text = b"".join(self.text(attack.number, part)) + b"\r\n.\r\n"
        lines, _ = content_lines(text, attack.mode in LENIENT, part.verb == "DATA")
        return [piece for line in lines[lines.index(b"") + 1:] for piece in folded(on_the_wire(line))]


class Smuggling(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.addClassCleanup(cls.shared.doCleanups)
        clean = cls.shared.addCleanup
        cls.receivers = {
            "strict": Receiver(), "gullible": Receiver(GULLIBLE), "nul": Receiver(GULLIBLE, drops=b"\0"),
            "seven": Receiver(GULLIBLE, drops=b"\0", seven=True, eight=False),
        }
        hops = {name: f"smtp:[127.0.0.1]:{receiver.port}" for name, receiver in cls.receivers.items()}
        if os.geteuid() == 0 and have("postfix", "saslpasswd2"):
            cls.receivers["postfix"] = Receiver()
            hops["postfix"] = f"smtp:[127.0.0.1]:{cls.open_postfix(cls.receivers['postfix'].port).port}"
        cls.dovecot = None
        if have("dovecot"):
            cls.dovecot = Dovecot(users=("r",))
            clean(cls.dovecot.remove)
            cls.dovecot.start()
            hops["dovecot"] = f"lmtp:inet:[127.0.0.1]:{cls.dovecot.lmtp}"
        for receiver in cls.receivers.values():
            clean(receiver.stop)
        cls.domains = [name.encode() + b".example" for name in hops]
        cls.ports = {mode: free_port() for mode in MODES}
        services = "".join(f"127.0.0.1:{cls.ports[mode]} inet n - n - - smtpd -o {options}\n" for mode, options in MODES.items())
        cls.postern = cls.shared.server(
            "smtpd_forbid_bare_newline_exclusions =\nsmtpd_forbid_unauth_pipelining = no\nsmtpd_timeout = 20s\n"
            "smtpd_error_sleep_time = 0\nsmtpd_client_connection_count_limit = 0\n"
            "transport_maps = inline:{" + ", ".join(f"{{ {name}.example = {hop} }}" for name, hop in hops.items()) + "}\n",
            "127.0.0.1:@PLAIN@ inet n - n - - smtpd\n" + services)

    def runTest(self):
        """Lets setUpClass make one."""

    @classmethod
    def open_postfix(cls, next_port, services=""):
        """A Postfix that takes everything and passes it on to `next_port`."""
        postfix = Postfix(f"""smtpd_tls_security_level = none
smtpd_sasl_auth_enable = no
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_data_restrictions =
smtpd_forbid_bare_newline = no
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = no
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0s
default_transport = smtp:[127.0.0.1]:{next_port}
""", services)
        cls.shared.addCleanup(postfix.remove)
        return postfix

    def play(self, ports, chosen):
        client = Client(self.domains)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda attack: client.play(ports[attack.mode], attack), chosen))

    def senders(self, outcomes):
        """Who the messages are from that were acknowledged, in the order in which each client was told."""
        wanted = collections.Counter()
        for outcome in outcomes:
            number, parts = outcome.attack.number, outcome.attack.parts
            names = [f"{'ab'[index]}-{number}@example.org" for index in range(len(parts))]
            # Where the sequence is an end of data, what follows it are commands, as the client means it; with bare line feeds by the administrator's wish.
            names = [
                name for index, name in enumerate(names)
                for name in (name, f"smuggled-{number}@evil.example")[:2 if self.ends_early(outcome.attack, index) else 1]
            ]
            self.assertLessEqual(len(outcome.taken), len(names), outcome)
            wanted.update(name for name, reply in zip(names, outcome.taken) if reply.startswith(b"250"))
        return wanted

    def ends_early(self, attack, index):
        part = attack.parts[index]
        text = b"".join(Client(self.domains).text(attack.number, part)) + b"\r\n.\r\n"
        return part.verb == "DATA" and content_lines(text, attack.mode in LENIENT, True)[1] != b""

    def test_one_message_for_each_that_was_acknowledged(self):
        chosen = attacks(MODES)
        started = time.monotonic()
        outcomes = self.play(self.ports, chosen)
        wanted = self.senders(outcomes)
        total = sum(wanted.values())
        self.assertGreater(total, len(chosen) // 2)
        wait_for(lambda: not self.postern.queue_list(), 300, "an empty queue")
        if "postfix" in self.receivers:
            wait_for(lambda: len(self.receivers["postfix"].messages) >= total, 300, "Postfix to pass on what it was given")
        for name, receiver in self.receivers.items():
            got = collections.Counter(address(sender) for sender, _, _ in receiver.messages)
            self.assertEqual({}, dict(got - wanted), f"{name} has got what nobody was told about")
            self.assertEqual({}, dict(wanted - got), f"{name} has not got what a client was told about")
        if self.dovecot:
            got = collections.Counter(re.search(rb"^Return-Path: <(.*)>", m, re.M)[1].decode() for m in self.dovecot.maildir("r"))
            self.assertEqual(wanted, got, "dovecot")
        self.check_content(chosen, wanted)
        print(f"{len(chosen)} attacks, {total} messages acknowledged, {len(self.domains)} next hops, {time.monotonic() - started:.0f} s", flush=True)

    @unittest.skipUnless(os.geteuid() == 0 and have("postfix", "saslpasswd2"), "needs root and Postfix")
    def test_postfix_says_and_passes_on_the_same(self):
        modes = [mode for mode in MODES if mode != "note"]
        next_hop = Receiver()
        self.addCleanup(next_hop.stop)
        ports = {mode: free_port() for mode in modes}
        postfix = self.open_postfix(
            next_hop.port, "".join(f"127.0.0.1:{port} inet n - n - - smtpd -o {MODES[mode]}\n" for mode, port in ports.items()))
        chosen = attacks(modes)
        before = len(self.receivers["strict"].messages)
        ours, theirs = self.play(self.ports, chosen), self.play(ports, chosen)
        wait_for(lambda: not self.postern.queue_list(), 300, "an empty queue")
        total = sum(self.senders(theirs).values())
        wait_for(lambda: len(next_hop.messages) >= total, 120, "Postfix to pass on what it was given")
        for our, their in zip(ours, theirs):
            self.assertEqual(self.comparable(our.replies), self.comparable(their.replies), our.attack)
        bodies = [
            {address(sender): body(content) for sender, _, content in messages}
            for messages in (self.receivers["strict"].messages[before:], next_hop.messages)
        ]
        for sender, lines in bodies[0].items():
            self.assertEqual(lines, [on_the_wire(line) for line in bodies[1][sender]], sender)
        self.assertEqual(len(bodies[0]), len(bodies[1]))

    @staticmethod
    def comparable(replies):
        return re.sub(rb"queued as \w+|mx\.example\.com|downstream\.example\.net|\d+ bytes", b"*", replies).decode().split("\r\n")

    def check_content(self, chosen, wanted):
        """What arrived is what the rules give, and no carriage return or line feed stands alone in it."""
        expected = {
            f"{'ab'[index]}-{attack.number}@example.org": (attack, index) for attack in chosen for index in range(len(attack.parts))
        }
        client = Client(self.domains)
        for name in ("strict", "postfix"):
            for sender, recipients, content in self.receivers[name].messages if name in self.receivers else ():
                self.assertNotRegex(content, rb"(?<!\r)\n|\r(?!\n)")
                self.assertEqual(recipients, (b"RCPT TO:<r@%s.example>" % name.encode(),) if name == "strict" else recipients)
                if address(sender) in expected:
                    attack, index = expected[address(sender)]
                    self.assertEqual(body(content), client.expected(attack, index), f"{name}: {attack}")


if __name__ == "__main__":
    unittest.main()
