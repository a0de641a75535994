"""What peers say about themselves, with line ends and control characters in it: it forges no line of the log, of a trace header or of mailq."""

import base64
import contextlib
import re
import socket
import ssl
import subprocess
import threading
import unittest

from postern import BINARY, Case, Server, free_port, needs, wait_for
from test_badinput import connect, read_reply

FORGED = "Nov 21 02:16:00 mx postfix/smtpd[1]: FORGED: connect from nobody"
NASTY = {
    "CRLF": f"\r\n{FORGED}\r\n", "LF": f"\n{FORGED}\n", "CR": f"\r{FORGED}\r", "NUL": f"\0\n{FORGED}", "ESC": "\x1b]0;title\x07\x1b[2J\x1b[31m",
    "C1": "\u009b31m\u0085\u0090", "separators": f"\u2028{FORGED}\u2029", "direction": "\u202e\u2066\u200f", "DEL": "\x7f\x08\x08\x08",
    "comment": ")\\(", "bytes": "\udcff\udcfe\udc85", "long": "y" * 1900,
}
LINE = re.compile(r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d mx postfix(?:/\w+)?/[\w-]+\[\d+\]: .{1,2100}")
DISRUPTIVE = re.compile("[\0-\x09\x0b-\x1f\x7f\x80-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")


def raw(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def xtext(text):
    return b"".join(b"%c" % b if 0x21 <= b <= 0x7E and b not in b"+=" else b"+%02X" % b for b in raw(text))


class TalkativeNextHop:
    """Says `text` in the reply that `moment` names."""

    MOMENTS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "end")

    def __init__(self):
        self.moment, self.text = "", b""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            def reply(moment, good):
                connection.sendall(b"550 5.7.1 no " + self.text + b"\r\n" if moment == self.moment else good)
                return moment != self.moment

            reply("greeting", b"220 hop ESMTP\r\n")
            for line in lines:
                verb = line[:4].decode("latin-1").upper()
                if verb == "QUIT":
                    return
                if verb == "DATA":
                    if reply("DATA", b"354 go\r\n"):
                        for content in lines:
                            if content == b".\r\n":
                                break
                        reply("end", b"250 queued\r\n")
                else:
                    reply(verb, b"250 ok\r\n")


class Forging(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls()
        cls.addClassCleanup(cls.shared.doCleanups)
        cls.sinkhole = cls.shared.sink()
        cls.hop = TalkativeNextHop()
        cls.addClassCleanup(cls.hop.listener.close)
        cls.asking = free_port()
        cls.postern = cls.shared.server(
            "smtpd_sasl_auth_enable = yes\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_authorized_xforward_hosts = 127.0.0.0/8\n"
            "smtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000\nsmtpd_junk_command_limit = 1000\nsmtpd_forbid_unauth_pipelining = no\n"
            "smtpd_tls_received_header = yes\nsmtpd_tls_loglevel = 1\nsmtpd_sasl_authenticated_header = yes\nsmtp_helo_timeout = 5s\n"
            "smtpd_reject_unlisted_recipient = no\nsmtpd_client_connection_count_limit = 0\n"
            f"transport_maps = inline:{{ {{ hop.example = smtp:[127.0.0.1]:{cls.hop.port} }} }}\n",
            f"127.0.0.1:@PLAIN@ inet n - n - - smtpd\n127.0.0.1:{cls.asking} inet n - n - - smtpd -o smtpd_tls_ask_ccert=yes\n",
            sink=cls.sinkhole, tls=True, sasl=Server.SASLDB, users=["alice"])

    def runTest(self):
        """Lets setUpClass make one."""

    def say(self, c, *lines):
        for line in lines:
            c.sendall(line + b"\r\n")
            reply = read_reply(c)
            self.assertNotRegex(reply, rb"[\0-\x09\x0b-\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n", line)

    def tearDown(self):
        """The log, the queue's list and every message that has arrived."""
        self.postern.wait_log("connect from")
        wait_for(lambda: not [m for m in self.postern.queue_list() if m["queue_name"] == "active"], 30, "the end of deliveries")
        with open(f"{self.postern.directory}/maillog", "rb") as f:
            log = f.read().decode("utf-8")
        self.assertIsNone(DISRUPTIVE.search(log), "the log drives the terminal")
        for line in log.split("\n")[:-1]:
            self.assertRegex(line, rf"\A{LINE.pattern}\Z")
        listing = subprocess.run(
            [BINARY, "queue", "list", "-c", self.postern.directory], capture_output=True, check=True, timeout=60).stdout.decode()
        self.assertIsNone(DISRUPTIVE.search(listing), listing)
        for message in self.sinkhole.messages():
            for line in re.split(rb"[\r\n]", message):
                self.assertNotRegex(line, rb"^Nov 21|^FORGED")

    def test_envelope_and_greeting(self):
        for name, text in NASTY.items():
            c = connect(self.postern.plain)
            self.addCleanup(c.close)
            read_reply(c)
            text = raw(text).replace(b"\n", b"")
            # A name, an address, parameters, verbs; whatever the answers are, a message follows.
            self.say(c, b"EHLO x" + text)
            self.say(c, b"HELO " + text, b"X" + text, b"VRFY " + text, b"ETRN " + text, b"AUTH " + text, b"NOOP " + text)
            self.say(c, b"EHLO a" + text[:200] + b"b", b"MAIL FROM:<" + text + b"@b.example>", b'MAIL FROM:<"' + text + b'"@b.example>')
            self.say(c, b"MAIL FROM:<a@" + text + b"> SMTPUTF8", b"MAIL FROM:<a@b.example> ENVID=" + xtext(text[:30]) + b" RET=" + text)
            self.say(c, b"RSET", b"MAIL FROM:<a" + text[:100] + b"@b.example> SMTPUTF8")
            self.say(c, b"RSET", b"MAIL FROM:<a@b.example> ENVID=" + xtext(text[:30]))
            self.say(c, b"MAIL FROM:<a@b.example> X=" + text, b"MAIL FROM:<a@b.example>", b"RCPT TO:<a@b.example> X=" + text)
            self.say(c, b"RCPT TO:<" + text + b"@b.example>", b"RCPT TO:<a@" + text + b">", b"RCPT TO:<a@b.example> ORCPT=rfc822;" + xtext(text))
            self.say(c, b"RCPT TO:<a@b.example>", b"DATA")
            c.sendall(b"Subject: " + text + b"\r\nMessage-Id: <" + text + b">\r\nFrom: " + text + b" <a@b.example>\r\nTo: " + text + b"\r\n\r\nx\r\n.\r\n")
            self.assertRegex(read_reply(c), rb"^250", name)

    def test_logins(self):
        for name, text in NASTY.items():
            c = connect(self.postern.plain)
            self.addCleanup(c.close)
            read_reply(c)
            self.say(c, b"EHLO x", b"AUTH PLAIN " + base64.b64encode(b"\0" + raw(text)[:900] + b"\0wrong"))
            self.say(c, b"AUTH LOGIN", base64.b64encode(raw(text)[:900]), base64.b64encode(raw(text)[:900]))

    def test_attributes_of_proxies_and_filters(self):
        for name, text in NASTY.items():
            c = connect(self.postern.plain)
            self.addCleanup(c.close)
            read_reply(c)
            value = xtext(text)[:240].rstrip(b"+0123456789ABCDEF") or b"x"
            for verb, names in ((b"XFORWARD", (b"NAME", b"HELO", b"IDENT", b"PROTO", b"ADDR", b"SOURCE")), (b"XCLIENT", (b"NAME", b"HELO", b"LOGIN", b"REVERSE_NAME"))):
                for attribute in names:
                    self.say(c, b"EHLO x", verb + b" " + attribute + b"=" + value)
                    self.say(c, verb + b" " + attribute + b"=" + raw(text).replace(b"\n", b"").replace(b" ", b"_"))
                # The last ones taken are in force.
                self.say(c, b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA", b"Subject: x\r\n\r\nx\r\n.")

    def test_replies_of_the_next_hop(self):
        for name, text in NASTY.items():
            for moment in TalkativeNextHop.MOMENTS if name in ("CRLF", "ESC", "long") else ("RCPT",):
                self.hop.moment, self.hop.text = moment, raw(text).replace(b"\r\n", b"\r\r\n")
                if "\n" in text:
                    # A reply of several lines, as far as it goes.
                    self.hop.text = raw(text).replace(b"\n", b" \r")
                logged = self.postern.log().count("hop.example>, relay=")
                c = connect(self.postern.plain)
                read_reply(c)
                # It bounces, to the sink, and what was said stands in the report.
                self.say(c, b"EHLO x", b"MAIL FROM:<bounce@b.example>", b"RCPT TO:<c@hop.example> ORCPT=rfc822;a" + xtext(text[:40]))
                self.say(c, b"RCPT TO:<c@hop.example>", b"DATA", b"Subject: x\r\n\r\nx\r\n.")
                c.close()
                wait_for(lambda: self.postern.log().count("hop.example>, relay=") > logged, 20, f"{name} at {moment}")

    @needs("openssl")
    def test_certificates_and_server_names(self):
        for name in ("ESC", "C1", "direction", "comment", "LF"):
            common = NASTY[name].replace("/", "_")
            key, certificate = f"{self.postern.directory}/client-key.pem", f"{self.postern.directory}/client.pem"
            with open(f"{self.postern.directory}/req.cnf", "w") as f:
                f.write("[req]\ndistinguished_name = dn\nprompt = no\nutf8 = yes\nstring_mask = utf8only\n[dn]\nCN = x\n")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-utf8",
                 "-config", f"{self.postern.directory}/req.cnf", "-subj", f"/CN={common.replace(chr(92), chr(92) * 2)[:60]}"], check=True, capture_output=True, timeout=60)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(certificate, key)
            c = connect(self.asking)
            read_reply(c)
            self.say(c, b"EHLO x", b"STARTTLS")
            with context.wrap_socket(c, server_hostname="a.example") as inner:
                self.say(inner, b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA")
                inner.sendall(b"Subject: certificate\r\n\r\nx\r\n.\r\n")
                self.assertRegex(read_reply(inner), rb"^250")
        arrived = wait_for(lambda: [m for m in self.sinkhole.messages() if b"Subject: certificate" in m], what="the messages")
        for message in arrived:
            self.assertRegex(message, rb'\(Client CN "[ -~]*", Issuer "[ -~]*" \(not verified\)\)')


if __name__ == "__main__":
    unittest.main()
