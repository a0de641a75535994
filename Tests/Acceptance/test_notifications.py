"""Delivery status notifications, 8BITMIME and SMTPUTF8 from the client to a next hop that is a real Postfix, one that offers them and one that does not."""

import email
import email.policy
import smtplib
import unittest

from downstream import Postfix
from postern import Case, needs, needs_root, wait_for
from test_relay import Bounce

# Takes mail from everyone in the clear, but for one recipient.
OPEN = """
mynetworks = 127.0.0.0/8
smtpd_tls_security_level = none
smtpd_sasl_auth_enable = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{ { refused@dest.example = 550 5.1.1 nobody here } }, permit
"""
MAIN = """
transport_maps = inline:{{ {{ origin.example = smtp:[127.0.0.1]:{sink} }} }}
minimal_backoff_time = 1000s
queue_run_delay = 1000s
"""


@needs_root
@needs("postfix", "postcat", "saslpasswd2")
class Notifications(Case):
    def start_to(self, more="", main=""):
        """Our server in front of a Postfix; reports go to the sink."""
        self.next_hop = Postfix(OPEN + more)
        self.addCleanup(self.next_hop.remove)
        self.reports = self.sink()
        self.postern = self.server(MAIN.format(sink=self.reports.port) + main, downstream=f"[127.0.0.1]:{self.next_hop.port}")

    def send(self, recipients, mail_options=(), subject="x", sender="s@origin.example", content=None):
        """`recipients`: address -> options of RCPT. The queue id."""
        with smtplib.SMTP("127.0.0.1", self.postern.plain, timeout=30) as s:
            s.ehlo()
            s.command_encoding = "utf-8"
            for code, text in [s.mail(sender, list(mail_options)), *(s.rcpt(r, o) for r, o in recipients.items()), s.data(
                    content or f"From: <s@origin.example>\r\nSubject: {subject}\r\n\r\nHello.\r\n".encode())]:
                self.assertEqual(code, 250, text)
        return text.decode().rsplit(" ", 1)[1]

    def finished(self, identity):
        return self.postern.wait_log(f"{identity}: removed", 40)

    def report(self):
        bounce = Bounce(self, self.reports.wait(1)[0])
        fields = list(bounce.message.iter_parts())[1].get_payload()
        # The part about the message, then one for each recipient.
        return bounce, dict(fields[0].items()), {f["Final-Recipient"].split(";")[1].strip(): dict(f.items()) for f in fields[1:]}

    def test_a_next_hop_that_offers_dsn_is_told(self):
        self.start_to()
        identity = self.send({"a@dest.example": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Bx@old.example"], "b@dest.example": ["NOTIFY=NEVER"],
                              "c@dest.example": []}, ["RET=HDRS", "ENVID=QQ+2B314"], "told")
        self.finished(identity)
        stored = b"\n".join(self.next_hop.wait_for_subject("told")).decode()
        # As postcat prints them: NOTIFY=SUCCESS,FAILURE is 6, NEVER is 1.
        for text in ("envelope_id=QQ+314", "ret_flags=2", "notify_flags=6\nnamed_attribute: dsn_orig_rcpt=rfc822;first+x@old.example\n",
                     "notify_flags=1\n", "dsn_orig_rcpt=rfc822;c@dest.example"):
            self.assertIn(text, stored)
        # Who delivers reports; it was not us.
        self.assertEqual(self.reports.messages(), [])

    def test_a_next_hop_without_dsn_is_reported_as_relayed(self):
        self.start_to("smtpd_discard_ehlo_keywords = dsn\n")
        identity = self.send({"a@dest.example": ["NOTIFY=SUCCESS", "ORCPT=rfc822;first+2Bx@old.example"], "b@dest.example": ["NOTIFY=NEVER"],
                              "c@dest.example": [], "d@dest.example": ["NOTIFY=FAILURE"]}, ["RET=HDRS", "ENVID=QQ+2B314"], "relayed")
        self.finished(identity)
        bounce, message, recipients = self.report()
        self.assertEqual(message["Original-Envelope-Id"], "QQ+314")
        self.assertEqual(list(recipients), ["a@dest.example"])
        self.assertEqual(recipients["a@dest.example"]["Action"], "relayed")
        self.assertEqual(recipients["a@dest.example"]["Original-Recipient"], "rfc822;first+x@old.example")
        self.assertEqual(recipients["a@dest.example"]["Status"][:2], "2.")
        self.assertEqual(list(bounce.message.iter_parts())[2].get_content_type(), "text/rfc822-headers")
        self.assertEqual(len(self.next_hop.wait_for_subject("relayed")), 1)

    def test_refusals_are_reported_to_those_who_want_to_hear(self):
        self.start_to()
        for notify in ("NEVER", "SUCCESS"):
            self.finished(self.send({"refused@dest.example": [f"NOTIFY={notify}"]}))
        self.assertEqual(self.reports.messages(), [])
        self.finished(self.send({"refused@dest.example": ["NOTIFY=FAILURE"], "a@dest.example": ["NOTIFY=NEVER"]}, ["RET=FULL", "ENVID=bad"]))
        bounce, message, recipients = self.report()
        self.assertEqual(message["Original-Envelope-Id"], "bad")
        self.assertEqual({r: (f["Action"], f["Status"]) for r, f in recipients.items()}, {"refused@dest.example": ("failed", "5.1.1")})
        self.assertIn("nobody here", recipients["refused@dest.example"]["Diagnostic-Code"])
        self.assertEqual(list(bounce.message.iter_parts())[2].get_content_type(), "message/rfc822")
        # Without NOTIFY, a failure is reported (RFC 3461 section 4.1).
        self.finished(self.send({"refused@dest.example": []}))
        self.reports.wait(2)

    def test_blind_copies_are_never_reported(self):
        self.start_to(main="always_bcc = refused@dest.example\n")
        identity = self.send({"a@dest.example": []}, subject="copied")
        self.finished(identity)
        self.assertRegex(self.postern.log(), rf"{identity}: to=<refused@dest.example>.*status=bounced")
        self.next_hop.wait_for_subject("copied")
        self.assertEqual(self.reports.messages(), [])

    EIGHT_BIT = (b"From: <s@origin.example>\r\nSubject: eight\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe = \xe2\x82\xac\r\n.\r\n")

    def content_at_next_hop(self, subject):
        """As a program that knows MIME sees it, and as it came."""
        stored = self.next_hop.wait_for_subject(subject)[0]
        content = stored.split(b"*** MESSAGE CONTENTS", 1)[1].split(b"***\n", 1)[1].split(b"*** HEADER EXTRACTED")[0]
        return email.message_from_bytes(content, policy=email.policy.default), stored

    def test_a_next_hop_that_offers_8bitmime(self):
        self.start_to()
        self.finished(self.send({"a@dest.example": []}, ["BODY=8BITMIME"], content=self.EIGHT_BIT))
        message, stored = self.content_at_next_hop("eight")
        self.assertEqual(message["Content-Transfer-Encoding"], "8bit")
        self.assertIn("Grüße = €\n".encode(), stored)
        # postcat's name for BODY=8BITMIME.
        self.assertIn(b"encoding=8bit", stored)

    def test_a_next_hop_without_8bitmime(self):
        # One that offers SMTPUTF8 takes eight bits, too, whatever else it says.
        self.start_to("smtpd_discard_ehlo_keywords = 8bitmime, smtputf8\n")
        self.finished(self.send({"a@dest.example": []}, ["BODY=8BITMIME"], content=self.EIGHT_BIT))
        message, stored = self.content_at_next_hop("eight")
        self.assertEqual(message["Content-Transfer-Encoding"], "quoted-printable")
        self.assertIn(b"Gr=C3=BC=C3=9Fe =3D =E2=82=AC\n", stored)
        self.assertEqual(message.get_content().splitlines(), ["Grüße = €", "."])
        self.assertTrue(stored.isascii())
        self.assertEqual(self.reports.messages(), [])

    UTF8 = "From: <s@origin.example>\r\nSubject: grüße\r\n\r\nHello.\r\n".encode()

    def test_a_next_hop_that_offers_smtputf8(self):
        self.start_to()
        self.finished(self.send({"jürgen@dest.example": []}, ["SMTPUTF8", "BODY=8BITMIME"], content=self.UTF8))
        stored = self.next_hop.wait_for_subject("grüße")[0].decode()
        self.assertIn("recipient: jürgen@dest.example", stored)
        self.assertIn("UTF8SMTP id", stored)

    def test_a_next_hop_without_smtputf8(self):
        self.start_to("smtputf8_enable = no\n")
        # Nothing here needs it.
        self.finished(self.send({"a@dest.example": []}, ["SMTPUTF8"], subject="plain"))
        self.next_hop.wait_for_subject("plain")
        self.assertEqual(self.reports.messages(), [])
        identity = self.send({"jürgen@dest.example": ["NOTIFY=FAILURE"]}, ["SMTPUTF8", "BODY=8BITMIME"], content=self.UTF8)
        self.finished(identity)
        self.assertRegex(self.postern.log(), rf"{identity}: to=<jürgen@dest.example>.*dsn=5.6.7, status=bounced \(SMTPUTF8 is required, but was not offered")
        self.assertIn("5.6.7", self.reports.wait(1)[0].decode())


if __name__ == "__main__":
    unittest.main()
