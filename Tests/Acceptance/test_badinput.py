"""Broken configurations and hostile clients: each gets a clear line or reply, and everyone else is served."""

import os
import re
import smtplib
import socket
import threading
import time
import unittest

from postern import Case, Server, needs_root, run, wait_for


class BrokenConfiguration(Case):
    """`start` refuses with file:line on standard error and exit status 1; `check` says the same."""

    def refused(self, server):
        started = run("start", "-c", server.directory, "--foreground", check=False)
        self.assertEqual(started.returncode, 1, started.stderr)
        checked = run("check", "-c", server.directory, check=False)
        self.assertEqual(checked.returncode, 1)
        self.assertEqual(checked.stdout + checked.stderr, started.stderr)
        self.assertFalse(os.path.exists(f"{server.directory}/spool/journal"), "a refused start leaves no queue behind")
        return started.stderr

    def broken(self, main="", master=None, **options):
        return self.refused(self.server(main, master, start=False, downstream="[127.0.0.1]:9", **options))

    def line_of(self, server, text, name="main.cf"):
        for number, line in enumerate(server.read(name).splitlines(), 1):
            if text in line:
                return f"{server.directory}/{name}:{number}: "
        self.fail(f"{text!r} is not in {name}")

    def assertSays(self, server, report, text, about, name="main.cf"):
        where = self.line_of(server, about, name)
        self.assertTrue(any(line.startswith(where) and text in line for line in report.splitlines()), f"no {where}...{text!r} in:\n{report}")

    def test_every_syntax_error_in_one_run(self):
        server = self.server("""this line is no parameter
smtpd_timeout = fast
smtpd_recipient_limit = many
smtpd_tls_security_level = sometimes
relay_domains = ${
smtpd_hello_required = yes
""", """127.0.0.1:@PLAIN@ inet n - n - - smtpd
127.0.0.1:99999 inet n - n - - smtpd
too few columns
127.0.0.1:2603 tcp n - n - - smtpd
127.0.0.1:2604 inet x - n - - smtpd
imap inet n - n - - imapd
127.0.0.1:2605 inet n - n - - smtpd
  -o smtpd_tls_wrappermode=maybe
""", start=False, downstream="[127.0.0.1]:9")
        report = self.refused(server)
        for text, about in {
            'missing "="': "this line is no", "must be a time": "smtpd_timeout", "must be a number": "smtpd_recipient_limit",
            "must be one of none, may, encrypt": "smtpd_tls_security_level", 'missing "}"': "relay_domains",
            "did you mean smtpd_helo_required": "smtpd_hello_required",
        }.items():
            self.assertSays(server, report, text, about)
        for text, about in {
            "is not a port number": ":99999", "8 columns": "too few", 'unknown service type "tcp"': " tcp ", "private must be": " x ", "imapd": "imapd",
            "must be yes or no": ":2605",
        }.items():
            self.assertSays(server, report, text, about, "master.cf")

    def test_every_impossible_wish_in_one_run(self):
        server = self.server("""this line is no parameter
smtpd_timeout = soon
smtpd_sender_restrictions = check_sender_access pgsql:/etc/x, reject_spammers
mail_owner = nosuchuser
maillog_file = /nonexistent/maillog
maillog_file_prefixes = /nonexistent
smtpd_tls_security_level = may
smtpd_tls_cert_file = /nonexistent/cert.pem
smtpd_relay_restrictions = permit_mynetworks
smtpd_recipient_restrictions = permit_mynetworks
""", start=False, downstream="[127.0.0.1]:9")
        with socket.socket() as occupier:
            occupier.bind(("127.0.0.1", server.plain))
            occupier.listen()
            report = self.refused(server)
        self.assertSays(server, report, 'missing "="', "this line is no")
        self.assertSays(server, report, "must be a time", "smtpd_timeout")
        self.assertIn("specify at least one working instance of: reject_unauth_destination", report)
        self.assertSays(server, report, "table type pgsql is not built in (build with the PostgreSQL trait)", "smtpd_sender_restrictions")
        self.assertSays(server, report, 'unknown smtpd restriction: "reject_spammers"', "smtpd_sender_restrictions")
        self.assertSays(server, report, "/nonexistent/cert.pem: No such file", "smtpd_tls_cert_file")
        self.assertSays(server, report, f"127.0.0.1:{server.plain}", f"127.0.0.1:{server.plain}", "master.cf")
        self.assertIn("Address already in use", report)
        self.assertSays(server, report, "/nonexistent/maillog: cannot write there: No such file", "maillog_file = /nonexistent")
        if os.geteuid() == 0:
            self.assertSays(server, report, "nosuchuser: no such user", "mail_owner")

    def test_no_relay_safeguard(self):
        report = self.broken("smtpd_relay_restrictions = permit_mynetworks\nsmtpd_recipient_restrictions = permit_mynetworks\n")
        self.assertIn("specify at least one working instance of: reject_unauth_destination", report)

    def test_keys(self):
        server = self.server(tls=True, start=False, downstream="[127.0.0.1]:9")
        key, certificate = f"{server.directory}/key.pem", f"{server.directory}/cert.pem"
        run("cert", "selfsigned", "--name", "other", "--out-cert", f"{server.directory}/other.pem", "--out-key", f"{server.directory}/otherkey.pem")
        server.write("garbage.pem", "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
        server.write("empty.pem", "")
        base = server.read("main.cf").replace("smtpd_tls_chain_files", "# smtpd_tls_chain_files")
        for keys, words in {
            f"{server.directory}/otherkey.pem": ["cert.pem", "does not belong to the certificate"],
            f"{server.directory}/garbage.pem": ["garbage.pem"],
            f"{server.directory}/empty.pem": ["empty.pem"],
            f"{server.directory}/missing.pem": ["missing.pem", "No such file"],
            server.directory: [server.directory],
        }.items():
            with self.subTest(keys):
                server.write("main.cf", base + f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {keys}\n")
                report = self.refused(server)
                self.assertRegex(report, rf"^{re.escape(server.directory)}/main\.cf:\d+: ")
                for word in words:
                    self.assertIn(word, report)
                self.assertNotIn("nonsense", report)
        # ... and the message was about the key, not about a certificate that never works.
        server.write("main.cf", base + f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n")
        self.assertEqual(run("check", "-c", server.directory).returncode, 0)

    @unittest.skipIf(os.geteuid() == 0, "root reads everything")
    def test_a_key_without_permission(self):
        server = self.server(tls=True, start=False, downstream="[127.0.0.1]:9")
        os.chmod(f"{server.directory}/key.pem", 0)
        self.assertIn("key.pem: Permission denied", self.refused(server))

    def test_files_that_are_not_there(self):
        server = self.server(start=False, downstream="[127.0.0.1]:9")
        for name in ("master.cf", "main.cf"):
            os.rename(f"{server.directory}/{name}", f"{server.directory}/away")
            self.assertIn(f"{server.directory}/{name}", self.refused(server))
            os.rename(f"{server.directory}/away", f"{server.directory}/{name}")
        missing = run("start", "-c", f"{server.directory}/nothing", "--foreground", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn(f"{server.directory}/nothing/main.cf", missing.stderr)

    def test_a_table_that_is_not_there(self):
        self.assertIn("/nonexistent/table", self.broken("smtpd_client_restrictions = check_client_access texthash:/nonexistent/table\n"))
        self.assertIn("/nonexistent/map", self.broken("transport_maps = texthash:/nonexistent/map\n"))

    def test_binary_garbage(self):
        server = self.server(start=False, downstream="[127.0.0.1]:9")
        with open(f"{server.directory}/main.cf", "ab") as f:
            f.write(b"\n\xff\xfe\x00\x01 garbage\n" + bytes(range(256)) * 40)
        self.assertRegex(self.refused(server), r"main\.cf:\d+: ")

    @needs_root
    def test_a_log_the_mail_owner_cannot_write(self):
        # The supervisor is root and opens it; the roles open it before they drop their rights.
        server = self.server(sink=self.sink(), start=False)
        server.write("maillog", "")
        os.chmod(f"{server.directory}/maillog", 0o600)
        server.start()
        probe(self, server)
        server.wait_log("removed")


def connect(port, timeout=20):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def read_reply(connection, collected=b""):
    """One reply of one or more lines; b"" at the end of the connection."""
    while not re.search(rb"^\d{3} .*\r\n", collected, re.M):
        data = connection.recv(65536)
        if not data:
            break
        collected += data
    return collected


def read_all(connection):
    """Everything until the server closes; a reset counts as the end."""
    out = b""
    try:
        while data := connection.recv(65536):
            out += data
    except ConnectionError:
        pass
    return out


def probe(test, server):
    """Another client is served."""
    with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
        test.assertEqual(s.sendmail("probe@example.org", "b@example.net", b"Subject: probe\r\n\r\nx\r\n"), {})


class HostileClient(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.addClassCleanup(cls.shared.doCleanups)
        cls.downstream = cls.shared.sink()
        cls.postern = cls.shared.server("""smtpd_timeout = 3s
smtpd_starttls_timeout = 3s
smtpd_recipient_limit = 10000
smtpd_recipient_overshoot_limit = 5
line_length_limit = 2048
message_size_limit = 3000000
""", sink=cls.downstream, tls=True, sasl=Server.SASLDB, users=["alice"])

    def runTest(self):
        """Lets setUpClass make one."""

    def setUp(self):
        self.pids = self.postern.roles()
        self.taken = len(self.downstream.messages())
        self.logged = len(self.postern.log())

    def tearDown(self):
        probe(self, self.postern)
        self.assertEqual(self.postern.roles(), self.pids, "a role has died")

    def wait_log(self, pattern, seconds=20):
        return wait_for(lambda: re.search(pattern, self.postern.log()[self.logged:], re.M), seconds, f"{pattern} in:\n{self.postern.log()[self.logged:][-2000:]}")

    def talk(self, *lines):
        c = connect(self.postern.plain)
        self.addCleanup(c.close)
        self.assertTrue(read_reply(c).startswith(b"220 "))
        for line in lines:
            c.sendall(line + b"\r\n")
            reply = read_reply(c)
            self.assertRegex(reply, rb"^[23]", f"{line}: {reply}")
        return c

    def test_a_stalling_client_is_dropped(self):
        for lines, state in (([], "CONNECT"), ([b"EHLO x"], "EHLO"), ([b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.net>", b"DATA"], "DATA")):
            with self.subTest(state):
                c = self.talk(*lines)
                if state == "DATA":
                    c.sendall(b"Subject: half\r\n")
                self.assertRegex(read_all(c), rb"^421 4\.4\.2 mx\.example\.com Error: timeout exceeded\r\n$")
                after = "DATA" if state == "DATA" else state
                self.wait_log(rf"timeout after {after}( \(\d+ bytes\))? from unknown\[127\.0\.0\.1\]$")

    def test_a_client_of_one_byte_at_a_time_has_no_more_time(self):
        c = self.talk()
        started = time.monotonic()
        try:
            while time.monotonic() < started + 60:
                c.sendall(b"N")
                time.sleep(0.2)
        except OSError:
            pass
        self.assertLess(time.monotonic() - started, 60, "the server waited for ever")

    def test_binary(self):
        c = self.talk()
        c.sendall(bytes(range(256)) * 400 + b"\r\n")
        c.settimeout(20)
        self.assertRegex(read_reply(c), rb"^(500|421|221) ")

    def test_lines_of_a_megabyte(self):
        # A line too long is answered and skipped; one that goes on and on is answered and hung up on.
        for line in (b"NOOP " + b"x" * 1_000_000, b"x" * 1_000_000, b"MAIL FROM:<" + b"a" * 1_000_000 + b"@example.org>"):
            c = self.talk(b"EHLO x")
            c.sendall(b"NOOP " + b"x" * 3000 + b"\r\n")
            self.assertEqual(read_reply(c), b"500 5.5.2 mx.example.com Error: command too long\r\n")
            c.sendall(line + b"\r\n")
            self.assertRegex(read_all(c), rb"^500 5\.5\.2 mx\.example\.com Error: command too long\r\n$")
            self.wait_log(r"warning: unknown\[127\.0\.0\.1\]: request longer than 4096; closing the connection")
        c = self.talk(b"EHLO x")
        # In a message they are content: long, and delivered in full (smtp_line_length_limit folds it).
        for line in (b"RSET", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.net>", b"DATA"):
            c.sendall(line + b"\r\n")
            self.assertRegex(read_reply(c), rb"^[23]")
        c.sendall(b"Subject: long line\r\n\r\n" + b"y" * 1_000_000 + b"\r\n.\r\n")
        self.assertRegex(read_reply(c), rb"^250 2\.0\.0 Ok: queued as ")
        message = wait_for(lambda: [m for m in self.downstream.messages() if b"Subject: long line" in m], what="the message")[0]
        self.assertEqual(message.split(b"\r\n\r\n", 1)[1].count(b"y"), 1_000_000)

    def test_a_header_without_end(self):
        c = self.talk(b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.net>", b"DATA")
        c.sendall(b"Subject: endless header\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\nbody\r\n.\r\n")
        self.assertRegex(read_reply(c), rb"^(250|552|550) ")

    def test_a_message_too_big(self):
        c = self.talk(b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.net>", b"DATA")
        c.sendall(b"Subject: big\r\n\r\n" + (b"z" * 70 + b"\r\n") * 60_000 + b".\r\n")
        self.assertRegex(read_reply(c), rb"^552 5\.3\.4 Error: message file too big\r\n")
        c.sendall(b"MAIL FROM:<a@example.org> SIZE=99999999\r\n")
        self.assertRegex(read_reply(c), rb"^552 5\.3\.4 Message size exceeds fixed limit\r\n")

    def test_ten_thousand_recipients(self):
        c = self.talk(b"EHLO x", b"MAIL FROM:<a@example.org>")
        replies = bytearray()

        def reader():
            while replies.count(b"\r\n") < 10_010:
                data = c.recv(65536)
                if not data:
                    return
                replies.extend(data)

        thread = threading.Thread(target=reader)
        thread.start()
        c.sendall(b"".join(b"RCPT TO:<r%d@example.net>\r\n" % n for n in range(10_010)))
        thread.join(60)
        lines = bytes(replies).split(b"\r\n")
        self.assertEqual(sum(line.startswith(b"250 2.1.5") for line in lines), 10_000)
        self.assertEqual(sum(line == b"452 4.5.3 Error: too many recipients" for line in lines), 10)
        c.sendall(b"DATA\r\n")
        self.assertRegex(read_reply(c), b"^354 ")
        c.sendall(b"Subject: ten thousand\r\n\r\nx\r\n.\r\n")
        id = re.search(rb"^250 2\.0\.0 Ok: queued as ([0-9A-F]+)", read_reply(c)).group(1).decode()
        self.wait_log(rf"{id}: removed", 60)
        found = {r for m in self.downstream.messages() if b"Subject: ten thousand" in m for r in re.findall(rb"X-Sink-Recipient: <(.*?)>", m)}
        self.assertEqual(len(found), 10_000)

    def test_a_browser(self):
        c = self.talk()
        c.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nHELO x\r\nMAIL FROM:<a@example.org>\r\n")
        self.assertRegex(read_all(c), rb"^221 2\.7\.0 Error: I can break rules, too\. Goodbye\.\r\n$")
        self.wait_log(r"warning: non-SMTP command from unknown\[127\.0\.0\.1\]: POST / HTTP/1\.1$")

    def test_a_tls_hello_on_the_plain_port(self):
        c = connect(self.postern.plain)
        self.addCleanup(c.close)
        read_reply(c)
        c.sendall(bytes.fromhex("16030100c5010000c10303") + os.urandom(190) + b"\r\n")
        # Nothing in the clear, which the client would take for a broken record.
        self.assertEqual(read_all(c), b"")
        self.wait_log(r"warning: unknown\[127\.0\.0\.1\] sent a TLS handshake where plaintext SMTP was expected; ")

    def test_plain_text_on_the_tls_port(self):
        c = connect(self.postern.submissions)
        self.addCleanup(c.close)
        c.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n")
        # An alert at most; never a reply in the clear.
        self.assertNotRegex(read_all(c), rb"^[2-5]\d\d")
        self.wait_log(r"postfix/submissions/smtpd\[\d+\]: SSL_accept error from unknown\[127\.0\.0\.1\]")

    def test_a_tls_client_that_says_nothing(self):
        c = connect(self.postern.submissions)
        self.addCleanup(c.close)
        self.assertNotRegex(read_all(c), rb"^[2-5]\d\d")
        self.wait_log(r"SSL_accept error from unknown\[127\.0\.0\.1\]: (Connection timed out|-1|lost connection)")

    def test_garbage_after_starttls(self):
        with connect(self.postern.submission) as c:
            read_reply(c)
            c.sendall(b"EHLO x\r\n")
            read_reply(c)
            c.sendall(b"STARTTLS\r\nMAIL FROM:<smuggled@example.org>\r\n")
            self.assertRegex(read_reply(c), rb"^220 2\.0\.0 Ready to start TLS\r\n$")
            c.sendall(os.urandom(5000))
            self.assertNotRegex(read_all(c), rb"^[2-5]\d\d")
        self.wait_log(r"SSL_accept error from unknown\[127\.0\.0\.1\]")
        self.assertNotIn("smuggled", self.postern.log()[self.logged:])

    def test_half_a_message_then_gone(self):
        for ending in ("close", "reset"):
            with self.subTest(ending):
                c = self.talk(b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<half@example.net>", b"DATA")
                c.sendall(b"Subject: half\r\n\r\n" + b"h" * 70_000)
                if ending == "reset":
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                c.close()
                self.wait_log(r"lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]$")
        self.assertFalse(any(b"half@example.net" in m for m in self.downstream.messages()))
        wait_for(lambda: os.listdir(f"{self.postern.directory}/spool/content") == [], 10, "no content left behind")

    def test_a_hundred_idle_connections(self):
        idle = [connect(self.postern.plain) for _ in range(100)]
        for c in idle:
            self.addCleanup(c.close)
        self.assertTrue(all(read_reply(c).startswith(b"220 ") for c in idle))
        probe(self, self.postern)
        for c in idle:
            self.assertRegex(read_all(c), rb"^421 4\.4\.2 ")

    def test_a_flood_of_errors_ends_the_session(self):
        c = self.talk(b"EHLO x")
        try:
            c.sendall(b"FOO\r\n" * 50_000)
        except ConnectionError:
            pass
        answers = read_all(c)
        self.assertRegex(answers, rb"^500 5\.5\.2 Error: command not recognized\r\n")
        self.assertLess(answers.count(b"\r\n"), 30)
        self.wait_log(r"too many errors after UNKNOWN from unknown\[127\.0\.0\.1\]$")

    def test_a_flood_of_commands_without_reading(self):
        c = self.talk(b"EHLO x")
        c.settimeout(30)
        sent = 0
        try:
            for _ in range(2000):
                c.sendall(b"EHLO x\r\n" * 1000)
                sent += 1
        except OSError:
            pass  # The server has had enough: of us not reading, or of the time it took.
        probe(self, self.postern)
        with open(f"/proc/{self.pids['smtpd']}/status") as f:
            resident = int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))
        self.assertLess(resident, 400_000, f"memory after {sent} bursts")

    def test_a_flood_of_connections(self):
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                try:
                    connect(self.postern.plain).close()
                except OSError:
                    pass

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(5):
                probe(self, self.postern)
        finally:
            stop.set()
            for t in threads:
                t.join(30)


if __name__ == "__main__":
    unittest.main()
