"""What administrators follow today, command by command: the Debian wiki's PostfixAndSASL and Red Hat's SASL quick start.

Nothing is changed in what they say but the ports, `postconf` (here `postern conf`) and the start of the services.
"""

import os
import shutil
import smtplib
import unittest

from postern import BINARY, PASSWORD, needs, needs_root
from seeds import Seed
from stock import SHARE, ehlo


@needs_root
@needs("unshare", "swaks", "saslauthd")
@unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")
class DebianWiki(Seed):
    SOCKET = "spool/postfix/var/run/saslauthd"

    def follow(self, **options):
        """Steps 2 to 8."""
        machine = self.machine(**options)
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n")
        # dpkg-statoverride --add root sasl 710 /var/spool/postfix/var/run/saslauthd
        os.makedirs(machine.path(self.SOCKET))
        shutil.chown(machine.path(self.SOCKET), "root", "sasl")
        os.chmod(machine.path(self.SOCKET), 0o710)
        machine.run("adduser", "postfix", "sasl")
        machine.conf("smtpd_sasl_local_domain = $myhostname")
        machine.conf("smtpd_sasl_auth_enable = yes")
        machine.conf("broken_sasl_auth_clients = yes")
        machine.conf("smtpd_sasl_security_options = noanonymous")
        machine.conf("smtpd_recipient_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_unauth_destination")
        shutil.copy(machine.path("etc/pam.d/other"), machine.path("etc/pam.d/smtp"))
        machine.saslauthd("-a", "pam", "-c", "-m", "/var/spool/postfix/var/run/saslauthd", socket=self.SOCKET)
        return machine

    def test_auth_with_pam_in_the_chroot(self):
        machine = self.follow()
        user, password = self.account(machine)
        ports = machine.replace_ports()
        machine.start(ports)
        lines = ehlo(ports["smtp"])
        self.assertIn("AUTH PLAIN LOGIN", lines)
        self.assertEqual(lines[lines.index("AUTH PLAIN LOGIN") + 1], "AUTH=PLAIN LOGIN")
        self.submits(ports["smtp"], user, password)

    def test_tls_and_the_other_ports(self):
        """"Adding TLS/SSL", "Alternate TLS/SSL Ports" and "Connections from Fetchmail to Postfix"."""
        machine = self.follow(tls=True)
        user, password = self.account(machine)
        # Its master.cf lines have "-" for chroot, which has meant "n" since compatibility level 1: those services look for saslauthd outside.
        machine.run("ln", "-s", "/var/spool/postfix/var/run/saslauthd", "/run/saslauthd")
        machine.conf("smtpd_tls_security_level=encrypt")
        machine.append("etc/postfix/main.cf", "smtpd_use_tls = no\nsmtpd_enforce_tls = no\n")
        machine.run(BINARY, "conf", "-c", "/etc/postfix", "-#", "smtpd_use_tls")
        machine.run(BINARY, "conf", "-c", "/etc/postfix", "-#", "smtpd_enforce_tls")
        self.assertIn("#smtpd_use_tls = no\n", machine.read("etc/postfix/main.cf"))
        machine.append("etc/postfix/master.cf", """
submission inet n      -       -       -       -       smtpd
        -o smtpd_etrn_restrictions=reject
        -o smtpd_enforce_tls=yes 
        -o smtpd_sasl_auth_enable=yes
smtps     inet  n       -       -       -       -       smtpd
  -o syslog_name=postfix/smtps
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
127.0.0.1:40025      inet  n       -       -       -       -       smtpd
    -o smtpd_tls_security_level=none
""")
        ports = machine.replace_ports()
        machine.start(ports)
        for name in ("smtp", "submission"):
            with self.subTest(name):
                lines = ehlo(ports[name])
                self.assertIn("STARTTLS", lines)
                with smtplib.SMTP("localhost", ports[name], timeout=30) as s:
                    s.ehlo()
                    self.assertEqual(s.mail("alice@example.com"), (530, b"5.7.0 Must issue a STARTTLS command first"))
                self.submits(ports[name], user, password, "-tls")
        self.submits(ports["smtps"], user, password, "--tls-on-connect")
        with smtplib.SMTP_SSL("localhost", ports["smtps"], timeout=30) as s:
            s.ehlo()
            s.mail("alice@example.com")
            self.assertEqual(s.rcpt("bob@example.net")[0], 554)
        self.assertNotIn("STARTTLS", ehlo(ports["127.0.0.1:40025"]))
        before = len(self.downstream.messages())
        with smtplib.SMTP("localhost", ports["127.0.0.1:40025"], timeout=30) as s:
            s.sendmail("carol@example.org", "bob@example.net", "Subject: as fetchmail does\r\n\r\nx\r\n")
        self.downstream.wait(before + 1)


