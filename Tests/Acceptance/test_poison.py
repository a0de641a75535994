"""A message that makes the queue role fail is put on hold at the second time, and everything else is delivered; a queue role that is killed
while messages wait for the network blames none of them."""

import os
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from postern import Case, free_port, run, wait_for
from test_queue import send

FAST = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n"


class Poison(Case):
    def setUp(self):
        self.shims = tempfile.TemporaryDirectory(prefix="postern-trap-")
        self.addCleanup(self.shims.cleanup)
        os.chmod(self.shims.name, 0o755)
        shim = f"{self.shims.name}/trap.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trap.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
        before = os.environ.get("LD_PRELOAD")
        os.environ["LD_PRELOAD"] = shim

        def restore():
            if before is None:
                os.environ.pop("LD_PRELOAD", None)
            else:
                os.environ["LD_PRELOAD"] = before

        self.addCleanup(restore)

    def test_held_at_the_second_crash(self):
        sink = self.sink()
        server = self.server(FAST, sink=sink)
        server.may_fault = True
        before = [send(server.plain, f"before-{n}") for n in range(5)]
        with smtplib.SMTP("127.0.0.1", server.plain, timeout=30) as s:
            s.sendmail("a@example.org", ["b@example.net"], "Subject: bad\r\nX-Poison: strychnine\r\n\r\nx\r\n")
        server.wait_log("put on hold: the queue role has ended twice", 60)
        after = [wait_for(lambda n=n: send(server.plain, f"after-{n}"), 30, "an accept") for n in range(5)]
        self.assertNotIn(None, before)
        sink.wait(10, 60)
        log = server.log()
        self.assertEqual(log.count("while working on this message; release it"), 1)
        # Signal 4 is a trap on x86, 5 on ARM.
        self.assertRegex(log, "the queue role ended by signal [45] while working on this message")
        self.assertRegex(log, "queue: the queue role before this one ended without closing the queue: [0-9]+ messages may have been in delivery")
        wait_for(lambda: len(server.queue_list()) == 1, what="an otherwise empty queue")
        (held,) = server.queue_list()
        self.assertEqual(held["queue_name"], "hold")
        self.assertIn("ended twice", held["hold_reason"])
        self.assertNotIn(held["queue_id"], before + after)
        self.assertIn("X-Poison", server.queue("show", held["queue_id"]))
        # As it is held on the disk, too, and the same with the server down.
        self.assertEqual(server.stop(), 0)
        self.assertIn("ended twice", server.queue("list"))
        server.start()
        time.sleep(2)
        self.assertEqual([m["queue_name"] for m in server.queue_list()], ["hold"])


class Innocents(Case):
    def test_killed_while_many_wait(self):
        """A next hop that never answers, a hundred messages on their way to it, and an impatient administrator."""
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(200)
            server = self.server(FAST + "default_destination_concurrency_limit = 50\ninitial_destination_concurrency = 50\n", downstream=f"[127.0.0.1]:{deaf.getsockname()[1]}")
            server.may_fault = True
            ids = [send(server.plain, f"m-{n}") for n in range(100)]
            self.assertNotIn(None, ids)
            for _ in range(4):
                pid = wait_for(lambda: server.roles().get("queue"), what="the queue role")
                wait_for(lambda: any(m["queue_name"] == "active" for m in server.queue_list()), 30, "messages in delivery")
                # KILL, and a signal that a fault would raise: sent from outside, neither is the message's doing.
                for number in (signal.SIGSEGV, signal.SIGKILL):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        pass
                wait_for(lambda: server.roles().get("queue", pid) != pid, 60, "a new queue role")
                wait_for(lambda: run("queue", "list", "-c", server.directory, "--json", check=False).returncode == 0, 30, "the queue")
            self.assertEqual({m["queue_id"] for m in server.queue_list()}, set(ids))
            self.assertEqual([m for m in server.queue_list() if m["queue_name"] == "hold"], [])
            self.assertNotIn("while working on this message", server.log())
            repeated = {line.split("]: ")[1].split(":")[0] for line in server.log().splitlines() if "this delivery may be a duplicate" in line}
            self.assertTrue(repeated and repeated <= set(ids), repeated)


if __name__ == "__main__":
    unittest.main()
