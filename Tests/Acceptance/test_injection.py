"""A next hop, or somebody on the wire to it, says more than it was asked: nothing said in the clear counts inside TLS, no reply is taken for another's."""

import base64
import contextlib
import difflib
import itertools
import os
import re
import smtplib
import socket
import ssl
import threading
import unittest

from downstream import Postfix
from postern import Case, Server, free_port, have, run, wait_for
from test_badinput import connect, read_all, read_reply


class TLSNextHop:
    """Sends `injected` behind its 220 for STARTTLS (in one packet with it, or `later`) and records what it is told, inside TLS and outside."""

    def __init__(self, directory):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{directory}/cert.pem", f"{directory}/key.pem")
        self.injected, self.later = b"", False
        self.clear, self.inside, self.messages = [], [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError, EOFError), connection:
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 outside ESMTP\r\n")
            # Byte by byte: what follows STARTTLS belongs to the handshake.
            while self.line(connection, self.clear) != b"STARTTLS":
                connection.sendall(b"250-outside\r\n250-STARTTLS\r\n250 SIZE 1000\r\n")
            if self.later:
                connection.sendall(b"220 go\r\n")
                connection.sendall(self.injected)
            else:
                connection.sendall(b"220 go\r\n" + self.injected)
            with self.context.wrap_socket(connection, server_side=True) as inner:
                while (command := self.line(inner, self.inside)) != b"QUIT":
                    if command.startswith(b"EHLO"):
                        inner.sendall(b"250-inside\r\n250 8BITMIME\r\n")
                    elif command == b"DATA":
                        inner.sendall(b"354 go\r\n")
                        content = b""
                        while not content.endswith(b"\r\n.\r\n"):
                            content += (data := inner.recv(65536))
                            if not data:
                                return
                        self.messages.append(content)
                        # One connection for each message.
                        inner.sendall(b"250 queued\r\n")
                        return
                    else:
                        inner.sendall(b"250 ok\r\n")

    @staticmethod
    def line(connection, record):
        collected = b""
        while not collected.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                raise EOFError
            collected += byte
        record.append(collected.rstrip(b"\r\n"))
        return record[-1]


REPLIES = {
    "an EHLO reply": b"250-evil\r\n250-AUTH PLAIN LOGIN\r\n250-PIPELINING\r\n250 SIZE 5000\r\n",
    "half a reply": b"250-evil\r\n250-AUTH PLAIN",
    "a whole session": b"250-evil\r\n250 AUTH PLAIN\r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued as EVIL\r\n221 bye\r\n",
    "a refusal": b"554 5.7.1 go away\r\n",
    "no reply at all": b"hello there\r\n",
    "one byte": b"2",
}


class ReplyInjection(Case):
    def test_what_stands_behind_the_220_of_starttls(self):
        server = self.server("""smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:bob:looking-glass
smtp_sasl_security_options =
smtp_tls_loglevel = 1
minimal_backoff_time = 5s
queue_run_delay = 5s
smtp_starttls_timeout = 5s
smtp_helo_timeout = 5s
smtp_connection_cache_destinations =
""", tls=True, downstream="[127.0.0.1]:9", start=False)
        hop = TLSNextHop(server.directory)
        self.addCleanup(hop.listener.close)
        server.write("main.cf", server.read("main.cf") + f"smtp_tls_security_level = encrypt\nrelayhost = [127.0.0.1]:{hop.port}\n")
        server.start()
        for later in (False, True):
            for name, injected in REPLIES.items():
                with self.subTest(name, later=later):
                    hop.injected, hop.later = injected, later
                    del hop.inside[:], hop.messages[:], hop.clear[:]
                    before = len(server.log())
                    with smtplib.SMTP("127.0.0.1", server.plain, timeout=20) as client:
                        client.sendmail("a@example.org", "b@example.net", b"Subject: x\r\n\r\nx\r\n")
                    # It is delivered as if nothing had been said, or the connection is given up and the mail waits; never anything else.
                    wait_for(lambda: hop.messages or "status=deferred" in server.log()[before:], 30, "an outcome")
                    for command in hop.clear + hop.inside:
                        self.assertNotIn(b"AUTH", command, "the password for a mechanism that nobody inside has offered")
                        self.assertNotIn(b"SIZE", command, "an extension of the other EHLO")
                    if hop.inside:
                        self.assertEqual([c.split()[0] for c in hop.inside][:4], [b"EHLO", b"MAIL", b"RCPT", b"DATA"])
                    self.assertNotIn("EVIL", server.log())
                    for message in server.queue_list():
                        # Unless it has gone out meanwhile.
                        run("queue", "delete", "-c", server.directory, message["queue_id"], check=False)


