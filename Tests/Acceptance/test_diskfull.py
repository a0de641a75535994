"""The queue's disk runs full: new mail is refused with 452, what was acknowledged is delivered, and service comes back by itself."""

import os
import re
import smtplib
import subprocess
import tempfile
import threading
import time
import unittest

from load import Connection, Downstream
from postern import Case, run, wait_for

MEGABYTE = 1 << 20


def can_mount():
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory(prefix="postern-mount-") as directory:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], capture_output=True).returncode != 0:
            return False
        subprocess.run(["umount", directory], check=True)
        return True


class Volume:
    """A small file system of its own."""

    def __init__(self, kind, megabytes):
        self.directory = tempfile.mkdtemp(prefix="postern-volume-")
        self.image = None
        self.is_mounted = False
        try:
            if kind == "tmpfs":
                command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", self.directory]
            else:
                self.image = f"{self.directory}.img"
                with open(self.image, "wb") as f:
                    f.truncate(megabytes * MEGABYTE)
                subprocess.run([f"mkfs.{kind}", "-q", "-F", self.image], check=True, capture_output=True)
                command = ["mount", "-o", "loop", self.image, self.directory]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                raise unittest.SkipTest(f"cannot mount {kind}: {result.stderr.strip()}")
            self.is_mounted = True
        except BaseException:
            self.remove()
            raise

    @property
    def free(self):
        facts = os.statvfs(self.directory)
        return facts.f_bavail * facts.f_frsize

    def fill(self, leaving=0):
        """Takes all space but `leaving` bytes."""
        with open(f"{self.directory}/filler", "ab", buffering=0) as f:
            for size in (MEGABYTE, 4096):
                try:
                    while self.free > leaving + size:
                        f.write(b"\0" * size)
                except OSError:
                    pass

    def empty(self):
        os.unlink(f"{self.directory}/filler")

    def remove(self):
        if self.is_mounted:
            # A process that has just ended may hold it a moment longer.
            wait_for(lambda: subprocess.run(["umount", self.directory], capture_output=True).returncode == 0, 20, "umount")
            self.is_mounted = False
        os.rmdir(self.directory)
        if self.image and os.path.exists(self.image):
            os.unlink(self.image)


