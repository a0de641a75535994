"""systemd's protocols (sd_notify, watchdog, passed sockets), containers (process 1, log on standard output), and the units in Conf/."""

import fcntl
import ipaddress
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

from postern import BINARY, Case, end, needs, needs_root, port_open, run, wait_for

CONF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Conf")

LAUNCHER = """
import os, sys
sockets = [int(n) for n in sys.argv[1].split(",")]
keep = [os.dup(n) for n in sockets]
for place, n in enumerate(keep):
    os.dup2(n, 3 + place)
    # It may have been there already, and closed by exec.
    os.set_inheritable(3 + place, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(keep)), LISTEN_FDNAMES=":".join(["smtp"] * len(keep)))
if sys.argv[2] != "root":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.execv(sys.argv[3], sys.argv[3:])
"""


def listener(port=0):
    s = socket.socket()
    s.bind(("127.0.0.1", port))
    s.listen()
    return s


class Notify(Case):
    def manager(self, server, **more):
        directory = tempfile.mkdtemp(prefix="postern-notify-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(f"{directory}/notify")
        manager.settimeout(60)
        server.environment = {"NOTIFY_SOCKET": f"{directory}/notify", **more}
        return manager

    def until(self, manager, text):
        while True:
            message = manager.recv(4096).decode()
            if text in message.split("\n"):
                return message

    def test_ready_watchdog_stopping(self):
        server = self.server(start=False, sink=self.sink())
        manager = self.manager(server, WATCHDOG_USEC="1000000")
        server.start(wait=False)
        message = self.until(manager, "READY=1")
        self.assertIn(f"MAINPID={server.process.pid}", message)
        # It serves by then.
        self.assertTrue(port_open(server.plain))
        for _ in range(3):
            self.until(manager, "WATCHDOG=1")
        # A supervisor that hangs does not ping.
        server.process.send_signal(signal.SIGSTOP)
        manager.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(10):
                manager.recv(4096)
        server.process.send_signal(signal.SIGCONT)
        manager.settimeout(60)
        self.until(manager, "WATCHDOG=1")
        server.process.send_signal(signal.SIGTERM)
        self.until(manager, "STOPPING=1")
        self.assertEqual(server.process.wait(40), 0)

    def test_reload(self):
        server = self.server(start=False, sink=self.sink())
        manager = self.manager(server)
        server.start(wait=False)
        self.until(manager, "READY=1")
        before = time.monotonic_ns() // 1000
        server.process.send_signal(signal.SIGHUP)
        begun = self.until(manager, "RELOADING=1")
        self.assertLessEqual(before, int(re.search(r"^MONOTONIC_USEC=(\d+)$", begun, re.M)[1]))
        self.assertIn("STATUS=generation 2\n", self.until(manager, "READY=1"))
        # One that fails ends, too.
        good = server.read("main.cf")
        server.write("main.cf", good + "smtpd_recipient_restrictions = nonsense\n")
        self.until(manager, "RELOADING=1")
        self.assertIn("STATUS=reload failed, generation 2 goes on\n", self.until(manager, "READY=1"))
        server.write("main.cf", good)
        self.until(manager, "RELOADING=1")
        self.until(manager, "READY=1")
        # The new program knows the manager, too.
        run("upgrade", "-c", server.directory)
        self.until(manager, "RELOADING=1")
        wait_for(lambda: "STATUS=generation 4\n" in self.until(manager, "READY=1"), what="the end of the upgrade")

    def test_abstract_socket_and_somebody_elses_watchdog(self):
        server = self.server(start=False, sink=self.sink())
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        name = f"postern-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(60)
        server.environment = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}
        server.start(wait=False)
        self.until(manager, "READY=1")
        manager.settimeout(1)
        with self.assertRaises(TimeoutError):
            manager.recv(4096)


