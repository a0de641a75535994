"""What becomes of addresses on their way through smtpd and cleanup: the same messages go through Postfix and through us, with the same parameters,
and what arrives at the next hop, envelope and headers, must be the same.
"""

import os
import re
import socket
import sys
import tempfile
import types
import unittest

from postern import BINARY, needs, needs_root

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
import machines

EXTRA = "myorigin = origin.example\nmydomain = test.example\nappend_dot_mydomain = yes\n"


def table(*pairs):
    return "inline:{ " + " ".join(f"{{ {key} = {value} }}" for key, value in pairs) + " }"


def mail(*headers, sender="s@sender.example", to=("r@rcpt.example",)):
    return sender, tuple(to), "\n".join(headers)


def full(*headers, **envelope):
    """With everything that would be added."""
    return mail("Message-Id: <m@x>", "Date: d", *headers, **envelope)


MIX = full("From: s@sender.example", "To: r@rcpt.example, s@sender.example, q+ext@rcpt.example", "Reply-To: s+x@sender.example",
           to=("r@rcpt.example", "q+ext@rcpt.example"))
PLUS = {"recipient_delimiter": "+"}
REMOTE = {"local_header_rewrite_clients": ""}
ALL_HEADERS = ("From Sender Reply-To Errors-To Return-Receipt-To Disposition-Notification-To Mail-Followup-To To Cc Apparently-To Return-Path "
               "Resent-From Resent-Sender Resent-Reply-To Resent-To Resent-Cc Bcc Resent-Bcc Mail-Reply-To X-Original-To Delivered-To").split()
EACH = full(*(f"{name}: q@q.q" for name in ALL_HEADERS))
BARE = [full(f"To: {text}", "From: f") for text in (
    "alice", "Alice B <alice>", "alice (A. B.)", "a@host", "<@r,@t:a@host>", 'a, b@h, "c d"@e.f ,  Foo Bar <x@y.z>,', "group: a, b;, c",
    "undisclosed-recipients:;", "a b c", "a!b", "a%b", "a!b@c.d", "a%b@c.d", "a@host.", "a@b.c.", "a@[1.2.3.4]", "a@1.2.3.4", '"a b"', '"a" <b>',
    "a\\@b", "<>", "", "()", "x@y.z,\n\tb\n  ,c", "  x@y.z  ,  y@z.w", "a; b", "Alice <a>; Bob <b>; c", "=?utf-8?q?=C3=BC?= <b>", "Ä <b>",
    "a @ b . c", "a @ b", "John Q. Public <a>", "x,y (c) (d) z", "(c) a (d) <b> (e), f (g)", "a <b> c", "<a> <b>", "a,,b", "@b", "a@", '"" <a>',
    "Friends: Alice <a>, Bob <b>;", "Friends:;, a", '"a!b", !b, a!', "a@b.c (x), d (y) e <f> (z) g", "a\n (comment\n continued) <b>",
    ", ".join(f"user{i}" for i in range(12)), ", ".join(f"Long Name {i} <user{i}@some.example>" for i in range(12)) + ", bare",
    ",".join(f"u{i}@some.example" for i in range(12)) + ",bare (com (nested) ment)")]

NAMES = tempfile.NamedTemporaryFile("w", prefix="postern-names-")
os.chmod(NAMES.name, 0o644)
NAMES.write("# those who stay\nroot\n  regexp:{ { /^a b$/ x } }\n")
NAMES.flush()

