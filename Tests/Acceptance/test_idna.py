"""Domains beyond ASCII: what is asked of the DNS, and where mail goes. What is expected here is what Postfix 3.7.11 did with the same records."""

import ctypes
import os
import smtplib
import sys
import tempfile
import unittest

from dnsstub import NameServer, Zone
from postern import Case, needs_root

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from machines import Recorder  # noqa: E402


class Counted(Zone):
    """Remembers the names that were asked for, byte for byte."""

    def __init__(self, records):
        super().__init__(records)
        self.asked = set()

    def answer(self, question):
        length, labels = 12, []
        while size := question[length]:
            labels.append(question[length + 1:length + 1 + size])
            length += 1 + size
        self.asked.add(b".".join(labels))
        return super().answer(question)


ZONE = {
    "xn--bcher-kva.example": [("MX", "mail.xn--bcher-kva.example")],
    "mail.xn--bcher-kva.example": [("A", "127.0.0.2")],
    "xn--fa-hia.example": [("A", "127.0.0.2")],
    "fass.example": [("A", "127.0.0.2")],
    "xn--53h.example": [("A", "127.0.0.2")],
    "plain.example": [("A", "127.0.0.2")],
}


@needs_root
class Domains(Case):
    def start(self, main=""):
        """A server that finds next hops by the DNS, and the host that all of them are."""
        self.zone = Counted(ZONE)
        names = NameServer(self.zone)
        self.addCleanup(names.remove)
        resolver = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.addCleanup(resolver.close)
        os.chmod(resolver.name, 0o644)
        resolver.write(f"nameserver {names.address}\n")
        resolver.flush()
        # Not at an address of the server: that would be a loop.
        next_hop = Recorder("127.0.0.2")
        self.addCleanup(next_hop.server_close)
        self.addCleanup(next_hop.shutdown)
        server = self.server(f"smtp_tcp_port = {next_hop.port}\nrelayhost =\nminimal_backoff_time = 300s\n{main}", start=False)
        server.prepare = lambda: see(resolver.name, "/etc/resolv.conf")
        return server.start(), next_hop

    def send(self, server, *recipients, sender="s@plain.example"):
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as client:
            client.ehlo("h.example")
            client.mail(sender, ["SMTPUTF8"])
            replies = [client.docmd("RCPT TO:<" + r + ">") if r.isascii() else self.rcpt(client, r) for r in recipients]
            self.assertEqual([code for code, _ in replies], [250] * len(replies), replies)
            self.assertEqual(client.data(b"Subject: x\r\n\r\nx\r\n")[0], 250)

    @staticmethod
    def rcpt(client, recipient):
        client.send(f"RCPT TO:<{recipient}>\r\n".encode())
        return client.getreply()

    def test_mail_finds_the_next_hop(self):
        server, next_hop = self.start()
        for recipient, host in {
            "user@bücher.example": "mail.xn--bcher-kva.example", "user@BÜCHER.example": "mail.xn--bcher-kva.example",
            "user@bu\u0308cher.example": "mail.xn--bcher-kva.example", "user@xn--bcher-kva.example": "mail.xn--bcher-kva.example",
            "user@faß.example": "xn--fa-hia.example", "user@☕.example": "xn--53h.example",
        }.items():
            with self.subTest(recipient):
                self.send(server, recipient)
                server.wait_log(f"to=<{recipient}>, relay={host}[127.0.0.2]:{next_hop.port}, ")
        # The address goes as it was given.
        self.assertEqual([r.decode() for r in next_hop.messages[0][1]], ["RCPT TO:<user@bücher.example> ORCPT=rfc822;user@b+C3+BCcher.example"])
        self.assertEqual(len(next_hop.messages), 6)
        self.assertTrue(all(b" SMTPUTF8" in mail for mail, _, _ in next_hop.messages), next_hop.messages)
        self.assertTrue(all(name.isascii() for name in self.zone.asked), self.zone.asked)

    def test_idna2003(self):
        server, _ = self.start("enable_idna2003_compatibility = yes\n")
        self.send(server, "user@faß.example")
        server.wait_log("to=<user@faß.example>, relay=fass.example[127.0.0.2]")

    def test_what_cannot_be_delivered(self):
        server, _ = self.start("transport_maps = inline:{ { bad.example = smtp:bü--x.example } }\n")
        self.send(server, "user@½.example", sender="")
        server.wait_log("dsn=5.4.4, status=bounced (Host or domain name not found. Name service error for name=xn--12-c6t.example type=A: Host not found)")
        self.send(server, "user@bad.example", sender="")
        server.wait_log('dsn=4.3.5, status=deferred (bad next hop "bü--x.example": UIDNA_ERROR_HYPHEN_3_4)')

    def test_a_next_hop_without_smtputf8(self):
        server, next_hop = self.start("smtp_discard_ehlo_keywords = smtputf8\n")
        self.send(server, "user@bücher.example", sender="")
        server.wait_log("dsn=5.6.7, status=bounced (SMTPUTF8 is required, but was not offered by host mail.xn--bcher-kva.example[127.0.0.2])")
        self.assertEqual(next_hop.messages, [])

    def test_rules_that_ask_the_dns(self):
        server, _ = self.start("smtpd_sender_restrictions = reject_unknown_sender_domain\nsmtpd_recipient_restrictions = reject_unknown_recipient_domain\n"
                               "smtpd_helo_restrictions = warn_if_reject reject_unknown_helo_hostname\nmynetworks = 127.0.0.0/8\n")
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as client:
            client.send("EHLO bücher.example\r\n".encode())
            self.assertEqual(client.getreply()[0], 250)
            for domain, code in {"bücher.example": 250, "faß.example": 250, "½.example": 450, "ü": 450}.items():
                client.send(f"MAIL FROM:<s@{domain}> SMTPUTF8\r\n".encode())
                self.assertEqual(client.getreply()[0], 250)
                self.assertEqual(self.rcpt(client, "user@plain.example")[0], code, domain)
                client.rset()
                client.docmd("MAIL FROM:<s@plain.example> SMTPUTF8")
                self.assertEqual(self.rcpt(client, f"user@{domain}")[0], code, domain)
                client.rset()
        self.assertIn(b"xn--12-c6t.example", self.zone.asked)
        self.assertTrue(all(name.isascii() for name in self.zone.asked), self.zone.asked)
        self.assertIn("reject_warning: RCPT from unknown[127.0.0.1]: 450 4.7.1 <bücher.example>: Helo command rejected: Host not found", server.log())


def see(file, place):
    """In a process that is about to start a program: `place` is `file` for it and its children."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_namespace, private, bind = 0x20000, 0x44000, 0x1000
    for result in (libc.unshare(new_namespace), libc.mount(None, b"/", None, private, None), libc.mount(file.encode(), place.encode(), None, bind, None)):
        if result != 0:
            raise OSError(ctypes.get_errno(), place)


if __name__ == "__main__":
    unittest.main()