class StuckQueue(Case):
    """The queue role is there and does nothing, as on a disk that hangs."""

    def test_status_says_so_in_bounded_time(self):
        server = self.server(sink=self.sink())
        queue = server.roles()["queue"]
        os.kill(queue, signal.SIGSTOP)
        self.addCleanup(lambda: os.path.exists(f"/proc/{queue}") and os.kill(queue, signal.SIGCONT))
        # As many requests as its socket has room for: a further one cannot even connect.
        waiting = []
        self.addCleanup(lambda: [s.close() for s in waiting])
        for _ in range(40):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            try:
                waiting[-1].connect(f"{server.directory}/spool/control/queue")
            except BlockingIOError:
                break
        else:
            self.fail("the socket takes any number of connections")
        found = json.loads(run("status", "--json", "-c", server.directory).stdout)
        self.assertIsNone(found["queue"])
        self.assertIn("the queue does not answer", found["problems"])
        os.kill(queue, signal.SIGCONT)
        for s in waiting:
            s.close()
        wait_for(lambda: "the queue does not answer" not in run("check", "--live", "-c", server.directory, check=False).stdout, 60, "the queue's answer")

    @unittest.skipUnless("POSTERN_SOAK_SECONDS" in os.environ, "waits for half a minute: make soak")
    def test_mail_is_put_off_while_the_queue_role_stays_away(self):
        server = self.server(sink=self.sink())
        # While another process has the queue, no queue role can open it.
        os.kill(server.process.pid, signal.SIGSTOP)
        os.kill(server.roles()["queue"], signal.SIGKILL)
        with open(f"{server.directory}/spool/journal/LOCK", "rb") as lock:
            wait_for(lambda: self.locked(lock), what="the queue's lock")
            os.kill(server.process.pid, signal.SIGCONT)
            with smtplib.SMTP("127.0.0.1", server.plain, timeout=100) as s:
                s.ehlo()
                replies = [s.mail("a@example.org"), s.rcpt("b@example.net")]
                if replies[-1][0] == 250:
                    replies.append(s.data(b"Subject: away\r\n\r\nx\r\n"))
                self.assertEqual(replies[-1], (451, b"4.3.0 Error: queue file write error"))
        # Everything goes on once the queue can be opened.
        def sent():
            try:
                with smtplib.SMTP("127.0.0.1", server.plain, timeout=100) as s:
                    s.sendmail("a@example.org", ["b@example.net"], b"Subject: back\r\n\r\nx\r\n")
                return True
            except smtplib.SMTPException:
                return False
        wait_for(sent, 120, "mail to be taken again")
        server.sink.wait(1, 60)

    @staticmethod
    def locked(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False



class PassedSockets(Case):
    def start(self, server, sockets, user):
        with open(f"{server.directory}/stderr", "w") as stderr:
            server.process = subprocess.Popen(
                ["python3", "-c", LAUNCHER, ",".join(str(s.fileno()) for s in sockets), user, BINARY, "start", "-c", server.directory, "--foreground"],
                pass_fds=[s.fileno() for s in sockets], stderr=stderr)

    def submit(self, server):
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
            s.sendmail("a@example.org", "b@example.net", "Subject: passed\r\n\r\nx\r\n")

    def test_socket_that_waits_with_a_client(self):
        sink = self.sink()
        server = self.server(start=False, sink=sink)
        passed = listener(server.plain)
        # It connects before there is a server.
        client = socket.create_connection(("127.0.0.1", server.plain), timeout=60)
        self.start(server, [passed], "root")
        passed.close()
        self.assertTrue(client.recv(100).startswith(b"220 "))
        client.close()
        self.submit(server)
        sink.wait(1)
        # A role that dies gets it again.
        victim = server.roles()["smtpd"]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: server.roles().get("smtpd") not in (None, victim), what="another smtpd role")
        self.submit(server)
        sink.wait(2)

    @needs_root
    def test_no_root_at_all(self):
        """A port below 1024, bound by the starter; everything runs as nobody."""
        sink = self.sink()
        server = self.server(start=False, sink=sink)
        try:
            passed = socket.socket()
            passed.bind(("127.0.0.1", 987))
            passed.listen()
        except OSError as error:
            self.skipTest(f"port 987: {error}")
        server.write("master.cf", server.read("master.cf").replace(f"127.0.0.1:{server.plain} ", "127.0.0.1:987 "))
        server.plain = 987
        for path in (server.directory, f"{server.directory}/data"):
            os.chown(path, 65534, 65534)
        self.start(server, [passed], "nobody")
        passed.close()
        wait_for(lambda: "daemon started" in server.log(), 60, "the server's start")
        self.submit(server)
        sink.wait(1)
        for name, pid in [("supervisor", server.process.pid), *server.roles().items()]:
            with open(f"/proc/{pid}/status") as f:
                status = f.read()
            self.assertRegex(status, r"Uid:\t65534\t65534\t65534\t65534\n", name)
            self.assertRegex(status, r"CapEff:\t0+\n", name)
        found = run("role", "smtpd", "--probe", "-c", server.directory, f"{server.directory}/spool/journal", user=65534, group=65534, extra_groups=[]).stdout
        self.assertIn(f"read {server.directory}/spool/journal: Permission denied", found)

    def test_what_is_passed_and_not_wanted(self):
        server = self.server(start=False, sink=self.sink())
        right, other = listener(server.plain), listener()
        self.start(server, [right, other], "root")
        port = other.getsockname()[1]
        right.close()
        other.close()
        wait_for(lambda: "daemon started" in server.log(), 60, "the server's start")
        self.assertIn(f"no service of master.cf listens on 127.0.0.1:{port}, which was passed", server.read("stderr"))
        self.submit(server)