PLAIN = base64.b64encode(b"\0relay\0looking-glass")
WRONG = base64.b64encode(b"\0relay\0wrong")
EHLO, MAIL, RCPT, TEXT, NOOP, QUIT = (
    b"EHLO x\r\n", b"MAIL FROM:<a@example.org>\r\n", b"RCPT TO:<b@example.net>\r\n", b"Subject: x\r\n\r\nx\r\n.\r\n", b"RSET\r\n", b"QUIT\r\n")
LOGIN = b"AUTH LOGIN\r\n" + base64.b64encode(b"relay") + b"\r\n" + base64.b64encode(b"looking-glass") + b"\r\n"
TAIL = MAIL + RCPT + b"DATA\r\n" + TEXT
# Each in one packet behind the greeting; a QUIT follows. What is pipelined across a change of state is the point of each.
FLIGHTS = {
    "hello twice": EHLO + b"HELO y\r\n" + EHLO + MAIL + EHLO + RCPT + MAIL + RCPT + RCPT,
    "hello in a transaction": EHLO + MAIL + RCPT + b"HELO y\r\n" + b"DATA\r\n" + TAIL,
    "reset in a transaction": EHLO + MAIL + RCPT + b"RSET\r\nDATA\r\nRCPT TO:<c@example.net>\r\n" + TAIL,
    "content and the next message": EHLO + TAIL + TAIL,
    "content without recipients": EHLO + MAIL + b"DATA\r\n" + NOOP + TAIL,
    "a session behind QUIT": EHLO + QUIT + TAIL,
    "login with initial response": EHLO + b"AUTH PLAIN " + PLAIN + b"\r\n" + TAIL,
    "login without": EHLO + b"AUTH PLAIN\r\n" + PLAIN + b"\r\n" + TAIL,
    "LOGIN": EHLO + LOGIN + TAIL,
    "LOGIN abandoned": EHLO + b"AUTH LOGIN\r\n*\r\n" + LOGIN + TAIL,
    "LOGIN abandoned late": EHLO + b"AUTH LOGIN\r\ncmVsYXk=\r\n*\r\n" + TAIL,
    "wrong password": EHLO + b"AUTH PLAIN " + WRONG + b"\r\n" + TAIL + LOGIN,
    "no base64": EHLO + b"AUTH PLAIN\r\nMAIL FROM:<a@example.org>\r\n" + TAIL,
    "an empty response": EHLO + b"AUTH PLAIN\r\n\r\n" + TAIL,
    "AUTH =": EHLO + b"AUTH PLAIN =\r\n" + TAIL,
    "no mechanism": EHLO + b"AUTH NOSUCH\r\nAUTH\r\nAUTH PLAIN a b\r\n" + TAIL,
    "login twice": EHLO + LOGIN + b"AUTH PLAIN " + PLAIN + b"\r\n" + TAIL,
    "login in a transaction": EHLO + MAIL + b"AUTH PLAIN " + PLAIN + b"\r\n" + RCPT + b"DATA\r\n" + TEXT,
    "login before EHLO": b"AUTH PLAIN " + PLAIN + b"\r\n" + EHLO + TAIL,
    "login, then EHLO": EHLO + LOGIN + EHLO + b"AUTH PLAIN " + PLAIN + b"\r\n" + TAIL,
    "another client": EHLO + b"XCLIENT NAME=x.example ADDR=192.0.2.1\r\n" + EHLO + TAIL,
    "another client, without EHLO": EHLO + b"XCLIENT ADDR=192.0.2.1 HELO=h PROTO=ESMTP\r\n" + TAIL,
    "another client in a transaction": EHLO + MAIL + b"XCLIENT ADDR=192.0.2.1\r\n" + RCPT + b"DATA\r\n" + TEXT,
    "another client, who logged in": EHLO + b"XCLIENT LOGIN=alice\r\n" + EHLO + b"AUTH PLAIN " + PLAIN + b"\r\n" + TAIL,
    "a login, then another client": EHLO + LOGIN + b"XCLIENT ADDR=192.0.2.1\r\n" + EHLO + b"AUTH PLAIN " + PLAIN + b"\r\n" + TAIL,
    "origin forwarded": EHLO + b"XFORWARD NAME=a+0D+0Ab\r\nXFORWARD HELO=a+0D+0A.+0D+0A IDENT=x\r\n" + TAIL,
    "chunk and the next message": EHLO + MAIL + RCPT + b"BDAT 5 LAST\r\nx\r\n\r\n" + MAIL + RCPT + b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\n" + TAIL,
    "chunk, then DATA": EHLO + MAIL + RCPT + b"BDAT 6\r\nDATA\r\nDATA\r\n" + NOOP + TAIL,
    "chunk, then MAIL, RCPT": EHLO + MAIL + RCPT + b"BDAT 3\r\nx\r\n" + MAIL + RCPT + b"BDAT 3 LAST\r\ny\r\n" + TAIL,
    "chunk, then RSET": EHLO + MAIL + RCPT + b"BDAT 6\r\nRSET\r\nRSET\r\n" + b"BDAT 6 LAST\r\nQUIT\r\n" + TAIL,
    "chunk, then EHLO": EHLO + MAIL + RCPT + b"BDAT 6\r\nRSET\r\n" + EHLO + b"BDAT 6 LAST\r\nQUIT\r\n" + TAIL,
    "chunk without MAIL": EHLO + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" + TAIL,
    "chunk without RCPT": EHLO + MAIL + b"BDAT 6 LAST\r\nQUIT\r\n" + RCPT + b"DATA\r\n" + TEXT,
    "chunk of nothing": EHLO + MAIL + RCPT + b"BDAT 0\r\nBDAT 0 LAST\r\n" + TAIL,
    "last chunk first": EHLO + MAIL + RCPT + b"BDAT 0 LAST\r\n" + TAIL,
    "chunk of a negative size": EHLO + MAIL + RCPT + b"BDAT -1\r\n" + TAIL,
    "chunk of no size": EHLO + MAIL + RCPT + b"BDAT\r\n" + TAIL,
    "chunk of 2^64": EHLO + MAIL + RCPT + b"BDAT 18446744073709551616\r\n" + TAIL,
    "chunk of 2^64+3": EHLO + MAIL + RCPT + b"BDAT 18446744073709551619 LAST\r\nx\r\n" + TAIL,
    "chunk of 20 zeros": EHLO + MAIL + RCPT + b"BDAT 00000000000000000003 LAST\r\nx\r\n" + TAIL,
    "chunk in hexadecimal": EHLO + MAIL + RCPT + b"BDAT 0x3 LAST\r\nx\r\n" + TAIL,
    "chunk with a plus": EHLO + MAIL + RCPT + b"BDAT +3 LAST\r\nx\r\n" + TAIL,
    "chunk with more words": EHLO + MAIL + RCPT + b"BDAT 3 LAST NOW\r\nx\r\n" + TAIL,
    "chunk too big": EHLO + MAIL + RCPT + b"BDAT 40000\r\n" + b"x\r\n" * 13333 + b"x" + b"BDAT 6 LAST\r\nQUIT\r\n" + TAIL,
    "chunks too big together": EHLO + MAIL + RCPT + (b"BDAT 12000\r\n" + b"x\r\n" * 4000) * 3 + b"BDAT 6 LAST\r\nQUIT\r\n" + TAIL,
    "queue run": EHLO + b"ETRN example.net\r\n" + TAIL,
    "STARTTLS where there is none": EHLO + b"STARTTLS\r\n" + TAIL,
    "a proxy's header nobody expects": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n" + EHLO + TAIL,
    "a proxy's binary header nobody expects": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\x19" + EHLO + TAIL,
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n" + TAIL,
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + EHLO + TAIL,
    "HTTP POST": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n" + EHLO + TAIL,
    "HTTP PUT": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + EHLO + TAIL,
    "HTTP CONNECT": b"CONNECT x:25 HTTP/1.1\r\n\r\n" + EHLO + TAIL,
    "NULs": b"\0" * 40 + b"\r\n" + EHLO + TAIL,
    "HELO, not EHLO": b"HELO x\r\n" + TAIL + TAIL,
    "no greeting": TAIL + EHLO + TAIL,
    "VRFY and more": EHLO + b"VRFY b@example.net\r\nNOOP\r\n" + TAIL,
}
# The same to a port that expects a proxy's header first.
V1, V2 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\1\0\x19"
PROXIED = {
    "header and commands": V1 + EHLO + TAIL,
    "binary header and commands": V2 + EHLO + TAIL,
    "header twice": V1 + V1 + EHLO + TAIL,
    "both headers": V1 + V2 + EHLO + TAIL,
    "an unknown client": b"PROXY UNKNOWN\r\n" + EHLO + TAIL,
    "no header": EHLO + TAIL,
    "a broken header": V1.replace(b"192.0.2.1", b"192.0.2.999") + EHLO + TAIL,
    "a header without end": b"PROXY TCP4 " + b"1" * 200,
    "a broken binary header": V2[:12] + b"\x31\x11\0\x0c" + V2[16:] + EHLO + TAIL,
    "a binary header of 64 KiB": V2[:14] + b"\xff\xff" + V2[16:] + EHLO + TAIL,
    "HTTP": b"GET / HTTP/1.0\r\n\r\n",
}