# Parameters, and the messages that are sent with them.
CASES = [
    ({}, [*BARE, mail("Subject: x", sender="", to=["b"]), mail("Subject: x", sender="a", to=["b"]), full("From : a", "tO: b", "Cc:c"),
          full(*(f"{name}: {name}" for name in ALL_HEADERS))]),
    (REMOTE, [full("From: alice"), mail("To: a")]),
    ({**REMOTE, "remote_header_rewrite_domain": "domain.invalid"},
     [full("From: " + text) for text in ("alice", "a@host", "a!b", "a%b", "a@b.c.", "a%b@c.d")] + [full("To: <>", sender="a", to=["b"])]),
    ({**REMOTE, "remote_header_rewrite_domain": "domain.invalid", "always_add_missing_headers": "yes"}, [mail("To: a")]),
    ({"append_at_myorigin": "no", "append_dot_mydomain": "no", "swap_bangpath": "no", "allow_percent_hack": "no"},
     [full("From: " + text) for text in ("alice", "a@host", "a!b", "a%b", "a@b.c.", "a@b.")]),
    ({"always_bcc": "copy"},
     [MIX, full("From: x", to=["copy", "r@rcpt.example"]), full("From: x", to=["copy@origin.example", "copy"])]),
    ({"sender_bcc_maps": table(("s@sender.example", "archive"), ("@wild.example", "w@x.example"), ("loc", "loc@bcc.example"))},
     [MIX] + [full("From: x", sender=s) for s in ("q@wild.example", "loc", "", "s+ext@sender.example", "LOC@mx.test.example")]),
    ({"recipient_bcc_maps": table(("r@rcpt.example", "archive"), ("q@rcpt.example", "arc"), ("@all.example", "all@x.example"))},
     [MIX, full("From: x", to=["r@rcpt.example", "archive@origin.example"]), full("From: x", to=["a@all.example", "b@all.example"])]),
    ({"recipient_bcc_maps": table(("r@rcpt.example", "archive"), ("q@rcpt.example", "arc")), **PLUS}, [MIX]),
    ({"always_bcc": "all@x.x", "sender_bcc_maps": "static:all@x.x", "recipient_bcc_maps": "static:all@x.x"},
     [full("From: x"), full("From: x", to=["all@x.x"])]),
    ({"sender_bcc_maps": "fail:x"}, [full("From: x")]),
    ({"recipient_bcc_maps": "fail:x"}, [full("From: x")]),
    ({"canonical_maps": "fail:x"}, [full("From: x")]),
    ({"sender_canonical_maps": "fail:x", "sender_canonical_classes": "header_sender"}, [full("From: a@b.c")]),
    ({"canonical_maps": table(("s@sender.example", "S.Ender@canon.example"), ("r@rcpt.example", "R.Cpt"), ("q", "qq"),
                              ("@rcpt.example", "@else.example"), ("@dom.example", "d@fixed.example"))},
     [MIX, full("From: u@dom.example", "To: u+e@dom.example"), mail("Subject: no From")]),
    ({"canonical_maps": table(("s@sender.example", "S.Ender@canon.example"), ("q@rcpt.example", "Q.R@canon.example"),
                              ("@rcpt.example", "@else.example"), ("@k.example", "k@else.example"), ("a@x.example", "a+g@y.example")), **PLUS},
     [MIX, full("To: a+e@k.example, a+e@x.example, a@x.example")]),
    ({"canonical_maps": table(("s@sender.example", "S.Ender@canon.example"), ("q@rcpt.example", "Q.R@canon.example")), **PLUS,
      "propagate_unmatched_extensions": ""}, [MIX]),
    ({"sender_canonical_maps": table(("s@sender.example", "S.Ender@canon.example"), ("r@rcpt.example", "never@x.example"))}, [MIX]),
    ({"recipient_canonical_maps": table(("s@sender.example", "never@canon.example"), ("r@rcpt.example", "R@x.example"))}, [MIX]),
    ({"sender_canonical_maps": table(("s@sender.example", "one@x.example")),
      "canonical_maps": table(("s@sender.example", "two@x.example"), ("one@x.example", "three@x.example"), ("three@x.example", "four@x.example"))},
     [MIX]),
    ({"canonical_maps": table(("s@sender.example", "a@x.example, b@x.example"), ("r@rcpt.example", "user@host"))}, [MIX]),
    ({"canonical_maps": table(("a@x.example", "b@x.example"), ("b@x.example", "a@x.example"))}, [full("From: a@x.example", sender="a@x.example")]),
    ({"sender_canonical_maps": "static:me@x.x"}, [full("From: q@r.s", sender=""), full("From: <>")]),
    ({"canonical_maps": table(("s@sender.example", "x")), **REMOTE}, [MIX]),
    ({"canonical_maps": table(("s@sender.example", "x@y.z")), **REMOTE, "remote_header_rewrite_domain": "domain.invalid"}, [MIX]),
    ({"canonical_maps": table(("q@q.q", "CHANGED@x.x")), "canonical_classes": "header_sender", "message_drop_headers": ""}, [EACH]),
    ({"canonical_maps": table(("q@q.q", "CHANGED@x.x")), "canonical_classes": "header_recipient", "message_drop_headers": ""}, [EACH]),
    ({"canonical_maps": table(("loc@origin.example", "L1@x.y"), ("loc", "L2@x.y"), ("lo2", "L3@x.y"), ("lo3", "L4"))},
     [full("From: loc", "To: lo2, lo3@mx.test.example, lo2@localhost", sender="lo2", to=["lo3@localhost"])]),
    ({"masquerade_domains": "example.com"},
     [full("From: root@host.example.com", "To: a@b.c.example.com, x@example.com, y@notexample.com", "Reply-To: a@h.exAmple.com",
           sender="root@host.example.com", to=["z@host.example.com"])]),
    ({"masquerade_domains": "!a.example.com Example.com", "masquerade_exceptions": "root"},
     [full("From: root@host.example.com", "To: a@b.a.example.com, x@a.example.com, y@q.example.com", sender="Root@host.example.com")]),
    *(({"masquerade_domains": "example.com", **PLUS, "masquerade_exceptions": exceptions},
       [full("From: root@h.example.com", 'To: Root@h.example.com, root+e@h.example.com, "a b"@h.example.com, bob@example.com, Bob@h.example.com, '
             'ÄB@h.example.com, "root"@h.example.com', sender="ROOT@h.example.com")])
      for exceptions in ("inline:{ { root = x } }, regexp:{ { /^\"a b\"$$/ x } }, Bob", "regexp:{ { /^a b$$/ x } }", '"a b", Root, äb', "!root, static:all", "!inline:{ { bob = x } }, static:all",
                         "regexp:{ { /^ro/ x } }", "ROOT+e", f"{NAMES.name} bob", f"!{NAMES.name} static:all", "@h.example.com root@h.example.com",
                         "fail:x", "root, fail:x, bob")),
    ({"masquerade_domains": "foo.example.com example.com", "masquerade_classes": "envelope_recipient"},
     [full("From: root@host.example.com", to=["a@b.foo.example.com", "a@b.example.com", "a@EXAMPLE.com", "a@HOST.EXAMPLE.com"])]),
    ({"canonical_maps": table(("d@m.example", "d@n.example")), "masquerade_domains": "n.example m.example"},
     [full("To: d@h.m.example, d@m.example", "From: d@h.n.example")]),
    ({"sender_bcc_maps": table(("c@canon.example", "found@x.x"), ("s@sender.example", "orig@x.x")),
      "recipient_bcc_maps": table(("c2@canon.example", "found2@x.x"), ("r@rcpt.example", "orig@x.x")),
      "canonical_maps": table(("s@sender.example", "c@canon.example"), ("r@rcpt.example", "c2@canon.example"), ("found@x.x", "canonbcc@x.x"))},
     [full("From: x")]),
    ({"virtual_alias_maps": table(("v@rcpt.example", "a@x.x, b@x.x, v@rcpt.example"), ("a@x.x", "a1, a2"), ("@rcpt.example", "@else.example"),
                                  ("loop@x.x", "loop2@x.x"), ("loop2@x.x", "loop@x.x"), ("big@x.x", "v@rcpt.example big@x.x q@r.s"),
                                  ("list", 'l1@x.x, "q q"@x.x, (c) <l3>'), ("host@e.e", "@f.f"))},
     [full("From: x", "To: v@rcpt.example", to=to) for to in (
         ["v@rcpt.example"], ["loop@x.x"], ["big@x.x"], ["list"], ["host@e.e"], ["u@rcpt.example", "u@rcpt.example", "u@else.example"])]),
    ({"virtual_alias_maps": table(("v@rcpt.example", "a@x.x"), ("u", "u1@x.x")), **PLUS}, [full("From: x", to=["v+e@rcpt.example", "u+e"])]),
    ({"virtual_alias_maps": table(("v@rcpt.example", "a@x.x b@x.x c@x.x")), "virtual_alias_expansion_limit": "2"},
     [full("From: x", to=["v@rcpt.example"])]),
    ({"virtual_alias_maps": table(("v@rcpt.example", "abcdefghij@x.xxxxxxxxxxxxxxx")), "virtual_alias_address_length_limit": "10"},
     [full("From: x", to=["v@rcpt.example"])]),
    ({"virtual_alias_maps": table(("all@x.x", "w@x.x"), ("r@rcpt.example", "rr@x.x")), "always_bcc": "all@x.x",
      "recipient_bcc_maps": table(("rr@x.x", "bccnew@x.x"), ("r@rcpt.example", "bccold@x.x"))}, [full("From: x")]),
    ({"canonical_maps": "static:c@x.x", "virtual_alias_maps": "static:v@x.x", "masquerade_domains": "example", "always_bcc": "all@x.x",
      "sender_bcc_maps": "static:sb@x.x", "recipient_bcc_maps": "static:rb@x.x", "receive_override_options": "no_address_mappings"},
     [MIX, mail("From: a", "To: b", sender="a", to=["b"])]),
    ({"duplicate_filter_limit": "1"}, [full("From: x", to=["a@x.x", "b@x.x", "a@x.x", "A@x.x", "b@x.x"])]),
    ({}, [full("From: x", to=["a@x.x", "a@x.x", "A@x.x", "a@X.x"])]),
    ({"undisclosed_recipients_header": "To: undisclosed"}, [mail("Subject: a"), mail("Cc: a")]),
]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        while (line := self.file.readline().decode()) and line[3:4] == "-":
            pass
        return line.rstrip()

    def command(self, text):
        self.socket.sendall(text.replace("\n", "\r\n").encode() + b"\r\n")
        return self.reply()

    def send(self, message):
        """The queue id, or the first digit of the refusal."""
        sender, recipients, headers = message
        for command in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"):
            reply = self.command(command)
            if reply[0] not in "23":
                self.command("RSET")
                return reply[0]
        reply = self.command(f"{headers}\n\nbody\n.")
        match = re.search(r"queued as (\w+)", reply)
        return match[1] if match else reply[0]

    def close(self):
        self.command("QUIT")
        self.file.close()
        self.socket.close()