@needs_root
@needs("unshare", "swaks", "saslauthd", "saslpasswd2")
@unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")
class RedHat(Seed):
    # The page has lost the values after "smtpd_recipient_restrictions =" and "MECH="; these are what its text describes.
    MAIN = ("smtpd_sasl_auth_enable = yes", "smtpd_sasl_security_options = noanonymous", "broken_sasl_auth_clients = yes",
            "smtpd_recipient_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_unauth_destination")

    def follow(self, smtpd_conf):
        machine = self.machine()
        # Red Hat's master.cf has no chroot.
        machine.write("etc/postfix/master.cf", machine.read("etc/postfix/master.cf").replace("       y       -       ", "       n       -       "))
        machine.write("etc/sasl2/smtpd.conf", smtpd_conf)
        machine.conf(*self.MAIN)
        os.makedirs(machine.path("run/saslauthd"))
        os.chmod(machine.path("run/saslauthd"), 0o755)
        return machine

    def test_saslauthd_with_pam(self):
        machine = self.follow("pwcheck_method: saslauthd\n")
        machine.write("etc/pam.d/smtp", "@include common-auth\n@include common-account\n")
        user, password = self.account(machine)
        machine.saslauthd("-a", "pam", "-m", "/run/saslauthd")
        ports = machine.replace_ports()
        machine.start(ports)
        lines = ehlo(ports["smtp"])
        offered = [line for line in lines if line.startswith("AUTH ")]
        self.assertEqual(len(offered), 1, lines)
        self.assertLessEqual({"PLAIN", "LOGIN"}, set(offered[0].split()[1:]))
        self.assertEqual(lines[lines.index(offered[0]) + 1], offered[0].replace("AUTH ", "AUTH="))
        self.submits(ports["smtp"], user, password)

    def test_saslpasswd(self):
        """"Using saslpasswd to Authenticate": saslpasswd -u `postconf -h myhostname` -c user"""
        machine = self.follow("pwcheck_method: auxprop\n")
        host = machine.run(BINARY, "conf", "-c", "/etc/postfix", "-h", "myhostname").stdout.strip()
        self.assertEqual(host, "mail.example.com")
        machine.run("saslpasswd2", "-p", "-u", host, "-c", "user", input=PASSWORD)
        shutil.chown(machine.path("etc/sasldb2"), "root", "postfix")
        os.chmod(machine.path("etc/sasldb2"), 0o640)
        # "set SASL realm": to what was used when the account was made.
        machine.conf("smtpd_sasl_local_domain = $myhostname")
        ports = machine.replace_ports()
        machine.start(ports)
        offered = next(line for line in ehlo(ports["smtp"]) if line.startswith("AUTH "))
        self.assertLessEqual({"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"}, set(offered.split()[1:]))
        self.submits(ports["smtp"], "user", PASSWORD)
        self.assertIn("235 2.7.0", self.swaks(ports["smtp"], "user", PASSWORD, "--auth", "CRAM-MD5"))

    def test_noplaintext(self):
        """"disable unsafe password methods\""""
        machine = self.follow("pwcheck_method: auxprop\n")
        machine.conf("smtpd_sasl_security_options = noplaintext noanonymous")
        ports = machine.replace_ports()
        machine.start(ports)
        offered = next(line for line in ehlo(ports["smtp"]) if line.startswith("AUTH ")).split()[1:]
        self.assertIn("CRAM-MD5", offered)
        self.assertFalse({"PLAIN", "LOGIN", "ANONYMOUS"} & set(offered), offered)


if __name__ == "__main__":
    unittest.main()
