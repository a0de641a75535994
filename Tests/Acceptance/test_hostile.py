"""Attacks that have names: injection around STARTTLS, pipelining across changes of state, slow clients by the thousand, floods."""

import contextlib
import multiprocessing
import os
import re
import resource
import select
import ssl
import time
import unittest

from postern import Case, Server, free_port, wait_for
from receivers import GULLIBLE, Receiver
from test_badinput import connect, probe, read_all, read_reply

# 1,000 in `make test`; the soak runs 10,000 with POSTERN_SLOW_CLIENTS=10000, for a minute.
SLOW_CLIENTS = int(os.environ.get("POSTERN_SLOW_CLIENTS", "1000"))
SLOW_SECONDS = int(os.environ.get("POSTERN_SLOW_SECONDS", "8"))


class Addresses(Case):
    """Nothing in an address becomes a command at the downstream. (Content that wants to end early is test_smuggling's.)"""

    @classmethod
    def setUpClass(cls):
        cls.downstream = Receiver(GULLIBLE)
        cls.addClassCleanup(cls.downstream.stop)
        server = Server("smtpd_timeout = 20s\n", downstream=f"[127.0.0.1]:{cls.downstream.port}")
        cls.addClassCleanup(server.remove)
        cls.postern = server.start()

    def settled(self, count):
        wait_for(lambda: len(self.downstream.messages) >= count and not self.postern.queue_list(), 60, f"{count} messages at the downstream")

    def test_nothing_in_an_address_ends_a_command(self):
        """What travels in MAIL and RCPT to the next hop stays one address."""
        c = connect(self.postern.plain)
        self.addCleanup(c.close)
        read_reply(c)
        c.sendall(b"EHLO x\r\n")
        read_reply(c)
        before, taken = len(self.downstream.messages), 0
        for address in (
            rb'<a@b.example\>\ SIZE=1>', rb'<"a\>b"@b.example>', rb'<"a> SIZE=1 <"@b.example>', b'<"a\rRSET"@b.example>', b'<"a\0"@b.example>',
            rb'<"\"> X <\""@b.example>', rb'<a\"@b.example>', rb'<a@[127.0.0.1> X]>', b"<a\x0bb@b.example>", rb'<"a\\"@b.example>',
        ):
            c.sendall(b"RSET\r\n")
            read_reply(c)
            c.sendall(b"MAIL FROM:" + address + b"\r\n")
            reply = read_reply(c)
            if not reply.startswith(b"250"):
                self.assertRegex(reply, rb"^(501|555|553) ")
                continue
            c.sendall(b"RCPT TO:<b@example.net>\r\n")
            read_reply(c)
            c.sendall(b"DATA\r\n")
            read_reply(c)
            c.sendall(b"Subject: address\r\n\r\nx\r\n.\r\n")
            taken += read_reply(c).startswith(b"250 2.0.0")
        self.settled(before + taken)
        for sender, _, _ in self.downstream.messages[before:]:
            # One quoted or plain path, then only parameters that we add ourselves.
            self.assertRegex(sender, rb'^MAIL FROM:<(?:[^<>@" ]+|"(?:[^"\\\r\n]|\\.)*")@b\.example>(?: SIZE=\d+)?(?: BODY=\w+)?$')


