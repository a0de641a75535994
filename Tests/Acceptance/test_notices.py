"""Notices to the postmaster, beside those of a live Postfix: the same sessions and the same mail for both, and what the postmaster gets."""

import base64
import email
import email.policy
import re
import socket
import unittest

from downstream import Postfix
from postern import PASSWORD, Case, Server, needs, needs_root, wait_for
from test_delay import FORWARDING

NOTICES = """
mail_name = Postfix
default_transport = smtp:[127.0.0.1]:{sink}
error_notice_recipient = errors@notice.example
bounce_notice_recipient = bounces@notice.example
2bounce_notice_recipient = doubles@notice.example
transport_maps = inline:{{ {{ bad.example = error:5.1.1 nobody }}, {{ worse.example = error:5.1.1 nobody }} }}
smtpd_reject_unlisted_recipient = no
virtual_alias_domains = v.example
virtual_alias_maps = inline:{{ {{ x@v.example = y@dest.example }} }}
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ refused@dest.example = REJECT not you }}, {{ odd@dest.example = no_such_action }},
 {{ a@bad.example = OK }}, {{ b@bad.example = OK }} }}, reject_unlisted_recipient, permit
smtpd_error_sleep_time = 0
"""
ALL = "notify_classes = bounce, data, policy, protocol, resource, software\n"
ENVELOPE = ["EHLO c.example", "MAIL FROM:<s@origin.example>"]
CONTENT = b"Subject: secret subject\r\n\r\nsecret body\r\n"


def session(port, *commands, content=None, is_lost=False):
    """Says the commands one after the other, DATA and the content behind them, then QUIT unless the connection is to be lost."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s, s.makefile("rb") as replies:
        def reply():
            while (line := replies.readline())[3:4] == b"-":
                pass
            return line

        reply()
        for command in [*commands, *(["DATA"] if content else [])]:
            s.sendall(command.encode() + b"\r\n")
            said = reply()
        if content:
            s.sendall(content if is_lost else content + b".\r\n")
            said = said if is_lost else reply()
        if not is_lost:
            s.sendall(b"QUIT\r\n")
            reply()
        return said.decode()


class Notice:
    """What does not differ by nature: names of times and ids, the words around."""

    def __init__(self, stored):
        self.message = email.message_from_bytes(stored, policy=email.policy.default)
        self.recipient = self.message["X-Sink-Recipient"].strip("<>")
        self.subject = self.message["Subject"]
        self.body = self.message.get_payload() if not self.message.is_multipart() else ""
        lines = self.body.replace("\r\n", "\n").split("\n")
        shown = [line for line in lines if re.match(r" (In|Out): |     \S|Session aborted, ", line)]
        self.transcript = [re.sub("queued as .*", "queued as ID", line) for line in shown if not line.startswith(" Out: 250-")]
        self.shape = (self.message["X-Sink-Sender"], self.recipient, self.subject, self.message["From"], self.transcript)
        if self.message.is_multipart():
            parts = list(self.message.iter_parts())
            fields = parts[1].get_payload()
            self.shape += tuple((p.get_content_type(), p["Content-Description"]) for p in parts) + (
                self.message["Auto-Submitted"], fields[1]["Final-Recipient"], fields[1]["Status"], parts[2].as_string().count("secret body"))


@needs_root
@needs("postfix", "saslpasswd2")
class BesidePostfix(Case):
    SESSIONS = {
        "policy": lambda port: session(port, *ENVELOPE, "RCPT TO:<refused@dest.example>"),
        "protocol": lambda port: session(port, "FOO \x01 bar", "EHLO x", "RCPT TO:<a@dest.example>"),
        "software": lambda port: session(port, *ENVELOPE, "RCPT TO:<odd@dest.example>"),
        "bounce": lambda port: session(port, *ENVELOPE, "RCPT TO:<nosuch@v.example>"),
        "lost": lambda port: session(port, "FOO", *ENVELOPE, "RCPT TO:<b@dest.example>", content=CONTENT, is_lost=True),
        # Nobody is told of these.
        "fine": lambda port: session(port, *ENVELOPE, "RCPT TO:<fine@dest.example>", content=CONTENT),
        "forgiven": lambda port: session(port, "FOO", *ENVELOPE, "RCPT TO:<forgiven@dest.example>", content=CONTENT),
        "only lost": lambda port: session(port, *ENVELOPE, "RCPT TO:<b@dest.example>", content=CONTENT, is_lost=True),
    }

    def observed(self, port, sink):
        for name, play in self.SESSIONS.items():
            play(port)
        # Bounced: the sender's report and a copy; then what came from nobody, and a bounce that cannot be delivered.
        for sender, recipient in (("s@origin.example", "a@bad.example"), ("", "b@bad.example"), ("s@worse.example", "a@bad.example")):
            session(port, "EHLO x", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", content=CONTENT)
        # 5 sessions, 2 copies of bounces, 2 double bounces; 1 report to the sender, 2 messages.
        stored = sink.wait(12, 40)
        notices = [Notice(m) for m in stored if b"@notice.example" in m]
        self.assertEqual(len(stored), 12)
        for notice in notices:
            self.assertEqual([d for p in notice.message.walk() for d in p.defects], [])
        return notices

    def test_the_same_notices(self):
        sinks = self.sink(), self.sink()
        postfix = Postfix(FORWARDING.format(hop=sinks[0].port) + NOTICES.format(sink=sinks[0].port) + ALL)
        self.addCleanup(postfix.remove)
        postern = self.server(NOTICES.format(sink=sinks[1].port) + ALL)
        theirs = self.observed(postfix.port, sinks[0])
        ours = self.observed(postern.plain, sinks[1])
        self.maxDiff = None
        self.assertEqual(sorted(n.shape for n in ours), sorted(n.shape for n in theirs))
        self.assertEqual(sorted(n.recipient for n in ours).count("errors@notice.example"), 4)
        for notice in ours:
            self.assertNotIn("secret body", notice.body)


class Bounds(Case):
    def test_as_many_as_one_client_may_cause(self):
        sink = self.sink()
        server = self.server(NOTICES.format(sink=sink.port) + "notify_classes = protocol\nsmtpd_client_connection_count_limit = 0\n")
        for _ in range(14):
            session(server.plain, "FOO", *(f"NOOP {n}" for n in range(3)))
        server.wait_log("too many sessions with errors: notices about them, such as unknown[127.0.0.1], are held back")
        self.assertEqual(len(sink.wait(10)), 10)
        # The server takes mail as before, and the last notice was the last.
        session(server.plain, *ENVELOPE, "RCPT TO:<a@dest.example>", content=CONTENT)
        self.assertEqual(len([m for m in sink.wait(11) if b"@notice.example" in m]), 10)
        self.assertEqual(server.log().count("are held back"), 1)

    def test_a_long_session(self):
        sink = self.sink()
        server = self.server(NOTICES.format(sink=sink.port) + "notify_classes = protocol\nsmtpd_hard_error_limit = 2000\nsmtpd_junk_command_limit = 9999\n")
        session(server.plain, *(f"FOO {n} {'x' * 1000}" for n in range(200)))
        notice = Notice(sink.wait(1)[0])
        self.assertLess(len(notice.body), 20_000)
        self.assertIn("FOO 0", notice.body.replace("\r\n     ", " "))
        self.assertIn("FOO 199", notice.body.replace("\r\n     ", " "))
        self.assertIn("lines are left out here", notice.body)

    def test_default_classes(self):
        """A fault of ours is told with what is known by then; nothing is told of a client's."""
        sink = self.sink()
        server = self.server(NOTICES.format(sink=sink.port))
        session(server.plain, "FOO", *ENVELOPE, "RCPT TO:<refused@dest.example>")
        self.assertEqual(session(server.plain, *ENVELOPE, "RCPT TO:<odd@dest.example>"), "451 4.3.5 Server configuration error\r\n")
        notice = Notice(sink.wait(1)[0])
        self.assertEqual(notice.recipient, "errors@notice.example")
        self.assertIn(" (recorded from here on, after RCPT, helo=<c.example> proto=ESMTP from=<s@origin.example>)", notice.body)
        self.assertEqual(notice.transcript, [" Out: 451 4.3.5 Server configuration error", " In:  QUIT", " Out: 221 2.0.0 Bye"])

    def test_a_notice_that_cannot_be_delivered_is_dropped_with_a_line(self):
        """Its recipient is of a class without a way out: the session goes on, and the log says what was not said."""
        server = self.server("mydestination = mx.example.com\nnotify_classes = protocol\nmyorigin = mx.example.com\n", sink=self.sink())
        session(server.plain, "FOO")
        server.wait_log("notice to <postmaster@mx.example.com> about unknown[127.0.0.1] dropped: ")
        self.assertEqual(server.sink.messages(), [])


