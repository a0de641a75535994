"""fetchmail polls a real Dovecot and hands the mail in, in each form that Docs/fetchmail.md has a row for."""

import os
import shutil
import subprocess
import tempfile
import unittest

from counterparts import Dovecot
from postern import PASSWORD, Case, needs, port_open

MAIL = b"From: carol@example.org\r\nTo: alice@example.net\r\nSubject: from the mailbox\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n"

# Docs/fetchmail.md, "The service".
SERVICE = """127.0.0.1:@PLAIN@ inet n - n - - smtpd
  -o syslog_name=postfix/fetchmail
  -o smtpd_tls_security_level=none
  -o smtpd_relay_restrictions=permit_mynetworks,reject
"""

MAIN = """
mydestination = $myhostname, localhost.$mydomain, localhost
resolve_numeric_domain = yes
local_transport = smtp:[127.0.0.1]:@SINK@
"""

NO_SOFTBOUNCE = "set no softbounce"


@needs("fetchmail", "dovecot")
class Fetchmail(Case):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="fetchmail-test-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.dovecot = Dovecot()
        self.addCleanup(self.dovecot.remove)
        self.dovecot.start()
        self.dovecot.append("alice", MAIL)
        self.downstream = self.sink()

    def start(self, main="", service=SERVICE, **options):
        return self.server(MAIN.replace("@SINK@", str(self.downstream.port)) + main, master=service, sink=self.downstream, **options)

    def poll(self, smtp, settings=""):
        """One poll; returns its transcript."""
        path = f"{self.home}/fetchmailrc"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(f"""{settings}
poll 127.0.0.1 protocol IMAP port {self.dovecot.imap}
  user alice there password {PASSWORD} is alice here sslproto '' {smtp}
""")
        result = subprocess.run(
            ["fetchmail", "--nodetach", "--nosyslog", "-vv", "-f", path, "--pidfile", f"{self.home}/pid", "-i", f"{self.home}/ids"],
            env={**os.environ, "FETCHMAILHOME": self.home, "LC_ALL": "C"}, capture_output=True, text=True, timeout=90)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout + result.stderr

    def delivered(self, recipient, smtp, main="", **options):
        """One poll takes the message to the downstream and out of the mailbox; returns Postern's log."""
        postern = self.start(main, **options)
        transcript = self.poll(smtp.replace("@PORT@", str(postern.plain)))
        self.assertIn(f"SMTP> RCPT TO:<{recipient}>", transcript)
        (message,) = self.downstream.wait(1)
        self.assertIn(b"Subject: from the mailbox\r\n", message)
        self.assertEqual(self.dovecot.messages("alice"), [])
        log = postern.wait_log("removed")
        self.assertIn("status=sent (250", log)
        self.assertIn("postfix/fetchmail/smtpd[", log)
        return log

    def refused(self, main, reply, settings="", kept=True, host="localhost"):
        """One poll at a server that refuses; returns the transcript."""
        postern = self.start(main)
        transcript = self.poll(f"smtphost {host}/{postern.plain}", settings)
        self.assertRegex(transcript, f"SMTP< {reply}")
        self.assertEqual(self.dovecot.messages("alice"), [MAIL] if kept else [], transcript)
        self.assertEqual(postern.stop(), 0)
        if not kept:
            self.dovecot.append("alice", MAIL)
        return transcript


class Forms(Fetchmail):
    """The table "What fetchmail sends"."""

    def test_smtphost_with_an_address(self):
        self.assertIn("to=<alice@[127.0.0.1]>", self.delivered("alice@127.0.0.1", "smtphost 127.0.0.1/@PORT@"))

    def test_smtphost_with_a_name(self):
        self.assertIn("to=<alice@localhost>", self.delivered("alice@localhost", "smtphost localhost/@PORT@"))

    def test_smtpaddress_of_the_relayhost(self):
        log = self.delivered("alice@example.com", "smtphost localhost/@PORT@ smtpaddress example.com", "local_transport = error:not here\n")
        self.assertIn("to=<alice@example.com>", log)

    def test_smtpaddress_of_a_virtual_domain(self):
        log = self.delivered(
            "alice@example.com", "smtphost 127.0.0.1/@PORT@ smtpaddress example.com",
            "relayhost = [127.0.0.1]:9\nvirtual_mailbox_domains = example.com\nvirtual_mailbox_maps = inline:{alice@example.com=x}\n"
            f"virtual_transport = smtp:[127.0.0.1]:{self.downstream.port}\n")
        self.assertIn("to=<alice@example.com>", log)

    def test_smtpaddress_with_an_address_literal(self):
        log = self.delivered("alice@[127.0.0.1]", "smtphost 127.0.0.1/@PORT@ smtpaddress '[127.0.0.1]'", "resolve_numeric_domain = no\n")
        self.assertIn("to=<alice@[127.0.0.1]>", log)

    def test_where_all_others_must_use_tls(self):
        self.delivered("alice@localhost", "smtphost localhost/@PORT@", "smtpd_tls_security_level = encrypt\n", tls=True)

    def test_to_dovecot_by_lmtp(self):
        # The whole way: out of one mailbox, into another.
        postern = self.start(f"local_transport = lmtp:unix:{self.dovecot.lmtp_socket}\n")
        self.poll(f"smtphost localhost/{postern.plain}")
        postern.wait_log("removed")
        (message,) = self.dovecot.messages("alice")
        self.assertIn(b"Delivered-To: alice@localhost", message)


