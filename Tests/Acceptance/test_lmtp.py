"""Dovecot's LMTP server as the way out of the local and virtual classes: the mail ends in a maildir."""

import os
import smtplib
import unittest

from counterparts import Dovecot
from postern import Case, needs, wait_for


@needs("dovecot")
class LMTP(Case):
    def setUp(self):
        self.dovecot = Dovecot(users=("alice", "bob"))
        self.addCleanup(self.dovecot.remove)
        self.dovecot.start()

    def start(self, main):
        # relayhost points to a port where nobody listens: what should go to Dovecot must not go there.
        self.postern = self.server(main, downstream="[127.0.0.1]:9")
        return self.postern

    def send(self, postern, *recipients, subject="by LMTP", sender="carol@example.org"):
        with smtplib.SMTP("127.0.0.1", postern.plain) as s:
            s.sendmail(sender, recipients, f"From: carol@example.org\r\nSubject: {subject}\r\n\r\n.a dot\r\nbody\r\n")

    def arrived(self, user, count=1):
        try:
            return wait_for(lambda: len(self.dovecot.maildir(user)) >= count and self.dovecot.maildir(user), what=f"{count} in {user}'s maildir")
        except AssertionError as error:
            self.fail(f"{error}\n{self.dovecot.log()}{self.postern.log()}")

    def check(self, message, recipient):
        text = message.replace(b"\r\n", b"\n")
        self.assertIn(b"Subject: by LMTP\n", text)
        self.assertTrue(text.endswith(b"\n\n.a dot\nbody\n"), text)
        self.assertIn(b"Return-Path: <carol@example.org>\n", text)
        self.assertIn(b"Delivered-To: " + recipient, text)
        self.assertIn(b"with LMTP\n", text)

    def test_local_transport_unix(self):
        postern = self.start(f"mydestination = example.com\nlocal_transport = lmtp:unix:{self.dovecot.lmtp_socket}\n")
        self.send(postern, "alice@example.com")
        self.check(self.arrived("alice")[0], b"alice@example.com")
        log = postern.wait_log("removed")
        self.assertIn(f"to=<alice@example.com>, relay=mx.example.com[{self.dovecot.lmtp_socket}]", log)
        self.assertIn("postfix/lmtp[", log)

    def test_local_transport_unix_below_the_queue_directory(self):
        postern = self.postern = self.server("mydestination = example.com\nlocal_transport = lmtp:unix:private/dovecot-lmtp\n", downstream="[127.0.0.1]:9", start=False)
        os.makedirs(f"{postern.directory}/spool/private", mode=0o755)
        os.symlink(self.dovecot.lmtp_socket, f"{postern.directory}/spool/private/dovecot-lmtp")
        postern.start()
        self.send(postern, "alice@example.com")
        self.check(self.arrived("alice")[0], b"alice@example.com")
        self.assertIn("relay=mx.example.com[private/dovecot-lmtp]", postern.wait_log("removed"))

    def test_local_transport_inet(self):
        postern = self.start(f"mydestination = example.com\nlocal_transport = lmtp:inet:[127.0.0.1]:{self.dovecot.lmtp}\n")
        self.send(postern, "alice@example.com")
        self.check(self.arrived("alice")[0], b"alice@example.com")
        self.assertIn(f"relay=127.0.0.1[127.0.0.1]:{self.dovecot.lmtp}", postern.wait_log("removed"))

    def test_virtual_transport(self):
        for destination in (f"unix:{self.dovecot.lmtp_socket}", f"[127.0.0.1]:{self.dovecot.lmtp}"):
            with self.subTest(destination):
                before = len(self.dovecot.maildir("bob"))
                postern = self.start(
                    "virtual_mailbox_domains = example.net\nvirtual_mailbox_maps = inline:{bob@example.net=x}\n"
                    f"virtual_transport = lmtp:{destination}\n")
                self.send(postern, "bob@example.net")
                self.check(self.arrived("bob", before + 1)[-1], b"bob@example.net")
                postern.stop()

    def test_mailbox_transport(self):
        postern = self.start(f"mydestination = example.com\nmailbox_transport = lmtp:unix:{self.dovecot.lmtp_socket}\n")
        self.send(postern, "alice@example.com")
        self.check(self.arrived("alice")[0], b"alice@example.com")

    def test_each_recipient_has_its_own_outcome(self):
        # LMTP answers for each recipient: alice's copy is there, nobody's is returned to the sender, who is bob.
        postern = self.start(f"mydestination = example.com\nlocal_transport = lmtp:unix:{self.dovecot.lmtp_socket}\n")
        self.send(postern, "alice@example.com", "nobody@example.com", sender="bob@example.com")
        self.assertIn(b"Subject: by LMTP", self.arrived("alice")[0])
        bounce = self.arrived("bob")[0]
        self.assertIn(b"Return-Path: <>", bounce)
        self.assertIn(b"Final-Recipient: rfc822; nobody@example.com", bounce)
        self.assertNotIn(b"Final-Recipient: rfc822; alice@example.com", bounce)
        log = postern.wait_log("status=bounced")
        self.assertRegex(log, r"to=<alice@example.com>, relay=.*status=sent \(250 2.0.0 ")
        self.assertRegex(log, r"to=<nobody@example.com>, relay=.*status=bounced \(host .* said: 550 5.1.1 <nobody@example.com> User doesn't exist")

    def test_dovecot_away_and_back(self):
        postern = self.start(
            f"mydestination = example.com\nlocal_transport = lmtp:unix:{self.dovecot.lmtp_socket}\nminimal_backoff_time = 1s\nqueue_run_delay = 1s\n")
        self.dovecot.stop()
        self.send(postern, "alice@example.com")
        postern.wait_log("status=deferred (connect to ")
        self.dovecot.start()
        self.check(self.arrived("alice")[0], b"alice@example.com")


if __name__ == "__main__":
    unittest.main()