class Container(Case):
    @needs_root
    @needs("unshare")
    def test_process_one(self):
        """As in a container: process 1, the log on standard output; it answers SIGTERM and collects orphans."""
        sink = self.sink()
        server = self.server("maillog_file = /dev/stdout\n", start=False, sink=sink)
        output = open(f"{server.directory}/output", "w+")
        self.addCleanup(output.close)
        outer = server.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", BINARY, "start", "-c", server.directory, "--foreground"],
            stdout=output, stderr=output)
        log = lambda: server.read("output")
        wait_for(lambda: "daemon started" in log(), 60, "the server's start")
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
            s.sendmail("a@example.org", "b@example.net", "Subject: contained\r\n\r\nx\r\n")
        sink.wait(1)
        wait_for(lambda: "status=sent" in log() and re.search(r"smtpd\[\d+\]: disconnect from", log()), what="lines of both roles on standard output")
        with open(f"/proc/{outer.pid}/task/{outer.pid}/children") as f:
            one = int(f.read().split()[0])
        # A process whose parent has ended becomes a child of process 1, and must not stay a zombie.
        subprocess.run(["nsenter", "-t", str(one), "-p", "-m", "sh", "-c", "sh -c 'sleep 0.3 & exit' & exit"], check=True)
        def zombies():
            with open(f"/proc/{one}/task/{one}/children") as f:
                children = f.read().split()
            states = []
            for pid in children:
                try:
                    with open(f"/proc/{pid}/stat") as f:
                        states.append(f.read().rsplit(")", 1)[1].split()[0])
                except FileNotFoundError:
                    pass
            return states.count("Z"), len(states)
        time.sleep(0.6)
        wait_for(lambda: zombies()[0] == 0, what="no zombies")
        self.assertEqual(zombies()[1], 2, "queue and smtpd")
        os.kill(one, signal.SIGTERM)
        self.assertEqual(outer.wait(40), 0)
        self.assertIn("terminating on signal 15\n", log())


@needs("systemd-analyze")
class Units(unittest.TestCase):
    def unit(self, name):
        directory = tempfile.mkdtemp(prefix="postern-unit-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        for file in os.listdir(CONF):
            if file.endswith((".service", ".socket")):
                with open(f"{CONF}/{file}") as f:
                    text = f.read().replace("@PREFIX@/sbin/postern", BINARY).replace("@PREFIX@", "/usr/local")
                with open(f"{directory}/{file}", "w") as f:
                    f.write(text)
        return f"{directory}/{name}"

    def test_exposure(self):
        for name, most in (("postern.service", 2.0), ("postern-unprivileged.service", 2.0)):
            with self.subTest(name):
                result = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", self.unit(name)], capture_output=True, text=True, timeout=60)
                level = re.search(r"Overall exposure level for \S+ ([0-9.]+)", result.stdout)
                self.assertIsNotNone(level, result.stdout + result.stderr)
                self.assertLessEqual(float(level[1]), most)

    def test_addresses(self):
        """The units allow what a mail server talks to, and nothing else."""
        for name in ("postern.service", "postern-unprivileged.service"):
            with open(f"{CONF}/{name}") as f:
                allowed = [ipaddress.ip_network(word) for word in re.search(r"^IPAddressAllow=(.*)$", f.read(), re.M)[1].split()]
            for version, outside in ((4, "224.0.0.0/3"), (6, "ff00::/8")):
                networks = [network for network in allowed if network.version == version]
                outside = ipaddress.ip_network(outside)
                self.assertFalse(any(network.overlaps(outside) for network in networks), name)
                everything = list(ipaddress.collapse_addresses([*networks, outside]))
                self.assertEqual([network.prefixlen for network in everything], [0], name)

    def test_syntax(self):
        for name in ("postern.service", "postern-unprivileged.service", "postern-unprivileged.socket"):
            with self.subTest(name):
                result = subprocess.run(["systemd-analyze", "verify", "--man=no", self.unit(name)], capture_output=True, text=True, timeout=60)
                ours = [line for line in result.stderr.splitlines() if "postern" in line]
                self.assertEqual(ours, [])


if __name__ == "__main__":
    unittest.main()
