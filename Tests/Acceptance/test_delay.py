"""Reports of delayed mail, beside those of a live Postfix: both relay the same mail to a real Postfix that takes it only after a while."""

import email
import email.policy
import email.utils
import re
import smtplib
import subprocess
import unittest

from downstream import Postfix
from postern import Case, needs, needs_root, wait_for
from test_notifications import OPEN

# Short times, so that a message is old after a few seconds.
DELAYED = """
transport_maps = inline:{{ {{ origin.example = smtp:[127.0.0.1]:{sink} }} }}
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
delay_warning_time = 3s
confirm_delay_cleared = yes
notify_classes = delay
delay_notice_recipient = delays@origin.example
"""
# What the harness's Postfix has for a last hop, undone; and its own name for reports.
FORWARDING = """
myhostname = mx.example.com
mynetworks = 127.0.0.0/8
smtpd_tls_security_level = none
smtpd_sasl_auth_enable = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_data_restrictions =
default_transport = smtp:[127.0.0.1]:{hop}
"""
RECIPIENTS = {
    "plain@slow.example": [], "never@slow.example": ["NOTIFY=NEVER"], "failure@slow.example": ["NOTIFY=FAILURE"],
    "delay@slow.example": ["NOTIFY=DELAY", "ORCPT=rfc822;first+2Bx@old.example"], "now@dest.example": [],
}


class Report:
    """What any mail program sees of a report, without what differs by nature: names, times, words."""

    def __init__(self, stored):
        self.message = email.message_from_bytes(stored, policy=email.policy.default)
        parts = list(self.message.iter_parts())
        self.blocks = [dict(block.items()) for block in parts[1].get_payload()]
        self.about = re.search(r"^Subject: (.*?)\r?$", parts[2].get_payload() if isinstance(parts[2].get_payload(), str) else "", re.M).group(1)
        self.body = parts[2].as_string()
        self.defects = [d for p in self.message.walk() for d in p.defects]
        self.shape = {
            "envelope": (self.message["X-Sink-Sender"], self.message["X-Sink-Recipient"]),
            "header": [(n, self.message[n]) for n in ("Subject", "From", "To", "Auto-Submitted")],
            "type": (self.message.get_content_type(), self.message.get_param("report-type")),
            "parts": [(p.get_content_type(), p["Content-Description"]) for p in parts],
            "fields": [list(block) for block in self.blocks],
            # Postfix tells of them as deliveries end.
            "recipients": sorted(tuple(block[n] for n in ("Final-Recipient", "Original-Recipient", "Action", "Status")) for block in self.blocks[1:]),
            "envelope id": self.blocks[0].get("Original-Envelope-Id"),
        }

    @property
    def key(self):
        return self.message["Subject"], self.about

    def seconds(self, field):
        block = next(b for b in self.blocks if field in b)
        return email.utils.parsedate_to_datetime(block[field].replace(" (UTC)", "")).timestamp()


def send(port, recipients, subject, sender="s@origin.example", options=()):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as s:
        s.ehlo()
        body = f"From: <s@origin.example>\r\nSubject: {subject}\r\n\r\nHello.\r\n"
        for code, text in [s.mail(sender, list(options)), *(s.rcpt(r, o) for r, o in recipients.items()), s.data(body)]:
            assert code == 250, text
    return text.decode().rsplit(" ", 1)[1]


@needs_root
@needs("postfix", "saslpasswd2")
class Delay(Case):
    def refuse(self, answer):
        """What the next hop says to recipients at slow.example from now on."""
        self.next_hop.write("access", f"slow.example {answer}\n")
        self.next_hop.command("reload")

    def reports(self, sink, count):
        reports = [Report(stored) for stored in sink.wait(count, 40)]
        for report in reports:
            self.assertEqual(report.defects, [])
        return {report.key: report for report in reports}

    def test_as_postfix_reports_it_and_once(self):
        self.next_hop = Postfix(OPEN)
        self.addCleanup(self.next_hop.remove)
        restrictions = f"check_recipient_access texthash:{self.next_hop.directory}/access, permit"
        self.next_hop.write("access", "slow.example 450 4.2.0 come later\n")
        subprocess.run(["postconf", "-c", self.next_hop.directory, "-e", f"smtpd_recipient_restrictions = {restrictions}"], check=True, timeout=60)
        self.next_hop.command("reload")
        ours, theirs = self.sink(), self.sink()
        oracle = Postfix(FORWARDING.format(hop=self.next_hop.port) + DELAYED.format(sink=theirs.port))
        self.addCleanup(oracle.remove)
        server = self.server(DELAYED.format(sink=ours.port), downstream=f"[127.0.0.1]:{self.next_hop.port}")
        identities = {}
        for port in (server.plain, oracle.port):
            identities[port] = send(port, RECIPIENTS, "mixed", options=["RET=FULL", "ENVID=QQ+2B314"])
            send(port, {"never@slow.example": ["NOTIFY=NEVER"]}, "unwanted")
            send(port, {"null@slow.example": ["NOTIFY=DELAY"]}, "from nobody", sender="")
        identity = identities[server.plain]

        told = self.reports(ours, 3)
        delayed, copy = ("Delayed Mail (still being retried)", "mixed"), ("Postmaster Warning: Delayed Mail", "mixed")
        self.assertEqual(set(told), {delayed, copy, ("Postmaster Warning: Delayed Mail", "unwanted")})
        for key, report in self.reports(theirs, 3).items():
            self.assertEqual(told[key].shape, report.shape)
            for one in (told[key], report):
                self.assertEqual(round(one.seconds("Will-Retry-Until") - one.seconds("Arrival-Date")), 5 * 86400)
                self.assertNotIn("Hello.", one.body)
        self.assertEqual(
            told[delayed].shape["recipients"],
            [("rfc822; delay@slow.example", "rfc822;first+x@old.example", "delayed", "4.2.0"),
             ("rfc822; plain@slow.example", "rfc822;plain@slow.example", "delayed", "4.2.0")])
        for log, name in ((server.log(), identity), (oracle.log(), identities[oracle.port])):
            self.assertEqual(len(re.findall(rf"postfix/bounce\[\d+\]: {name}: sender delay notification: [0-9A-F]+\n", log)), 1)
            self.assertEqual(len(re.findall(rf"postfix/bounce\[\d+\]: {name}: postmaster delay notification: [0-9A-F]+\n", log)), 1)

        # Whatever happens, nobody is told again: the machine goes down, the queue is read anew, more attempts are made.
        server.kill_all()
        server.start()
        self.assertIn("X-Postern-Delay-Reported: yes", server.queue("export", identity))
        attempts = server.log().count(f"{identity}: to=<plain@slow.example>")
        wait_for(lambda: server.log().count(f"{identity}: to=<plain@slow.example>") > attempts + 1, 40, "two more attempts")

        self.refuse("OK")
        cleared = ("Successful Mail Delivery Report", "mixed")
        told = self.reports(ours, 4)
        self.assertEqual(len(ours.messages()), 4)
        self.assertEqual(told[cleared].shape, self.reports(theirs, 4)[cleared].shape)
        self.assertEqual(
            [(r[0], r[2]) for r in told[cleared].shape["recipients"]],
            [("rfc822; delay@slow.example", "relayed"), ("rfc822; plain@slow.example", "relayed")])
        server.wait_log(f"{identity}: removed")
        wait_for(lambda: server.queue_list() == [], 40, "an empty queue")
        self.assertEqual(len(ours.messages()), 4)


if __name__ == "__main__":
    unittest.main()
