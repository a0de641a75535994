"""What stands in the way of a start: `check` and `start` name the file or process, and say what to do."""

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import unittest

from postern import BINARY, Case, Server, needs_root, wait_for


def complaints(*arguments):
    result = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


class StartCheck(Case):
    def both_say(self, server, *texts):
        for command in (["check"], ["start", "--foreground"]):
            status, output = complaints(*command, "-c", server.directory)
            self.assertEqual(status, 1, f"{command}: {output}")
            for text in texts:
                self.assertIn(text, output, command)

    def stopped(self, **options):
        return self.server(start=False, **options)

    def test_occupied_port(self):
        server = self.stopped()
        with socket.socket() as other:
            other.bind(("127.0.0.1", server.plain))
            other.listen()
            self.both_say(server, f"{server.directory}/master.cf:1: ", f"listening on 127.0.0.1:{server.plain}", "Address already in use by python",
                          f"process {os.getpid()} ", "stop it, or change the port in master.cf")

    def test_two_lines_with_one_port(self):
        server = self.stopped(master="127.0.0.1:@PLAIN@ inet n - n - - smtpd\n@PLAIN@ inet n - n - - smtpd\n  -o syslog_name=postfix/second\n")
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual(status, 1)
        self.assertIn(f"{server.directory}/master.cf:2: ", output)
        self.assertIn("Address already in use by another service of this master.cf", output)

    def test_started_twice(self):
        server = self.server(sink=self.sink())
        status, output = complaints("start", "-c", server.directory)
        self.assertEqual(status, 1)
        self.assertIn(f"already running: process {server.process.pid} serves this configuration", output)
        # What is served may be checked.
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual((status, output), (0, ""))

    def test_queue_of_another_configuration(self):
        server = self.server(sink=self.sink())
        other = self.stopped()
        other.write("main.cf", other.read("main.cf").replace(f"queue_directory = {other.directory}/spool", f"queue_directory = {server.directory}/spool"))
        self.both_say(other, f"main.cf:", f"is served by process {server.process.pid} with the configuration {server.directory}",
                      f"postern stop -c {server.directory}", "queue_directory of its own")

    def test_living_postfix(self):
        server = self.stopped()
        os.makedirs(f"{server.directory}/spool/pid")
        with open(f"{server.directory}/spool/pid/master.pid", "w") as f:
            f.write(f"{os.getpid():10d}\n")
            f.flush()
            fcntl.flock(f, fcntl.LOCK_EX)
            self.both_say(server, f"{server.directory}/main.cf:", f"belongs to a running Postfix, process {os.getpid()} ", "postfix stop")
        # A pid file that nobody holds is a dead Postfix's.
        self.assertEqual(complaints("check", "-c", server.directory)[0], 0)

    def test_dangerous_modes(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        spool = f"{server.directory}/spool"
        for name, mode, who in (("journal", 0o770, "its group"), ("content", 0o777, "everybody"), ("pid", 0o1777, "everybody"), ("", 0o777, "everybody")):
            with self.subTest(name):
                path = os.path.join(spool, name).rstrip("/")
                before = os.stat(path).st_mode & 0o7777
                os.chmod(path, mode)
                self.both_say(server, f"{server.directory}/main.cf:", f"{path} can be written by {who}", f"chmod go-w {path}")
                os.chmod(path, before)
        os.rename(f"{spool}/control", f"{spool}/elsewhere")
        with open(f"{spool}/control", "w"):
            pass
        self.both_say(server, f"{spool}/control is not a directory")
        os.unlink(f"{spool}/control")
        server.start()

    def test_harmless_modes_are_mended(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        journal = f"{server.directory}/spool/journal"
        os.chmod(journal, 0o755)
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual(status, 0)
        self.assertIn(f"{journal}: mode 0755 instead of 0700 (a start mends this)", output)
        server.start()
        server.wait_log(f"mended: {journal}: mode 0755 instead of 0700")
        self.assertEqual(os.stat(journal).st_mode & 0o7777, 0o700)

    @needs_root
    def test_owners(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        spool, postfix, nobody = f"{server.directory}/spool", pwd.getpwnam("postfix").pw_uid, pwd.getpwnam("nobody").pw_uid
        self.assertEqual([os.stat(f"{spool}/{name}").st_uid for name in ("", "pid", "journal", "content", "control")], [0, 0, postfix, postfix, postfix])
        os.chown(f"{spool}/journal", nobody, -1)
        self.both_say(server, f"{spool}/journal belongs to user nobody, not to postfix", f"chown postfix {spool}/journal")
        os.chown(f"{spool}/journal", postfix, -1)
        segment = [name for name in os.listdir(f"{spool}/journal") if name.endswith(".log")][0]
        os.chown(f"{spool}/journal/{segment}", nobody, -1)
        self.both_say(server, f"{spool}/journal/{segment} belongs to user nobody")
        # As a restored backup leaves it; and as earlier versions made the queue directory.
        os.chown(f"{spool}/journal/{segment}", 0, 0)
        os.chown(f"{spool}/content", 0, 0)
        os.chown(spool, postfix, -1)
        server.start()
        for text in (f"{spool}: owner postfix instead of root", f"{spool}/content: owner root instead of postfix", f"{segment}: owner root instead of postfix"):
            server.wait_log(f"mended: {text}" if not text.startswith(segment) else text)
        self.assertEqual([os.stat(f"{spool}/{name}").st_uid for name in ("", "content")], [0, postfix])
        self.assertEqual({os.stat(f"{spool}/journal/{name}").st_uid for name in os.listdir(f"{spool}/journal")}, {postfix})

    @needs_root
    def test_configuration_that_everybody_can_write(self):
        server = self.stopped(sink=self.sink())
        os.chmod(f"{server.directory}/master.cf", 0o666)
        self.both_say(server, f"{server.directory}/master.cf can be written by everybody", "chmod o-w")

    @needs_root
    def test_owner_is_root(self):
        server = self.stopped(sink=self.sink(), main="mail_owner = root\n")
        self.both_say(server, "mail_owner = root: must not be root")


if __name__ == "__main__":
    unittest.main()
