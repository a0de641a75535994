"""AUTH against a real saslauthd: with accounts in sasldb and in PAM, and when it is dead, stuck or was never there."""

import base64
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import smtplib
import ssl
import subprocess
import threading
import unittest

from counterparts import Saslauthd, private_directory
from postern import PASSWORD, Case, Server, needs, needs_root, port_open, wait_for

CONFIGURATION = "pwcheck_method: saslauthd\nsaslauthd_path: %s\nmech_list: PLAIN LOGIN\n"


class Logins(Case):
    def login(self, server, user="alice", password=PASSWORD, mechanism="PLAIN", submit=False):
        """The reply to AUTH; with `submit`, a message follows on the same connection."""
        context = ssl.create_default_context(cafile=f"{server.directory}/cert.pem")
        with smtplib.SMTP("localhost", server.submission, timeout=60) as s:
            s.ehlo()
            s.starttls(context=context)
            s.ehlo()
            self.assertIn("auth", s.esmtp_features)
            if mechanism == "PLAIN":
                code, text = s.docmd("AUTH PLAIN", base64.b64encode(f"\0{user}\0{password}".encode()).decode())
            else:
                code, text = s.docmd("AUTH LOGIN")
                self.assertEqual(code, 334)
                code, text = s.docmd(base64.b64encode(user.encode()).decode())
                self.assertEqual(code, 334)
                code, text = s.docmd(base64.b64encode(password.encode()).decode())
            if submit:
                s.sendmail("alice@example.com", "bob@example.net", "Subject: submitted\r\n\r\nx\r\n")
            # A session that could not log in is not lost.
            self.assertEqual(s.noop()[0], 250)
            return code, text.decode()

    def right_and_wrong(self, server, user="alice", password=PASSWORD):
        for mechanism in ("PLAIN", "LOGIN"):
            with self.subTest(mechanism):
                self.assertEqual(self.login(server, user, password, mechanism, submit=True), (235, "2.7.0 Authentication successful"))
                self.assertEqual(self.login(server, user, password + "x", mechanism)[0], 535)
                self.assertEqual(self.login(server, "nobody-of-that-name", password, mechanism)[0], 535)
                server.wait_log(f"sasl_method={mechanism}, sasl_username={user}")
                server.wait_log(f"warning: unknown[127.0.0.1]: SASL {mechanism} authentication failed: authentication failure")
        self.assertNotIn(base64.b64encode(f"\0{user}\0{password}".encode()).decode(), server.log())
        self.assertNotIn(password, server.log())


@needs("saslauthd", "saslpasswd2")
class Sasldb(Logins):
    """`saslauthd -a sasldb` reads /etc/sasldb2, a path that cannot be changed: it gets one of its own in a private mount namespace."""

    def setUp(self):
        if os.geteuid() != 0 or not shutil.which("unshare"):
            self.skipTest("needs root and unshare")
        self.accounts = private_directory("sasldb-test-")
        self.addCleanup(shutil.rmtree, self.accounts, ignore_errors=True)
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", f"{self.accounts}/sasldb2", "-u", "mx.example.com", "alice"], input=PASSWORD.encode(), check=True, capture_output=True)

    def start(self, main="", **options):
        self.saslauthd = Saslauthd("sasldb", etc_sasldb=f"{self.accounts}/sasldb2", **options)
        self.addCleanup(self.saslauthd.remove)
        self.downstream = self.sink()
        # saslauthd gets the realm from smtpd_sasl_local_domain.
        return self.server(main, sink=self.downstream, tls=True, sasl=CONFIGURATION % self.saslauthd.socket)

    def test_right_and_wrong(self):
        self.right_and_wrong(self.start())
        self.downstream.wait(2)

    def test_dead(self):
        server = self.start()
        self.assertEqual(self.login(server)[0], 235)
        self.saslauthd.stop()
        code, text = self.login(server)
        self.assertEqual(code, 454, text)
        self.assertTrue(text.startswith("4.7.0 "), text)
        server.wait_log("SASL PLAIN authentication failed")
        server.wait_log(f"cannot connect to saslauthd server at {self.saslauthd.socket}: ")
        # Those who need no AUTH are served, and AUTH works as soon as saslauthd is back.
        with smtplib.SMTP("127.0.0.1", server.plain) as s:
            s.sendmail("a@example.org", "b@example.net", "Subject: meanwhile\r\n\r\nx\r\n")
        self.downstream.wait(1)
        self.saslauthd.start()
        self.assertEqual(self.login(server)[0], 235)

    def test_stuck(self):
        """saslauthd accepts and never answers: 454 at the deadline, and sessions go on meanwhile."""
        server = self.start("smtpd_sasl_timeout = 8s\n")
        self.assertEqual(self.login(server)[0], 235)
        self.saslauthd.signal(signal.SIGSTOP)
        outcome = []
        stuck = [threading.Thread(target=lambda: outcome.append(self.login(server))) for _ in range(8)]
        for thread in stuck:
            thread.start()
        # While all workers are waiting for saslauthd, a session that needs none is served from connect to delivery.
        with smtplib.SMTP("127.0.0.1", server.plain) as s:
            s.sendmail("a@example.org", "b@example.net", "Subject: meanwhile\r\n\r\nx\r\n")
        self.downstream.wait(1)
        self.assertEqual(outcome, [])
        for thread in stuck:
            thread.join(60)
        self.assertEqual([code for code, _ in outcome], [454] * 8, outcome)
        server.wait_log("SASL PLAIN authentication failed: Connection lost to authentication server")
        self.saslauthd.signal(signal.SIGCONT)
        wait_for(lambda: self.login(server)[0] == 235, 60, "a login after saslauthd went on")

    def test_stuck_does_not_stop_another_back_end(self):
        """One service authenticates by a saslauthd that is stuck, another by sasldb: the second does not notice."""
        server = self.start("smtpd_sasl_timeout = 8s\n")
        server.stop()
        server.write("other/smtpd.conf", Server.SASLDB.replace("@DIR@/sasl/sasldb2", f"{self.accounts}/sasldb2"))
        os.chmod(f"{self.accounts}/sasldb2", 0o644)
        other = server.submissions
        master = server.read("master.cf").replace(f"127.0.0.1:{other} inet n - n - - smtpd", f"127.0.0.1:{other} inet n - n - - smtpd\n  -o cyrus_sasl_config_path={server.directory}/other")
        server.write("master.cf", master)
        server.start()
        self.saslauthd.signal(signal.SIGSTOP)
        outcome = []
        stuck = [threading.Thread(target=lambda: outcome.append(self.login(server))) for _ in range(8)]
        for thread in stuck:
            thread.start()
        context = ssl.create_default_context(cafile=f"{server.directory}/cert.pem")
        with smtplib.SMTP_SSL("localhost", other, context=context, timeout=60) as s:
            self.assertEqual(s.login("alice", PASSWORD)[0], 235)
        self.assertEqual(outcome, [], "the other service was not tried while saslauthd was stuck")
        for thread in stuck:
            thread.join(60)
        self.assertEqual([code for code, _ in outcome], [454] * 8, outcome)


