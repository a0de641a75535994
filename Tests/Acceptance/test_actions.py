"""What rules do with a message: a filter that scans all mail and hands it back (a real Postfix in that part), HOLD until an administrator
releases it, REDIRECT and BCC.
"""

import smtplib
import unittest

from downstream import Postfix
from ports import free_port
from postern import Case, needs, needs_root, wait_for

TABLE = "inline:{ { held@x.example = HOLD } { redirected@x.example = REDIRECT to@r.example } { copied@x.example = BCC copy@r.example } }"


class Actions(Case):
    def send(self, port, recipients, sender="s@x.example", body="Hello.\r\n"):
        """The queue id."""
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as s:
            s.ehlo()
            answers = [s.mail(sender), *(s.rcpt(r) for r in recipients), s.data(f"From: <{sender}>\r\nSubject: x\r\n\r\n{body}")]
        for code, text in answers:
            self.assertEqual(code, 250, text)
        return text.decode().rsplit(" ", 1)[1]

    def test_held_until_released(self):
        """At RCPT, and at the end of a message too large for one piece; over a restart."""
        sink = self.sink()
        rules = (f"smtpd_recipient_restrictions = check_recipient_access {TABLE}, permit\n"
                 f"smtpd_end_of_data_restrictions = check_sender_access {TABLE}\n")
        server = self.server(rules, sink=sink)
        small = self.send(server.plain, ["a@d.example", "held@x.example"])
        large = self.send(server.plain, ["b@d.example"], "held@x.example", "0123456789abcdef\r\n" * 20_000)
        self.send(server.plain, ["c@d.example"])
        sink.wait(1)
        self.assertEqual({m["queue_id"]: m["queue_name"] for m in server.queue_list()}, {small: "hold", large: "hold"})
        server.stop()
        server.start()
        self.assertEqual({m["queue_id"]: m["queue_name"] for m in server.queue_list()}, {small: "hold", large: "hold"})
        self.assertEqual(len(sink.messages()), 1)
        for identity in (small, large):
            server.queue("release", identity)
        messages = sink.wait(3)
        self.assertEqual(len(messages), 3)
        self.assertEqual(sum(len(m) > 300_000 for m in messages), 1)
        wait_for(lambda: not server.queue_list(), what="an empty queue")

    def test_redirected_and_copied(self):
        sink = self.sink()
        server = self.server(f"smtpd_recipient_restrictions = check_recipient_access {TABLE}, permit\n", sink=sink)
        redirected = self.send(server.plain, ["a@d.example", "redirected@x.example"])
        copied = self.send(server.plain, ["b@d.example", "copied@x.example"])
        sink.wait(2)
        for line in (f"{redirected}: to=<to@r.example>, orig_to=<a@d.example>,", f"{copied}: to=<b@d.example>,",
                     f"{copied}: to=<copied@x.example>,", f"{copied}: to=<copy@r.example>,"):
            server.wait_log(line)
        self.assertEqual(server.log().count(f"{redirected}: to="), 1)
        self.assertEqual(server.log().count(f"{copied}: to="), 3)

    @needs_root
    @needs("postfix")
    def test_content_filter(self):
        """In front of the queue again: the service that takes scanned mail has no filter, and no mapping a second time."""
        sink, again = self.sink(), free_port()
        scanner = Postfix(f"""
mynetworks = 127.0.0.0/8
smtpd_tls_security_level = none
smtpd_sasl_auth_enable = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_data_restrictions =
header_checks = regexp:{{ {{ /^Subject:/ PREPEND X-Scanned: yes }} }}
default_transport = smtp:[127.0.0.1]:{again}
""")
        self.addCleanup(scanner.remove)
        master = f"""127.0.0.1:@PLAIN@ inet n - n - - smtpd
  -o content_filter=scan:[127.0.0.1]:{scanner.port}
  -o receive_override_options=no_address_mappings
127.0.0.1:{again} inet n - n - - smtpd
  -o content_filter=
  -o syslog_name=postfix/scanned
scan unix - - n - 2 smtp
"""
        server = self.server("virtual_alias_maps = inline:{ { a@one.example = a@aliased.example } }\n"
                             "always_bcc = copy@one.example\n", master=master, sink=sink)
        first = self.send(server.plain, ["a@one.example", "b@two.example"])
        message = sink.wait(1)[0]
        log = server.wait_log("to=<b@two.example>, relay=127.0.0.1[127.0.0.1]:" + str(sink.port))
        for recipient in ("a@one.example", "b@two.example"):
            self.assertIn(f"{first}: to=<{recipient}>, relay=127.0.0.1[127.0.0.1]:{scanner.port}", log)
        # Domains apart, and yet one transaction; mapped and copied once, behind the filter.
        self.assertEqual(log.count(f"{first}: to="), 2)
        wait_for(lambda: server.log().count("to=<copy@one.example>") == 1, what="the copy")
        wait_for(lambda: "to=<a@aliased.example>, orig_to=<a@one.example>" in server.log(), what="the alias")
        self.assertEqual(message.count(b"X-Scanned: yes"), 1)


if __name__ == "__main__":
    unittest.main()