def outcome(machine, identity):
    """What has arrived at the next hop: senders, recipients and headers; or the refusal's digit."""
    if len(identity) == 1:
        return identity
    if machine.recorder.message(identity, 30) is None:
        return "nothing"
    mark = f"id {identity}".encode()
    copies = [m for m in list(machine.recorder.messages) if mark in m[2]]
    envelope = sorted({re.sub(rb" SIZE=\d+", b"", m[0]).decode() for m in copies}) + sorted(r.decode() for m in copies for r in m[1])
    text = copies[0][2].decode()
    text = re.sub(r"\AReceived: .*\r\n([ \t].*\r\n)*", "", text)
    text = re.sub(r"<\d{14}\.\w+@", "<ID@", re.sub(r"\w{3}, +\d+ \w{3} \d{4} [\d:]{8} [-+]\d{4} \(\w+\)", "DATE", text))
    return "\n".join(envelope) + "\n" + text


@needs_root
@needs("postfix")
class Rewriting(unittest.TestCase):
    maxDiff = None

    def results(self, kind):
        sections = [types.SimpleNamespace(parameters=parameters) for parameters, _ in CASES]
        machine = kind(sections, BINARY)
        self.addCleanup(machine.remove)
        with open(machine.path("main.cf"), "a") as f:
            f.write(EXTRA)
        machine.start()
        identities = []
        for section, (_, messages) in zip(sections, CASES):
            client = Client(machine.port(section))
            client.command("EHLO h.example")
            identities.append([client.send(message) for message in messages])
            client.close()
        return [[outcome(machine, identity) for identity in row] for row in identities]

    def test_the_same_arrives(self):
        expected, found = self.results(machines.Postfix), self.results(machines.Postern)
        for (parameters, messages), ours, theirs in zip(CASES, found, expected):
            for message, our, their in zip(messages, ours, theirs):
                with self.subTest(parameters=parameters, message=message):
                    self.assertEqual(our, their)


if __name__ == "__main__":
    unittest.main()
