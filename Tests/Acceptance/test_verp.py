"""XVERP: a sender for each recipient, at a next hop that is a real Postfix and at the sender's own host that gets the notices."""

import email
import re
import smtplib

from downstream import Postfix
from postern import Case, needs, needs_root, wait_for
from test_notifications import OPEN
from test_relay import Bounce

MAIN = """
transport_maps = inline:{{ {{ origin.example = smtp:[127.0.0.1]:{sink} }} }}
virtual_alias_domains = alias.example
virtual_alias_maps = inline:{{ {{ list@alias.example = m1@dest.example, m2@dest.example }}, {{ gone@alias.example = refused@dest.example }} }}
smtpd_authorized_verp_clients = 127.0.0.1
minimal_backoff_time = 1000s
queue_run_delay = 1000s
smtp_destination_recipient_limit = 50
"""


@needs_root
@needs("postfix", "postcat", "saslpasswd2")
class VERP(Case):
    def send(self, recipients, *options):
        with smtplib.SMTP("127.0.0.1", self.postern.plain, timeout=30) as s:
            s.ehlo()
            self.assertTrue(s.has_extn("xverp"))
            for code, text in [s.mail("s@origin.example", options), *map(s.rcpt, recipients), s.data(b"Subject: verp\r\n\r\nHello.\r\n")]:
                self.assertEqual(code, 250, text)
        identity = text.decode().rsplit(" ", 1)[1]
        self.postern.wait_log(f"{identity}: removed", 40)
        return identity

    def transactions(self, count):
        """Those of the next hop with mail, each as (sender, recipients)."""
        stored = wait_for(lambda: len(self.next_hop.messages()) >= count and self.next_hop.messages(), 30, f"{count} messages")
        text = [m.decode() for m in stored]
        return sorted((re.search(r"^sender: (.*)$", m, re.M)[1], sorted(re.findall(r"^recipient: (.*)$", m, re.M))) for m in text)

    def reported(self, count):
        """Who was told of what: the reader of each notice with the recipients it names."""
        stored = wait_for(lambda: len(self.reports.messages()) >= count and self.reports.messages(), 30, f"{count} notices")
        for notice in stored:
            Bounce(self, notice)
        messages = [email.message_from_bytes(m) for m in stored]
        return sorted((m["X-Sink-Recipient"].strip("<>"), sorted(
            f["Final-Recipient"].split("; ")[1] for f in list(m.walk())[2].get_payload()[1:])) for m in messages)

    def test_each_recipient_has_a_sender_a_transaction_and_a_notice_of_its_own(self):
        self.next_hop = Postfix(OPEN)
        self.addCleanup(self.next_hop.remove)
        self.reports = self.sink()
        self.postern = self.server(MAIN.format(sink=self.reports.port), downstream=f"[127.0.0.1]:{self.next_hop.port}")

        identity = self.send(["a@dest.example", "b+x@dest.example", "list@alias.example", "refused@dest.example", "gone@alias.example"], "XVERP")
        delivered = [
            ("s+a=dest.example@origin.example", ["a@dest.example"]),
            ("s+b+x=dest.example@origin.example", ["b+x@dest.example"]),
            ("s+list=alias.example@origin.example", ["m1@dest.example"]),
            ("s+list=alias.example@origin.example", ["m2@dest.example"]),
        ]
        self.assertEqual(self.transactions(4), delivered)
        told = [
            ("s+gone=alias.example@origin.example", ["refused@dest.example"]),
            ("s+refused=dest.example@origin.example", ["refused@dest.example"]),
        ]
        self.assertEqual(self.reported(2), told)
        self.assertIn(f"{identity}: from=<s@origin.example>, size=", self.postern.log())
        notices = re.findall(rf"/bounce\[\d+\]: {identity}: sender non-delivery notification: (\w+)", self.postern.log())
        self.assertEqual(len(set(notices)), 2)

        # Delimiters of the client's own; and the same recipients without XVERP go together.
        self.send(["c@dest.example", "gone@alias.example"], "XVERP=-+")
        told.append(("s-gone+alias.example@origin.example", ["refused@dest.example"]))
        self.assertEqual(self.reported(3), sorted(told))
        self.send(["d@dest.example", "refused@dest.example", "list@alias.example"])
        delivered += [("s-c+dest.example@origin.example", ["c@dest.example"]),
                      ("s@origin.example", ["d@dest.example", "m1@dest.example", "m2@dest.example"])]
        self.assertEqual(self.transactions(6), sorted(delivered))
        self.assertEqual(self.reported(4), sorted([*told, ("s@origin.example", ["refused@dest.example"])]))
