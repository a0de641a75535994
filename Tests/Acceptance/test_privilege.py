"""What a role can still do once it is confined, tried by the role's own code (`postern role ROLE --probe`), and what a live role shows in /proc."""

import ctypes
import json
import os
import pwd
import re
import smtplib
import struct
import subprocess
import unittest

from postern import BINARY, Case, Server, needs, needs_root, run, wait_for

REFUSED = ["regain root", "trace the parent", "signal the parent", "start a program", "mount", "open by handle", "bpf", "executable memory",
           "netlink socket"]


def probe(role, directory, *paths, **options):
    """attempt -> outcome."""
    output = run("role", role, "--probe", "-c", directory, *paths, **options).stdout
    return dict(line.split(": ", 1) for line in output.splitlines())


def without_landlock():
    """As on a kernel before 5.13: the system call that makes a rule set does not exist. For preexec_fn."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
    text = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(text, len(text))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())


class Confined(Case):
    def running(self, chroot="n"):
        master = f"""127.0.0.1:@PLAIN@ inet n - {chroot} - - smtpd
  -o smtpd_sasl_auth_enable=yes
"""
        server = self.server(sink=self.sink(), tls=True, sasl=Server.SASLDB, users=["alice"], master=master)
        # The worst case: everybody may read the secrets, as far as their modes go.
        self.secrets = [f"{server.directory}/key.pem", f"{server.directory}/sasl/sasldb2"]
        for path in self.secrets:
            os.chmod(path, 0o644)
        journal = f"{server.directory}/spool/journal"
        self.queue = [journal, *(os.path.join(journal, name) for name in sorted(os.listdir(journal)) if name.endswith(".log"))]
        self.assertGreater(len(self.queue), 1)
        return server

    def assert_unreachable(self, found, paths):
        for path in paths:
            for attempt in ("read", "write", "create in"):
                outcome = found[f"{attempt} {path}"]
                self.assertIn(outcome, ("Permission denied", "No such file or directory", "Not a directory", "Is a directory"), f"{attempt} {path}")

    def smtpd_reaches_nothing(self, server):
        found = probe("smtpd", server.directory, *self.queue, *self.secrets, "/etc/shadow", "/etc/sasldb2", "/etc/passwd", server.directory, "/", "/proc/self")
        for path in ["/etc/shadow", "/etc/passwd", *self.queue, *self.secrets, server.directory]:
            self.assert_unreachable(found, [path])
        for attempt in REFUSED + ["bind a port"]:
            self.assertNotEqual(found[attempt], "ok", attempt)
        return found

    def test_smtpd_reaches_no_file(self):
        server = self.running()
        found = self.smtpd_reaches_nothing(server)
        self.assertRegex(found["confinement"], r"Landlock \d+, system call filter")
        # The probe can tell: the roles that own these do reach them.
        found = probe("auth:0", server.directory, self.secrets[1], *self.queue)
        self.assertEqual(found[f"read {self.secrets[1]}"], "ok")
        self.assert_unreachable(found, self.queue)

    @needs_root
    def test_smtpd_reaches_no_file_in_the_chroot(self):
        server = self.running(chroot="y")
        found = self.smtpd_reaches_nothing(server)
        self.assertIn(f"chroot {server.directory}/spool", found["confinement"])
        server.wait_log(f"runs as postfix, chroot {server.directory}/spool, Landlock")
        self.assertEqual(os.readlink(f"/proc/{server.roles()['smtpd']}/root"), f"{server.directory}/spool")

    def test_queue_reaches_only_the_queue(self):
        server = self.running()
        found = probe("queue", server.directory, *self.queue, *self.secrets, "/etc/shadow", "/etc/passwd")
        for path in self.queue:
            self.assertEqual(found[f"read {path}"], "ok")
        self.assert_unreachable(found, [*self.secrets, "/etc/shadow", "/etc/passwd"])
        for attempt in REFUSED:
            self.assertNotEqual(found[attempt], "ok", attempt)

    def test_live_roles(self):
        """Every thread of every role: no privileges, no new ones, the filter in force; no core file; not to be looked into."""
        server = self.running()
        roles = server.roles()
        self.assertEqual({name.split(":")[0].rstrip("0123456789") for name in roles}, {"smtpd", "queue", "auth"})
        for name, pid in roles.items():
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/status") as f:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), name)
                if os.geteuid() == 0:
                    self.assertEqual(set(status["Uid"].split()), {str(pwd.getpwnam("postfix").pw_uid)}, name)
                    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                        self.assertEqual(int(status[kind], 16), 0, f"{name} {kind}")
            with open(f"/proc/{pid}/limits") as f:
                self.assertRegex(f.read(), r"Max core file size +0 +0 ", name)
            # Not dumpable: its files in /proc belong to root.
            if os.geteuid() == 0:
                self.assertEqual(os.stat(f"/proc/{pid}/mem").st_uid, 0, name)
                with open(f"/proc/{pid}/environ") as f:
                    self.assertIn("SWIFT_BACKTRACE=enable=no", f.read().split("\0"))

    @needs_root
    def test_without_landlock(self):
        """A kernel that has none: the role says so, and modes and groups still keep it from keys and accounts."""
        server = self.running()
        os.chmod(self.secrets[0], 0o600)
        os.chmod(self.secrets[1], 0o640)
        os.chown(self.secrets[1], 0, 45)
        found = probe("smtpd", server.directory, *self.secrets, "/etc/shadow", preexec_fn=without_landlock)
        self.assertIn("no Landlock", found["confinement"])
        self.assert_unreachable(found, [*self.secrets, "/etc/shadow"])
        for attempt in REFUSED:
            self.assertNotEqual(found[attempt], "ok", attempt)
        # With a user of its own it does not reach the queue either.
        run("conf", "-c", server.directory, "-e", "smtpd_owner=nobody")
        found = probe("smtpd", server.directory, *self.queue, *self.secrets, preexec_fn=without_landlock)
        self.assert_unreachable(found, [*self.queue, *self.secrets])

    def test_a_server_without_landlock(self):
        """It serves, and says in log and status what is missing."""
        server = self.server(sink=(sink := self.sink()), start=False)
        server.prepare = without_landlock
        server.start()
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
            s.sendmail("a@example.org", "b@example.net", "Subject: no Landlock\r\n\r\nx\r\n")
        sink.wait(1)
        roles = json.loads(run("status", "--json", "-c", server.directory).stdout)["roles"]
        self.assertEqual({role["role"] for role in roles}, {"smtpd", "queue"})
        for role in roles:
            self.assertRegex(role["confinement"], "^runs as .*, no Landlock, system call filter$", role["role"])
        for program in ("smtpd", "qmgr"):
            self.assertRegex(server.log(), rf"postfix/{program}\[\d+\]: warning: this kernel has no Landlock: the role can read what user \S+ can read\n")

    @needs_root
    def test_smtpd_loses_the_groups_of_secrets(self):
        """postfix is in group sasl, for saslauthd's sake; the smtpd role is not."""
        from stock import Machine
        machine = Machine()
        self.addCleanup(machine.remove)
        machine.install(relayhost="[127.0.0.1]:9")
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nmech_list: PLAIN\n")
        machine.run("sh", "-c", "echo x | saslpasswd2 -p -c alice && chown root:sasl /etc/sasldb2 && chmod 640 /etc/sasldb2")
        machine.run("usermod", "-a", "-G", "sasl,games", "postfix")
        machine.conf("smtpd_sasl_auth_enable=yes")
        for role, readable in (("smtpd", False), ("auth:0", True)):
            command = machine.inside(BINARY, "role", role, "--probe", "-c", "/etc/postfix", "/etc/sasldb2")
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=without_landlock)
            self.assertEqual("read /etc/sasldb2: ok" in result.stdout, readable, f"{role}: {result.stdout}{result.stderr}")


class LogAfterTheDrop(Case):
    def test_rotated_log_in_a_directory_of_root(self):
        """The roles can no longer open the log themselves: the supervisor gives them the new file."""
        sink = self.sink()
        server = self.server(sink=sink)
        import smtplib
        def submit(subject):
            with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
                s.sendmail("a@example.org", "b@example.net", f"Subject: {subject}\r\n\r\nx\r\n")
        submit("one")
        sink.wait(1)
        server.wait_log("status=sent")
        os.rename(f"{server.directory}/maillog", f"{server.directory}/maillog.1")
        run("logrotate", "-c", server.directory)
        wait_for(lambda: os.path.exists(f"{server.directory}/maillog"), what="the new file")
        def both():
            submit("two")
            return re.search(r"/smtpd\[.*connect from", server.log()) and "status=sent" in server.log()
        wait_for(both, what="lines of both roles in the new file")


if __name__ == "__main__":
    unittest.main()
