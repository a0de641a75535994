"""Inside the chroot of stock Debian everything still works: names, TLS with a CApath, saslauthd at both of its places, syslog, time zone."""

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import unittest

from postern import BINARY, needs, needs_root, wait_for
from seeds import Seed
from stock import SHARE


class NameServer:
    """Knows one name: 127.0.0.2 is client.example.org. Listens on port 53 of a loopback address nobody else uses."""

    ADDRESS = "127.0.53.99"

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.ADDRESS, 53))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(2048)
            if query == b"end":
                return
            end = query.index(b"\0", 12) + 5
            question, labels, kind = query[12:end], [], struct.unpack("!H", query[end - 4:end - 2])[0]
            rest = question
            while rest[0]:
                labels.append(rest[1:1 + rest[0]].decode().lower())
                rest = rest[1 + rest[0]:]
            data = None
            if kind == 12 and labels[:4] == ["2", "0", "0", "127"]:
                data = b"\x06client\x07example\x03org\0"
            elif kind == 1 and labels == ["client", "example", "org"]:
                data = bytes([127, 0, 0, 2])
            answer = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
            flags = 0x8580 if data else 0x8583
            self.socket.sendto(query[:2] + struct.pack("!HHHHH", flags, 1, 1 if data else 0, 0, 0) + question + answer, peer)

    def stop(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", (self.ADDRESS, 53))
        self.thread.join()
        self.socket.close()


@needs_root
@needs("unshare", "swaks", "saslauthd", "openssl")
@unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")
class Chroot(Seed):
    INSIDE = "spool/postfix/var/run/saslauthd"

    def authority(self, machine):
        """A CA that only the CApath knows, and a client's certificate from it."""
        def openssl(*arguments):
            machine.run("openssl", *arguments)
        for directory in ("trusted", "client"):
            os.makedirs(machine.path(f"etc/{directory}"))
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl(*new, "-subj", "/CN=Test CA", "-keyout", "/etc/client/ca.key", "-out", "/etc/trusted/ca.pem")
        openssl(*new, "-subj", "/CN=client.example.org", "-CA", "/etc/trusted/ca.pem", "-CAkey", "/etc/client/ca.key",
                "-keyout", "/etc/client/key.pem", "-out", "/etc/client/cert.pem")
        openssl("rehash", "/etc/trusted")
        os.chmod(machine.path("etc/client/key.pem"), 0o644)

    def prepared(self, saslauthd_at):
        machine = self.machine(tls=True)
        self.authority(machine)
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n")
        os.makedirs(machine.path(saslauthd_at))
        shutil.chown(machine.path(saslauthd_at), "root", "sasl")
        os.chmod(machine.path(saslauthd_at), 0o710)
        machine.run("adduser", "postfix", "sasl")
        machine.conf("smtpd_sasl_auth_enable = yes", "smtpd_tls_CApath = /etc/trusted", "tls_append_default_CA = no", "smtpd_tls_ask_ccert = yes",
                     "smtpd_tls_loglevel = 1", "smtpd_client_restrictions = permit_mynetworks, reject")
        shutil.copy(machine.path("etc/pam.d/other"), machine.path("etc/pam.d/smtp"))
        place = "/" + saslauthd_at if saslauthd_at.startswith("run") else "/var/" + saslauthd_at
        machine.saslauthd("-a", "pam", "-c", "-m", place, socket=saslauthd_at)
        machine.write("etc/resolv.conf", f"nameserver {NameServer.ADDRESS}\n")
        machine.run("ln", "-sfn", "/usr/share/zoneinfo/Asia/Kolkata", "/etc/localtime")
        self.names = NameServer()
        self.addCleanup(self.names.stop)
        self.login = self.account(machine)
        return machine

    def lines(self, daemon, text):
        """What comes to syslog, up to a line with `text`."""
        lines = []
        while not lines or text not in lines[-1]:
            lines.append(daemon.recv(4096).decode())
        return lines

    def submits_with_everything(self, machine, daemon, ports):
        user, password = self.login
        before = len(self.downstream.messages())
        certificate = [f"--tls-{kind}={machine.path(f'etc/client/{kind}.pem')}" for kind in ("cert", "key")]
        output = self.swaks(ports["smtp"], user, password, "--tls", *certificate, "--local-interface", "127.0.0.2")
        self.assertRegex(output, r"<[-~*]+ +235 2.7.0 Authentication successful")
        message = self.downstream.wait(before + 1)[-1].decode()
        received = message[message.index("Received: from"):].split("Received:", 2)[1]
        # Peer name by DNS, client certificate by CApath, time zone.
        self.assertRegex(received, r"\(client\.example\.org \[127\.0\.0\.2\]\)")
        self.assertIn("+0530 (IST)", received)
        lines = self.lines(daemon, "disconnect from client.example.org[127.0.0.2]")
        self.assertTrue(any("Trusted TLS connection established from client.example.org[127.0.0.2]" in line for line in lines), lines)
        self.assertTrue(any(re.search(rf"smtpd.*sasl_method=PLAIN, sasl_username={user}", line) for line in lines), lines)
        # mail.info, and the time of this zone.
        there = time.strftime("%b %e %H:", time.gmtime(time.time() + 19800))
        self.assertTrue(any(line.startswith(f"<22>{there}") for line in lines), lines[-1])

    def test_saslauthd_outside(self):
        machine = self.prepared("run/saslauthd")
        self.start_and_submit(machine)

    def test_saslauthd_inside(self):
        machine = self.prepared(self.INSIDE)
        self.start_and_submit(machine)

    def start_and_submit(self, machine):
        daemon = machine.syslog()
        self.addCleanup(daemon.close)
        self.assertRegex(machine.read("etc/postfix/master.cf"), r"(?m)^smtp +inet +n +- +y ")
        ports = machine.replace_ports()
        server = machine.start(ports)
        self.lines(daemon, "chroot /var/spool/postfix")
        self.submits_with_everything(machine, daemon, ports)
        return machine, server, ports, daemon

    def test_syslog_daemon_is_replaced(self):
        """It comes back with a new socket, which the roles in the chroot cannot see; the supervisor connects for them."""
        machine = self.prepared("run/saslauthd")
        machine, _, ports, daemon = self.start_and_submit(machine)
        daemon.close()
        user, password = self.login
        self.swaks(ports["smtp"], user, password, "--quit-after", "AUTH", "--local-interface", "127.0.0.2")
        daemon = machine.listen_syslog()
        self.addCleanup(daemon.close)

        def heard():
            self.swaks(ports["smtp"], user, password, "--quit-after", "AUTH", "--local-interface", "127.0.0.2")
            daemon.settimeout(1)
            try:
                return "smtpd" in self.lines(daemon, "connect from client.example.org[127.0.0.2]")[-1]
            except TimeoutError:
                return False

        wait_for(heard, what="lines of the smtpd role at the new socket")


if __name__ == "__main__":
    unittest.main()