@needs("saslpasswd2")
class Secrets(Case):
    def test_no_password_is_shown(self):
        """Not of a login that succeeds, that fails, that is broken off, nor one that was sent though AUTH was refused."""
        sink = self.sink()
        server = self.server(
            NOTICES.format(sink=sink.port) + "notify_classes = protocol\nsmtpd_sasl_auth_enable = yes\n", sasl=Server.SASLDB, users=["alice"])
        words = {w: base64.b64encode(w.encode()).decode() for w in ("alice", PASSWORD, f"\0alice\0{PASSWORD}", "\0alice\0wrong-password")}
        plain, wrong = words[f"\0alice\0{PASSWORD}"], words["\0alice\0wrong-password"]
        for commands in (
            [f"AUTH PLAIN {plain}", "FOO"], ["AUTH PLAIN", plain, "FOO"], ["AUTH LOGIN", words["alice"], words[PASSWORD], "FOO"],
            [f"AUTH PLAIN {wrong}", "FOO"], ["AUTH BOGUS", wrong], [f"AUTH {plain}", plain], [f"AUTH PLAIN {plain} x", plain],
            ["MAIL FROM:<s@origin.example>", "AUTH PLAIN", plain, f"AUTH=PLAIN {plain}"],
        ):
            session(server.plain, "EHLO c.example", *commands)
        notices = [Notice(m) for m in sink.wait(8)]
        pieces = {piece for secret in (*words.values(), PASSWORD) for piece in (secret, secret[:12], secret[-12:]) if len(piece) >= 8}
        for notice in notices:
            unfolded = re.sub(r"\r?\n     ", "", notice.body)
            self.assertEqual([piece for piece in pieces if piece in unfolded], [], unfolded)
        self.assertTrue(any([" In:  AUTH PLAIN ...", " Out: 235 2.7.0 Authentication successful", " In:  FOO"] == n.transcript[3:6] for n in notices),
                        [n.transcript for n in notices])


if __name__ == "__main__":
    unittest.main()