class Injection(Case):
    """What an attacker on the wire says in plaintext never counts inside TLS; what is sent early never crosses a change of state."""

    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.addClassCleanup(cls.shared.doCleanups)
        cls.strict, cls.lax = free_port(), free_port()
        cls.sinkhole = cls.shared.sink()
        services = "".join(
            f"127.0.0.1:{port} inet n - n - - smtpd\n -o smtpd_forbid_unauth_pipelining={value}\n -o smtpd_sasl_auth_enable=yes\n"
            for port, value in ((cls.strict, "yes"), (cls.lax, "no")))
        cls.postern = cls.shared.server(
            "smtpd_timeout = 10s\nsmtpd_error_sleep_time = 0\n", "127.0.0.1:@PLAIN@ inet n - n - - smtpd\n" + services,
            sink=cls.sinkhole, tls=True, sasl=Server.SASLDB, users=["alice"])
        cls.context = ssl.create_default_context()
        cls.context.check_hostname = False
        cls.context.verify_mode = ssl.CERT_NONE

    def runTest(self):
        """Lets setUpClass make one."""

    def greeted(self, port):
        c = connect(port)
        self.addCleanup(c.close)
        read_reply(c)
        c.sendall(b"EHLO x\r\n")
        read_reply(c)
        return c

    def ask(self, c, line):
        c.sendall(line + b"\r\n")
        return read_reply(c)

    def test_plaintext_commands_do_not_cross_starttls(self):
        injections = (
            b"EHLO injected\r\n", b"MAIL FROM:<injected@evil.example>\r\n", b"MAIL FROM:<inj", b"RSET\r\nNOOP\r\n" * 100, b"\r\n", b"\0" * 100,
            b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\n", b"EHLO injected\r\n" * 10_000,
        )
        for port in (self.strict, self.lax):
            for injection in injections:
                with self.subTest(strict=port == self.strict, injection=injection[:20]):
                    plain = self.greeted(port)
                    self.assertRegex(self.ask(plain, b"MAIL FROM:<early@example.org>"), rb"^250 ")
                    plain.sendall(b"STARTTLS\r\n" + injection)
                    self.assertRegex(read_reply(plain), rb"^220 2\.0\.0 Ready to start TLS\r\n$")
                    # A long injection may reach the server behind the 220: then it is no handshake, and there is no session either.
                    try:
                        c = self.context.wrap_socket(plain)
                    except OSError:
                        self.assertGreater(len(injection), 60_000)
                        continue
                    self.addCleanup(c.close)
                    # Nothing waits there, and nothing has been kept: not the injected, not our own from before.
                    c.settimeout(0.1)
                    with self.assertRaises(TimeoutError):
                        c.recv(1)
                    c.settimeout(20)
                    self.assertRegex(self.ask(c, b"RCPT TO:<b@example.net>"), rb"^503 5\.5\.1 Error: need MAIL command")
                    self.assertRegex(self.ask(c, b"EHLO real"), rb"^250-")
                    self.assertRegex(self.ask(c, b"MAIL FROM:<real@example.org>"), rb"^250 ")
                    self.assertRegex(self.ask(c, b"QUIT"), rb"^221 ")
        self.assertNotIn("injected", self.postern.log())

    def test_plaintext_replies_stay_in_plaintext(self):
        """All that was answered before the handshake left before it: a client cannot take a plaintext reply for one from inside."""
        plain = self.greeted(self.lax)
        plain.sendall(b"NOOP\r\nNOOP\r\nSTARTTLS\r\n")
        collected = b""
        while b"220 2.0.0" not in collected:
            collected += plain.recv(1000)
        self.assertRegex(collected, rb"^(250 2\.0\.0 Ok\r\n){2}220 2\.0\.0 Ready to start TLS\r\n$")
        c = self.context.wrap_socket(plain)
        self.addCleanup(c.close)
        self.assertRegex(self.ask(c, b"NOOP"), rb"^250 2\.0\.0 Ok\r\n$")

    # Sent in one flight, and whether a server that forbids improper pipelining goes on (RFC 2920 section 3.1 names the last of a group).
    FLIGHTS = (
        (b"HELO x\r\nMAIL FROM:<a@example.org>\r\n", False, 2),
        (b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n", False, 2),
        (b"NOOP\r\nMAIL FROM:<a@example.org>\r\n", False, 2),
        (b"VRFY a@example.net\r\nMAIL FROM:<a@example.org>\r\n", False, 2),
        (b"RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n", True, 4),
        (b"AUTH PLAIN AGFsaWNlAHdyb25n\r\nMAIL FROM:<a@example.org>\r\n", True, 2),
        (b"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\nMAIL FROM:<a@example.org>\r\nRSET\r\n", True, 3),
        (b"AUTH LOGIN\r\nYWxpY2U=\r\nd29uZGVybGFuZA==\r\nRSET\r\n", True, 4),
        (b"AUTH LOGIN\r\n*\r\nRSET\r\n", True, 3),
        (b"FOO\r\nBAR\r\nRSET\r\n", True, 3),
        (b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nSubject: early\r\n\r\nx\r\n.\r\nRSET\r\n", False, 5),
        (b"QUIT\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n", True, 1),
    )

    def test_flights_across_every_change_of_state(self):
        for strict in (True, False):
            for flight, is_proper, count in self.FLIGHTS:
                with self.subTest(strict=strict, flight=flight[:40]):
                    c = self.greeted(self.strict if strict else self.lax)
                    c.sendall(flight)
                    if strict and not is_proper:
                        replies = read_all(c)
                        self.assertRegex(replies, rb"554 5\.5\.0 Error: SMTP protocol synchronization\r\n$")
                        self.assertNotIn(b"queued as", replies)
                        self.assertLessEqual(len(re.findall(rb"^\d{3} ", replies, re.M)), count)
                        continue
                    replies = b""
                    while len(re.findall(rb"^\d{3} ", replies, re.M)) < count:
                        data = c.recv(65536)
                        self.assertTrue(data, f"{replies} of {count}")
                        replies += data
                    # One each, in order, and none more.
                    self.assertEqual(len(re.findall(rb"^\d{3} ", replies, re.M)), count, replies)
                    if not flight.startswith(b"QUIT"):
                        c.sendall(b".\r\n" if flight.endswith(b"DATA\r\n") else b"VRFY a@example.net\r\n")
                        self.assertRegex(read_reply(c), rb"^25[02] ")
        self.assertEqual(sum(b"Subject: early" in m for m in self.sinkhole.wait(3)), 1)

    def test_early_talkers(self):
        for strict in (True, False):
            with self.subTest(strict=strict):
                for _ in range(5):
                    c = connect(self.strict if strict else self.lax)
                    self.addCleanup(c.close)
                    c.sendall(b"EHLO early\r\nMAIL FROM:<a@example.org>\r\n")
                    # The server may have greeted before the bytes came; then EHLO has company, which is as wrong.
                    replies = read_all(c) if strict else read_reply(c)
                    self.assertRegex(replies, rb"554 5\.5\.0 Error: SMTP protocol synchronization\r\n$" if strict else rb"^220 ")


class Chunks(Case):
    """Chunks that promise more than they hold, and more than anybody can."""

    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.addClassCleanup(cls.shared.doCleanups)
        cls.postern = cls.shared.server(
            "smtpd_timeout = 3s\nmessage_size_limit = 1000000\nsmtpd_error_sleep_time = 0\n"
            "smtpd_per_request_deadline = yes\nsmtpd_min_data_rate = 10000\n", sink=cls.shared.sink())

    def runTest(self):
        """Lets setUpClass make one."""

    def begin(self):
        c = connect(self.postern.plain)
        self.addCleanup(c.close)
        read_reply(c)
        for line in (b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.net>"):
            c.sendall(line + b"\r\n")
            self.assertRegex(read_reply(c), rb"^250")
        return c

    def memory(self):
        with open(f"/proc/{self.postern.roles()['smtpd']}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))

    def test_a_chunk_that_never_comes(self):
        clients = []
        for size, text in ((3, b""), (900_000, b"Subject: x\r\n\r\nx"), (2 ** 63 - 1, b"x")):
            for last in (b"", b" LAST"):
                c = self.begin()
                c.sendall(b"BDAT %d%s\r\n" % (size, last) + text)
                clients.append(c)
        for c in clients:
            self.assertEqual(read_all(c), b"421 4.4.2 mx.example.com Error: timeout exceeded\r\n")
        # What is too big is refused before a byte of it is kept.
        for text in ("(0 bytes) ", "(15 bytes) ", ""):
            wait_for(lambda: self.postern.log().count(f"timeout after BDAT {text}from unknown[127.0.0.1]") == 2, 20, text)

    def test_a_chunk_slower_than_the_rate(self):
        c = self.begin()
        c.sendall(b"BDAT 100000 LAST\r\n")
        started, sent = time.monotonic(), 0
        with contextlib.suppress(OSError):
            while time.monotonic() < started + 60:
                c.sendall(b"x" * 100)
                sent += 100
                time.sleep(0.05)
        self.assertLess(sent, 100_000, "2,000 bytes a second, where 10,000 are wanted")

    def test_memory(self):
        """Content beyond the limit is read and dropped, however much was announced, and the answer is the refusal."""
        before = self.memory()
        block = b"x" * 998 + b"\r\n"
        for size, last in ((100_000_000, b" LAST"), (100_000_000, b""), (2 ** 63 - 1, b" LAST")):
            with self.subTest(size=size, last=last):
                c = self.begin()
                c.sendall(b"BDAT %d%s\r\n" % (size, last))
                for _ in range(100):
                    c.sendall(block * 1000)
                if size > 2 ** 62:
                    c.close()
                else:
                    self.assertEqual(read_reply(c), b"552 5.3.4 Chunk exceeds message size limit\r\n")
                    c.sendall(b"BDAT 6 LAST\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\nQUIT\r\n")
                    # After a refused LAST these are chunks without a transaction; after a refused chunk the first one is its end.
                    self.assertEqual(re.findall(rb"^\d+", read_all(c), re.M), [b"503", b"503", b"250", b"221"] if last else [b"551", b"503", b"250", b"221"])
                self.assertLess(self.memory() - before, 60_000)
        probe(self, self.postern)

    def test_many_half_chunks(self):
        """A hundred clients in the middle of a chunk: what they have sent is bounded, and the others are served."""
        clients = [self.begin() for _ in range(45)]
        for c in clients:
            c.sendall(b"BDAT 900000\r\n" + b"Subject: x\r\n\r\n" + b"y" * 200_000)
        probe(self, self.postern)
        for c in clients:
            c.close()


class Crowds(Case):
    """Many at once; everyone else is served."""

    def slow_server(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = SLOW_CLIENTS + 500
        if hard < wanted:
            self.skipTest(f"RLIMIT_NOFILE is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        sink = self.sink()
        server = self.server("smtpd_client_connection_count_limit = 0\nsmtpd_timeout = 300s\nsmtpd_error_sleep_time = 0\n", sink=sink, tls=True)
        return server, sink

    def test_slow_clients_and_one_in_a_hurry(self):
        """Each sends one byte a second, half of them of a command, half of a message. Meanwhile a client in a hurry is served as before they came,
        and in the end each slow one has its reply."""
        server, sink = self.slow_server()
        alone = self.hurry(server.plain, 300)
        slow = []
        self.addCleanup(lambda: [c.close() for c in slow])
        for _ in range(SLOW_CLIENTS):
            slow.append(connect(server.plain, timeout=60))
        for c in slow:
            self.assertTrue(read_reply(c).startswith(b"220 "))
        writers = slow[::2]
        for line in (b"EHLO slow", b"MAIL FROM:<slow@example.org>", b"RCPT TO:<b@example.net>", b"DATA"):
            for c in writers:
                c.sendall(line + b"\r\n")
            for c in writers:
                self.assertRegex(read_reply(c), rb"^[23]")
        length = max(6, SLOW_SECONDS)
        command, content = b"NOOP".ljust(length - 2) + b"\r\n", b"x" * (length - 5) + b"\r\n.\r\n"
        # In a process of its own: in this one it would wait for the thread that serves all the others.
        process = multiprocessing.get_context("fork")
        done, (result, sender) = process.Event(), process.Pipe(False)
        child = process.Process(target=lambda: sender.send(self.hurry(server.plain, 100, done)))
        child.start()
        for second in range(length):
            started = time.monotonic()
            for index, c in enumerate(slow):
                c.send((command if index % 2 else content)[second:second + 1])
            if second + 1 < length:
                time.sleep(max(0, started + 1 - time.monotonic()))
        done.set()
        self.assertTrue(result.poll(60), "the client in a hurry was not served")
        times = result.recv()
        child.join()
        for index, c in enumerate(slow):
            self.assertRegex(read_reply(c), rb"^250 2\.0\.0 Ok\r\n$" if index % 2 else rb"^250 2\.0\.0 Ok: queued as")
        sink.wait(len(alone) + len(times) + len(writers), 120)
        print(f"{SLOW_CLIENTS} slow clients for {length} s: alone {self.figures(alone)}, with them {self.figures(times)}", flush=True)

    def hurry(self, port, least, done=None):
        """The seconds that each message takes, of at least so many, until `done`."""
        times = []
        with connect(port, timeout=60) as c:
            read_reply(c)
            c.sendall(b"EHLO hurry\r\n")
            read_reply(c)
            while len(times) < least or (done and not done.is_set()):
                started, replies = time.monotonic(), b""
                c.sendall(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
                while not re.search(rb"^354 .*\r\n", replies, re.M):
                    data = c.recv(65536)
                    self.assertTrue(data, replies)
                    replies += data
                c.sendall(b"Subject: hurry\r\n\r\nx\r\n.\r\n")
                self.assertRegex(read_reply(c), rb"^250 2\.0\.0 Ok: queued as")
                times.append(time.monotonic() - started)
        return times

    @staticmethod
    def figures(times):
        ordered = sorted(times)
        return (f"{len(times) / sum(times):.0f} messages/s (median {ordered[len(times) // 2] * 1000:.1f} ms, "
                f"slowest {ordered[-1] * 1000:.0f} ms)")

    def test_slow_handshakes_and_one_in_a_hurry(self):
        """A ClientHello a byte at a time, by many, on a STARTTLS service."""
        server, _ = self.slow_server()
        count = min(SLOW_CLIENTS, 1000) // 5
        hello = bytes.fromhex("16030100c5010000c10303") + os.urandom(190)
        slow = []
        self.addCleanup(lambda: [c.close() for c in slow])
        for _ in range(count):
            c = connect(server.plain)
            slow.append(c)
        for line in (None, b"EHLO x\r\n", b"STARTTLS\r\n"):
            for c in slow:
                if line:
                    c.sendall(line)
            for c in slow:
                self.assertRegex(read_reply(c), rb"^2")
        for byte in hello[:20]:
            for c in slow:
                c.send(bytes([byte]))
        for _ in range(3):
            probe(self, server)
        # Cut off in the middle of it, at once: nobody else notices.
        for c in slow:
            c.close()
        server.wait_log("lost connection after STARTTLS")
        probe(self, server)

    def test_floods(self):
        """Each flood ends in a refusal or a closed connection, and the memory of the process stays bounded."""
        server, _ = self.slow_server()
        floods = {
            "message ids": (b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n", b"Message-Id:x\r\n" * 20_000 + b"\r\n.\r\n"),
            "headers": (b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n", b"X:\r\n" * 60_000 + b"\r\n.\r\n"),
            "received": (b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n", b"Received: x\r\n" * 20_000 + b"\r\n.\r\n"),
            "noop": (b"EHLO x\r\n", b"RSET\r\n" * 5_000),
            "auth": (b"EHLO x\r\n", b"AUTH PLAIN AAAA\r\n" * 5_000),
            "wrong recipients": (b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<@>\r\n" * 5_000),
            "parameters": (b"EHLO x\r\n", (b"MAIL FROM:<a@example.org>" + b" SIZE=1" * 280 + b"\r\n") * 200),
            "nul": (b"EHLO x\r\n", b"\0" * 300_000),
        }
        for name, (*lines, flood) in floods.items():
            with self.subTest(name):
                logged = len(server.log())
                c = connect(server.plain, timeout=60)
                self.addCleanup(c.close)
                read_reply(c)
                for line in lines:
                    c.sendall(line)
                    self.assertRegex(read_reply(c), rb"^[23]")
                c.settimeout(2)
                with contextlib.suppress(OSError):
                    for start in range(0, len(flood), 1 << 16):
                        c.sendall(flood[start:start + (1 << 16)])
                        while select.select([c], [], [], 0)[0] and c.recv(65536):
                            pass
                c.close()
                probe(self, server)
                time.sleep(0.1)  # Lines gather for a moment before they are written.
                self.assertLess(len(server.log()) - logged, 200_000, "the log grows with the flood")
                with open(f"/proc/{server.roles()['smtpd']}/status") as f:
                    self.assertLess(int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)), 300_000)


if __name__ == "__main__":
    unittest.main()