class Refusals(Fetchmail):
    """The table "Refusals": where the message is afterwards."""

    RCPT = "smtpd_recipient_restrictions = check_recipient_access static:{%s}\n"
    MAIL_FROM = "smtpd_delay_reject = no\nsmtpd_sender_restrictions = check_sender_access static:{%s}\n"
    END_OF_DATA = "smtpd_end_of_data_restrictions = check_sender_access static:{%s}\n"

    def test_temporary(self):
        for settings in ("", NO_SOFTBOUNCE):
            for main in (self.RCPT, self.MAIL_FROM, self.END_OF_DATA):
                with self.subTest(main, settings=settings):
                    transcript = self.refused(main % "450 4.7.1 not now", "450 4.7.1 .*not now", settings)
                    self.assertNotIn("postmaster@", transcript)
                    self.assertNotIn("127.0.0.1/25...", transcript)
        # ... and the next poll takes it.
        self.delivered("alice@localhost", "smtphost localhost/@PORT@")

    def test_permanent_at_rcpt(self):
        for settings in ("", NO_SOFTBOUNCE):
            with self.subTest(settings):
                transcript = self.refused(self.RCPT % "550 5.7.1 no", "550 5.7.1 .*no", settings, kept=not settings)
                self.assertIn("SMTP> RCPT TO:<postmaster@localhost>", transcript)
                self.assertIn("can't even send to postmaster!", transcript)
        self.delivered("alice@localhost", "smtphost localhost/@PORT@")

    def test_an_unknown_user_goes_to_postmaster(self):
        postern = self.start("local_recipient_maps = inline:{bob=x}\n")
        transcript = self.poll(f"smtphost localhost/{postern.plain}")
        self.assertIn("SMTP< 550 5.1.1 <alice@localhost>: Recipient address rejected: User unknown in local recipient table", transcript)
        self.assertIn("no address matches; forwarding to postmaster.", transcript)
        self.assertIn("to=<postmaster@localhost>", postern.wait_log("removed"))
        self.assertEqual(self.dovecot.messages("alice"), [])

    def test_an_address_without_resolve_numeric_domain(self):
        for settings in ("", NO_SOFTBOUNCE):
            with self.subTest(settings):
                self.refused("resolve_numeric_domain = no\n", "501 5.1.3 Bad recipient address syntax", settings, kept=not settings, host="127.0.0.1")

    @unittest.skipIf(port_open(25), "fetchmail would send a bounce by the server at port 25")
    def test_permanent_at_mail_and_at_the_end(self):
        cases = [
            (self.MAIL_FROM % "550 5.7.1 no", "550 5.7.1 .*no"), (self.MAIL_FROM % "553 5.7.1 no", "553 5.7.1 .*no"),
            (self.END_OF_DATA % "554 5.7.1 no", "554 5.7.1 .*no"), ("message_size_limit = 20\n", "552 5.3.4 Message size exceeds fixed limit"),
        ]
        for main, reply in cases:
            for settings in ("", NO_SOFTBOUNCE):
                with self.subTest(reply, settings=settings):
                    transcript = self.refused(main, reply, settings, kept=not settings)
                    # Its bounce goes to port 25, whatever smtphost says, and even when the message is kept; none for 553.
                    check = self.assertNotIn if "553" in reply else self.assertIn
                    check("Trying to connect to 127.0.0.1/25...", transcript)

    def test_soft_bounce_keeps_it_whatever_fetchmail_is_told(self):
        for main, reply in ((self.RCPT, "450 4.7.1 .*no"), (self.MAIL_FROM, "450 4.7.1 .*no"), (self.END_OF_DATA, "450 4.7.1 .*no")):
            with self.subTest(main):
                transcript = self.refused(main % "550 5.7.1 no" + "soft_bounce = yes\n", reply, NO_SOFTBOUNCE)
                self.assertNotIn("postmaster@", transcript)
                self.assertNotIn("127.0.0.1/25...", transcript)


if __name__ == "__main__":
    unittest.main()
