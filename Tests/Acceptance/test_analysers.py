"""What people read a Postfix log with must count the same things in ours: fail2ban's stock filter, pflogsumm, logwatch.

A known mix of events is produced once; each program then has to find exactly that mix.
"""

import base64
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import unittest

from postern import Server, Sink, needs, wait_for

MAIN = """
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_hard_error_limit = 3
smtpd_error_sleep_time = 0
smtpd_forbid_unauth_pipelining = yes
"""
LOGWATCH = "/usr/share/logwatch/scripts/services/postfix"


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")
        self.read()

    def read(self):
        lines = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def command(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def close(self):
        self.file.close()
        self.socket.close()


class Analysers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-sink-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.sink = Sink(cls.directory)
        cls.addClassCleanup(lambda: cls.sink.process.poll() is None and cls.sink.stop())
        cls.server = Server(main=MAIN, sink=cls.sink, tls=True, sasl=Server.SASLDB)
        cls.addClassCleanup(cls.server.remove)
        cls.server.add_user("alice")
        cls.server.start()
        # The harness has looked whether the port is open; that is not part of the mix.
        cls.server.wait_log("disconnect from unknown[127.0.0.1] commands=0/0")
        start = len(cls.server.log())
        cls.produce()
        cls.sink.wait(4)
        wait_for(lambda: cls.server.log().count(": removed") == 4, what="four messages removed from the queue")
        # Before the server is stopped: what the supervisor says then is not Postfix's wording.
        cls.log = cls.server.write("mix", cls.server.log()[start:])
        cls.server.stop()

    @classmethod
    def produce(cls):
        # Four messages, five recipients.
        with smtplib.SMTP("127.0.0.1", cls.server.plain, timeout=30) as s:
            for i in range(3):
                s.sendmail("s@example.com", [f"r{i}@dest.example"], f"Subject: {i}\r\nMessage-Id: <{i}@example.com>\r\n\r\nhello\r\n")
            s.sendmail("s@example.com", ["a@dest.example", "b@dest.example"], "Subject: two\r\n\r\nhello\r\n")
        # Four recipients refused, from a stranger.
        c = Connection(cls.server.plain)
        c.command("XCLIENT ADDR=192.0.2.66 NAME=[UNAVAILABLE]")
        c.command("EHLO stranger")
        for i in range(2):
            c.command("MAIL FROM:<s@example.net>")
            assert c.command(f"RCPT TO:<r{i}@dest.example>").startswith("554 5.7.1 "), i
            c.command("RSET")
        c.command("QUIT")
        c.close()
        c = Connection(cls.server.plain)
        c.command("XCLIENT ADDR=192.0.2.70 NAME=named.example")
        c.command("HELO stranger")
        for i in range(2):
            c.command("MAIL FROM:<>")
            assert c.command(f"RCPT TO:<r{i}@dest.example>").startswith("554 5.7.1 "), i
            c.command("RSET")
        c.command("QUIT")
        c.close()
        # Two wrong passwords, then gone without QUIT.
        c = Connection(cls.server.submission)
        c.command("EHLO guesser")
        c.command("STARTTLS")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        c.file.close()
        c.socket = context.wrap_socket(c.socket)
        c.file = c.socket.makefile("rb")
        c.command("EHLO guesser")
        for password in ("wrong", "worse"):
            word = base64.b64encode(f"\0alice\0{password}".encode()).decode()
            assert c.command(f"AUTH PLAIN {word}").startswith("535 5.7.8 ")
        c.close()
        # One that talks ahead, one that makes too many errors.
        c = Connection(cls.server.plain)
        c.command("XCLIENT ADDR=192.0.2.68 NAME=[UNAVAILABLE]")
        assert c.command("EHLO spammer\r\nMAIL FROM:<x@example.net>").startswith("554 5.5.0 ")
        c.close()
        c = Connection(cls.server.plain)
        c.command("XCLIENT ADDR=192.0.2.69 NAME=[UNAVAILABLE]")
        for _ in range(3):
            c.command("FOO")
        assert c.read().startswith("421 4.7.0 ")
        c.close()
        cls.server.wait_log("too many errors after UNKNOWN from unknown[192.0.2.69]")
        cls.server.wait_log("lost connection after AUTH from unknown[127.0.0.1]")

    def run_program(self, *command, input=None):
        environment = {**os.environ, "LC_ALL": "C", "LOGWATCH_DETAIL_LEVEL": "10", "LOGWATCH_NUMERIC": "1"}
        result = subprocess.run(command, input=input, capture_output=True, text=True, timeout=120, env=environment)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    @needs("fail2ban-regex")
    def test_fail2ban(self):
        # refused recipients, talking ahead, too many errors; wrong passwords; gone after AUTH, and a session of failed AUTH only
        for mode, count in {"normal": 6, "auth": 2, "ddos": 2, "aggressive": 10}.items():
            with self.subTest(mode=mode):
                out = self.run_program("fail2ban-regex", "--print-all-matched", self.log, f"postfix[mode={mode}]")
                self.assertEqual(int(re.search(r"(\d+) matched", out)[1]), count, out)

    @needs("pflogsumm")
    def test_pflogsumm(self):
        out = self.run_program("pflogsumm", "--smtpd_stats", self.log)

        def number(word):
            found = re.search(rf"^\s*(\d+)k?\s+{word}\b", out, re.M)
            self.assertIsNotNone(found, f"{word} in\n{out}")
            return int(found[1])

        expected = dict(received=4, delivered=5, deferred=0, bounced=0, rejected=4, senders=1, recipients=5)
        self.assertEqual({word: number(word) for word in expected}, expected, out)
        # 1 with messages, 2 refused, 1 guesser, 1 ahead, 1 in error.
        sessions = self.server.read("mix").count(": connect from ")
        self.assertEqual(number("connections"), sessions, out)
        self.assertRegex(out, r"(?s)message reject detail.*RCPT.*Relay access denied \(total: 4\)")
        self.assertRegex(out, r"SASL PLAIN authentication failed")

    @unittest.skipUnless(os.path.exists(LOGWATCH), "needs logwatch")
    def test_logwatch(self):
        out = self.run_program("perl", LOGWATCH, "--detail", "10", self.log)

        def number(line):
            found = re.search(rf"^\s*(\d+)\s+{line}", out, re.M)
            self.assertIsNotNone(found, f"{line} in\n{out}")
            return int(found[1])

        self.assertEqual(number(r"5xx Reject relay denied"), 4, out)
        self.assertEqual(number(r"SASL authentication failed"), 2, out)
        self.assertEqual(number(r"Removed from queue"), 4, out)
        self.assertNotIn("Unmatched", out)


if __name__ == "__main__":
    unittest.main()
