"""The main.cf and master.cf that Debian's package installs start with nothing changed but the ports."""

import os
import shutil
import smtplib
import unittest

from postern import BINARY, Case, needs, needs_root
from stock import SHARE, Machine, ehlo


@needs_root
@needs("unshare")
@unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")
class Stock(Case):
    def machine(self, **options):
        self.downstream = self.sink()
        machine = Machine()
        self.addCleanup(machine.remove)
        machine.install(relayhost=f"[127.0.0.1]:{self.downstream.port}", **options)
        return machine

    def test_as_installed(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                machine = self.machine(tls=tls)
                ports = machine.replace_ports()
                self.assertEqual(list(ports), ["smtp"])
                check = machine.run(BINARY, "check", "-c", "/etc/postfix")
                self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
                machine.start(ports)
                lines = ehlo(ports["smtp"])
                self.assertEqual(lines[0], "mail.example.com")
                self.assertEqual("STARTTLS" in lines, tls)
                with smtplib.SMTP("127.0.0.1", ports["smtp"], timeout=30) as s:
                    self.assertEqual(s.sendmail("alice@example.com", "bob@example.net", "Subject: stock\r\n\r\nx\r\n"), {})
                self.assertIn(b"Subject: stock\r\n", self.downstream.wait(1)[0])

    def test_the_services_that_master_cf_has_ready(self):
        """submission and smtps with the '#' removed, as its comments propose."""
        machine = self.machine(tls=True)
        text, taken = [], False
        for line in machine.read("etc/postfix/master.cf").splitlines():
            if line.startswith(("#submission ", "#submissions ", "#smtps ")):
                taken = True
            elif not line.startswith("#  -o"):
                taken = False
            # Options whose value is a parameter that the administrator has to define first stay commented out, as they are meant to.
            text.append(line[1:] if taken and "$mua_" not in line else line)
        machine.write("etc/postfix/master.cf", "\n".join(text) + "\n")
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
        ports = machine.replace_ports()
        self.assertGreaterEqual(len(ports), 3, ports)
        machine.run(BINARY, "user", "add", "-p", "-c", "/etc/postfix", "alice", input="wonderland")
        shutil.chown(machine.path("etc/sasldb2"), "root", "postfix")
        os.chmod(machine.path("etc/sasldb2"), 0o640)
        machine.start(ports)
        with smtplib.SMTP("localhost", ports["submission"], timeout=30) as s:
            s.starttls()
            s.login("alice", "wonderland")
            s.sendmail("alice@example.com", "bob@example.net", "Subject: submission\r\n\r\nx\r\n")
        wrapped = ports.get("submissions") or ports["smtps"]
        with smtplib.SMTP_SSL("localhost", wrapped, timeout=30) as s:
            s.login("alice", "wonderland")
            s.sendmail("alice@example.com", "bob@example.net", "Subject: submissions\r\n\r\nx\r\n")
        self.downstream.wait(2)


if __name__ == "__main__":
    unittest.main()