class Client:
    """Sends messages, and knows which of them were acknowledged."""

    def __init__(self, port, sizes=(300,)):
        self.port = port
        self.sizes = sizes
        self.acknowledged = {}
        self.refusals = []
        self.count = 0
        self.lock = threading.Lock()

    def send(self, size=None):
        """The reply that decided about one message."""
        with self.lock:
            self.count += 1
            number = self.count
        size = size or self.sizes[number % len(self.sizes)]
        subject = f"m-{number}"
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as s:
            s.ehlo()
            reply = s.mail("a@example.org")
            if reply[0] == 250:
                reply = s.rcpt("b@example.net")
            if reply[0] == 250:
                try:
                    reply = s.data(f"Subject: {subject}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72))
                except smtplib.SMTPDataError as error:
                    reply = (error.smtp_code, error.smtp_error)
        with self.lock:
            if reply[0] == 250:
                id = re.search(rb"queued as ([0-9A-F]+)", reply[1]).group(1).decode()
                assert id not in self.acknowledged, "a queue id was used twice"
                self.acknowledged[id] = subject
            else:
                self.refusals.append(reply)
        return reply

    def send_until_refused(self, limit=2000):
        for _ in range(limit):
            reply = self.send()
            if reply[0] != 250:
                return reply
        raise AssertionError("the disk never ran full")


@unittest.skipUnless(can_mount(), "needs root and the right to mount")
class DiskFull(Case):
    MAIN = "minimal_backoff_time = 1000s\nqueue_run_delay = 1000s\nmessage_size_limit = 1000000\n"

    def start(self, kind="tmpfs", megabytes=64):
        self.volume = Volume(kind, megabytes)
        self.addCleanup(self.volume.remove)
        self.downstream = self.sink()
        self.downstream.stop()
        server = self.server(self.MAIN + f"queue_directory = {self.volume.directory}/spool\n", sink=self.downstream)
        self.client = Client(server.plain)
        return server

    def assertRefusedForSpace(self, reply):
        self.assertIn(reply[0], (452, 451), reply)
        self.assertRegex(reply[1], rb"^4\.3\.[01] ")

    def wait_for_service(self):
        wait_for(lambda: self.client.send()[0] == 250, 30, "mail is accepted again")

    def wait_for_refusal(self, server):
        """Until mail is refused before its content has been sent, which is when all parts of the server know."""

        def is_refused():
            reply = self.client.send()
            if reply[0] != 250:
                self.assertRefusedForSpace(reply)
            return "reject: MAIL from unknown[127.0.0.1]: 452 4.3.1 Insufficient system storage" in server.log()

        wait_for(is_refused, 30, "a refusal at MAIL")

    def deliver(self, server):
        self.downstream.start()

        def is_empty():
            # Again and again: a message in delivery at a flush is deferred a moment after it.
            run("queue", "flush", "-c", server.directory, "ALL")
            return server.queue_list() == []

        try:
            wait_for(is_empty, 60, "an empty queue")
        except AssertionError:
            self.fail(f"{server.queue('list')[-1000:]}\n{server.log()[-2000:]}")

    def check_all_delivered(self):
        found = [m.group(1).decode() for message in self.downstream.messages() if (m := re.search(rb"^Subject: (m-\d+)\r$", message, re.M))]
        wanted = set(self.client.acknowledged.values())
        self.assertEqual(wanted - set(found), set(), "acknowledged but not delivered")
        self.assertEqual(set(found) - wanted, set(), "refused but delivered")
        self.assertEqual(len(found), len(set(found)), "delivered twice")

    def test_someone_else_fills_the_disk(self):
        for kind in ("tmpfs", "ext4"):
            with self.subTest(kind):
                server = self.start(kind)
                roles = server.roles()
                for size in (300, 20_000, 200_000):
                    self.assertEqual(self.client.send(size)[0], 250)
                self.volume.fill()
                self.wait_for_refusal(server)
                # What is there goes out, although nothing is left but the reserve.
                self.deliver(server)
                self.assertEqual(len(self.downstream.messages()), len(self.client.acknowledged))
                self.assertRefusedForSpace(self.client.send())
                self.volume.empty()
                self.wait_for_service()
                wait_for(lambda: server.queue_list() == [], 30, "an empty queue")
                self.check_all_delivered()
                self.assertEqual(server.roles(), roles, "a role has died")
                server.remove()

    def test_the_queue_itself_fills_the_disk(self):
        server = self.start()
        self.client.sizes = (300, 40_000, 400_000, 900_000)
        self.assertRefusedForSpace(self.client.send_until_refused())
        self.assertGreater(len(self.client.acknowledged), 20)
        # The postmaster is told of the refusal, if there is room for that.
        waiting = {m["queue_id"] for m in server.queue_list() if not m["sender"].startswith("double-bounce@")}
        self.assertEqual(waiting, set(self.client.acknowledged))
        # Once the mail has gone out there is room again.
        self.deliver(server)
        self.wait_for_service()
        wait_for(lambda: server.queue_list() == [], 30, "an empty queue")
        self.check_all_delivered()

    def test_under_load_from_many_clients(self):
        server = self.start()
        self.client.sizes = (300, 5_000, 100_000, 700_000)
        self.downstream.start()
        stop, errors = threading.Event(), []

        def work():
            while not stop.is_set():
                try:
                    self.client.send()
                except Exception as error:
                    errors.append(error)
                    return

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(3):
                time.sleep(0.5)
                before = len(self.client.refusals)
                self.volume.fill()
                wait_for(lambda: len(self.client.refusals) > before + 5, 30, "refusals")
                self.volume.empty()
                before = len(self.client.acknowledged)
                wait_for(lambda: len(self.client.acknowledged) > before + 5, 30, "mail is accepted again")
        finally:
            stop.set()
            for t in threads:
                t.join(60)
        self.assertEqual(errors, [])
        for reply in self.client.refusals:
            self.assertRefusedForSpace(reply)
        wait_for(lambda: server.queue_list() == [], 60, "an empty queue")
        self.check_all_delivered()

    def test_bounces_go_out_on_the_full_disk(self):
        self.volume = Volume("tmpfs", 64)
        self.addCleanup(self.volume.remove)
        downstream = Downstream()
        self.addCleanup(downstream.stop)
        downstream.mode = "deferring"
        server = self.server(self.MAIN + f"queue_directory = {self.volume.directory}/spool\n", downstream=f"[127.0.0.1]:{downstream.port}")
        self.client = Client(server.plain)
        connection = Connection(server.plain)
        self.addCleanup(connection.close)
        numbers = range(1, 31)
        for number in numbers:
            self.assertEqual(connection.send(number, 100_000 if number % 10 == 0 else 300)[0], 250)
        wait_for(lambda: server.log().count("status=deferred") >= len(numbers), what="deferrals")
        self.volume.fill()
        self.wait_for_refusal(server)
        self.assertEqual(connection.send(100, 300)[0], 452)
        # Every message ends in a bounce, which needs space of its own.
        downstream.mode = "refusing"

        def all_bounced():
            run("queue", "flush", "-c", server.directory, "ALL", check=False)
            return set(downstream.bounces) == set(numbers)

        try:
            wait_for(all_bounced, 60, "bounces")
        except AssertionError:
            self.fail(f"{sorted(set(numbers) - set(downstream.bounces))}\n{server.log()[-3000:]}")
        self.assertEqual(connection.send(101, 300)[0], 452)
        self.assertEqual(downstream.arrivals, {})
        self.assertEqual({n: len(times) for n, times in downstream.bounces.items()}, {n: 1 for n in numbers})
        wait_for(lambda: server.queue_list() == [], 30, "an empty queue")
        self.volume.empty()
        downstream.mode = "up"
        wait_for(lambda: connection.send(102, 300)[0] == 250, 30, "mail is accepted again")
        wait_for(lambda: 102 in downstream.arrivals, 30, "its delivery")

    def test_a_crash_and_a_start_on_the_full_disk(self):
        server = self.start()
        for size in (300, 20_000, 200_000):
            self.assertEqual(self.client.send(size)[0], 250)
        self.volume.fill()
        self.wait_for_refusal(server)
        server.kill_all()
        server.start()
        self.assertEqual({m["queue_id"] for m in server.queue_list()}, set(self.client.acknowledged))
        self.assertRefusedForSpace(self.client.send())
        self.deliver(server)
        self.volume.empty()
        self.wait_for_service()
        wait_for(lambda: server.queue_list() == [], 30, "an empty queue")
        self.check_all_delivered()

    def test_a_restart_finds_its_own_reserve(self):
        # Less than twice the reserve is left: it must not count as missing because the last process has made it.
        server = self.start(megabytes=40)
        self.wait_for_service()
        self.assertEqual(server.stop(), 0)
        server.start()
        self.wait_for_service()
        self.deliver(server)
        self.check_all_delivered()


if __name__ == "__main__":
    unittest.main()