@needs("saslauthd")
@needs_root
class PAM(Logins):
    """`saslauthd -a pam` with a Unix account and the PAM service `smtp`, both made for the test."""

    def setUp(self):
        if os.path.exists("/etc/pam.d/smtp"):
            self.skipTest("/etc/pam.d/smtp exists already")
        self.user, self.password = "postern-" + secrets.token_hex(4), secrets.token_hex(12)
        self.addCleanup(self.remove_account)
        subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", self.user], check=True, capture_output=True)
        subprocess.run(["chpasswd"], input=f"{self.user}:{self.password}", text=True, check=True, capture_output=True)
        with open("/etc/pam.d/smtp", "x") as f:
            f.write("@include common-auth\n@include common-account\n")

    def remove_account(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/etc/pam.d/smtp")
        with contextlib.suppress(KeyError):
            pwd.getpwnam(self.user)
            subprocess.run(["userdel", self.user], check=True, capture_output=True)

    def test_right_and_wrong(self):
        saslauthd = Saslauthd("pam")
        self.addCleanup(saslauthd.remove)
        # PAM wants the bare name: no realm (Red Hat's quick start, "Trouble Shooting PAM Authentication").
        sink = self.sink()
        server = self.server("smtpd_sasl_local_domain =\n", sink=sink, tls=True, sasl=CONFIGURATION % saslauthd.socket)
        self.right_and_wrong(server, self.user, self.password)
        sink.wait(2)


class MissingSasldb(Logins):
    def test_missing(self):
        server = self.server(sink=self.sink(), tls=True, sasl=Server.SASLDB)
        code, text = self.login(server)
        self.assertEqual(code, 454, text)
        server.wait_log("SASL PLAIN authentication failed")
        server.wait_log(f"{server.directory}/sasl/sasldb2: No such file or directory")
        # The account appears: no restart needed.
        server.add_user("alice")
        wait_for(lambda: self.login(server)[0] == 235, 30, "a login with the new sasldb")


class AtStart(Logins):
    def test_the_first_client_already_sees_auth(self):
        """Connections wait until the workers have said what they offer, at a start and when the smtpd role is replaced."""
        server = self.server(sink=self.sink(), tls=True, sasl=Server.SASLDB, users=["alice"], start=False).start(wait=False)
        wait_for(lambda: port_open(server.submission), what="the port")
        self.assertEqual(self.login(server)[0], 235)
        roles = server.roles()
        workers = [pid for role, pid in roles.items() if role.startswith("auth")]
        self.assertTrue(workers, roles)
        # Workers that take their time: the new smtpd role must wait for them.
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        os.kill(roles["smtpd"], signal.SIGKILL)
        wait_for(lambda: server.roles().get("smtpd") not in (None, roles["smtpd"]), what="another smtpd role")
        resume = threading.Timer(1, lambda: [os.kill(pid, signal.SIGCONT) for pid in workers])
        resume.start()
        self.addCleanup(resume.join)
        self.assertEqual(self.login(server)[0], 235)


if __name__ == "__main__":
    unittest.main()