@unittest.skipUnless(os.geteuid() == 0 and have("postfix", "saslpasswd2"), "needs root and Postfix")
class Flights(Case):
    """Everything a client has to say in one packet: the replies, and what is delivered, are a real Postfix's."""

    MAIN = """smtpd_tls_security_level = none
smtpd_tls_auth_only = no
smtpd_sasl_auth_enable = yes
smtpd_sasl_security_options =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
smtpd_data_restrictions =
smtpd_forbid_bare_newline = normalize
smtpd_forbid_bare_newline_exclusions =
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_authorized_xforward_hosts = 127.0.0.0/8
message_size_limit = 30000
fast_flush_domains = $relay_domains
myhostname = downstream.example.net
"""

    def both(self):
        services = "".join(
            f"127.0.0.1:{{{proxied}{name}}} inet n - n - - smtpd -o smtpd_forbid_unauth_pipelining={value}{option}\n"
            for name, value in (("lax", "no"), ("strict", "yes"))
            for proxied, option in (("", ""), ("proxied_", " -o smtpd_upstream_proxy_protocol=haproxy")))
        ports = [{proxied + name: free_port() for proxied in ("", "proxied_") for name in ("lax", "strict")} for _ in range(2)]
        theirs = Postfix(self.MAIN + "default_transport = discard:\nin_flow_delay = 0s\n", services.format(**ports[1]))
        self.addCleanup(theirs.remove)
        ours = self.server(
            self.MAIN + "default_transport = discard:\nrelayhost =\nsmtpd_sasl_local_domain = $myhostname\n",
            "127.0.0.1:@PLAIN@ inet n - n - - smtpd\n" + services.format(**ports[0]), sasl=Server.SASLDB.replace(" CRAM-MD5 SCRAM-SHA-256", ""), start=False)
        ours.add_user(Postfix.USER, Postfix.PASSWORD)
        ours.start()
        return (ours, ports[0]), (theirs, ports[1])

    @staticmethod
    def fly(port, flight, proxied):
        with connect(port) as c:
            if not proxied:
                read_reply(c)
            c.sendall(flight + QUIT)
            return re.sub(rb"queued as \w+", b"queued as *", read_all(c)).decode().split("\r\n")

    def test_flights(self):
        (ours, our_ports), (theirs, their_ports) = self.both()
        table = [(*row, "") for row in FLIGHTS.items()] + [(*row, "proxied_") for row in PROXIED.items()]
        for (name, flight, proxied), port in itertools.product(table, ("lax", "strict")):
            with self.subTest(name, port=port):
                our, their = (self.fly(ports[proxied + port], flight, proxied) for ports in (our_ports, their_ports))
                self.assertEqual(our, their, "\n".join(difflib.unified_diff(their, our, "Postfix", "Postern", lineterm="", n=1)))


if __name__ == "__main__":
    unittest.main()
