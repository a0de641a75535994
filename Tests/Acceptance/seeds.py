"""What the walks through the HOWTOs have in common."""

import secrets
import subprocess

from postern import Case
from stock import Machine


class Seed(Case):
    def machine(self, **options):
        self.downstream = self.sink()
        machine = self.there = Machine()
        self.addCleanup(machine.remove)
        machine.install(relayhost=f"[127.0.0.1]:{self.downstream.port}", **options)
        return machine

    def account(self, machine):
        """A Unix account of the machine; returns name and password."""
        name, password = "postern-" + secrets.token_hex(4), secrets.token_hex(12)
        machine.run("useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name)
        machine.run("chpasswd", input=f"{name}:{password}")
        return name, password

    def swaks(self, port, user, password, *options, status=0, to="bob@example.net"):
        result = subprocess.run(
            ["swaks", "--server", "localhost", "--port", str(port), "--auth", "PLAIN", "--auth-user", user, "--auth-password", password,
             "--from", "alice@example.com", "--to", to, *options],
            capture_output=True, text=True, timeout=90)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr + self.there.read("output"))
        return result.stdout

    # swaks: "AUTH failed".
    AUTH_FAILED = 28

    def submits(self, port, user, password, *options):
        before = len(self.downstream.messages())
        self.assertRegex(self.swaks(port, user, password, *options), r"<[-~*]+ +235 2.7.0 Authentication successful")
        self.downstream.wait(before + 1)
        self.assertRegex(self.swaks(port, user, password + "x", *options, status=self.AUTH_FAILED), r"<[-~*]+ +535 5.7.8 Error: authentication failed")
