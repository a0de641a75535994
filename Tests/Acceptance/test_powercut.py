"""A power cut: the real server is killed under load and starts again on only what its flushes guarantee.

kill -9 alone leaves the page cache, so a server that never flushes would pass it. Here a preloaded shim records what the server writes and
flushes, and the queue directory is replaced by what a power cut would have left (powercut.py). `POSTERN_POWERCUTS` sets how many power cuts
one queue goes through, `POSTERN_POWERCUT_SEED` the first seed.
"""

import json
import os
import random
import re
import shutil
import tempfile
import time
import unittest

import powercut
from load import Downstream, Load
from postern import Case, needs, run, wait_for

MAIN = """
queue_directory = @DIR@/disk/spool
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
message_size_limit = 20000000
qmgr_message_active_limit = 50
"""


def sizes(n):
    """Most in the journal, some in files of their own, a few of 5 MB."""
    return 5_000_000 if n % 150 == 149 else 300_000 if n % 20 == 7 else 5_000 if n % 4 == 1 else 300


@needs("cc")
class PowerCut(Case):
    def setUp(self):
        self.downstream = Downstream()
        self.addCleanup(self.downstream.stop)
        self.postern = self.server("", downstream=f"[127.0.0.1]:{self.downstream.port}", start=False)
        self.directory = self.postern.directory
        self.postern.write("main.cf", self.postern.base + MAIN.replace("@DIR@", self.directory))
        self.disk = f"{self.directory}/disk"
        os.mkdir(self.disk)
        self.acknowledged = {}
        self.life = 0

    def live(self, messages, lies=0):
        """Serves until that many messages have been acknowledged, and then dies; returns the recording."""
        self.life += 1
        log = f"{self.directory}/log-{self.life}."
        self.postern.environment = {"LD_PRELOAD": powercut.build(f"{self.directory}/shim-{self.life}.so", self.disk, log, lies)}
        recording = powercut.Recording(self.disk, log)
        self.postern.start()
        load = Load(self.postern.plain, clients=6, sizes=sizes)
        try:
            load.wait_for(messages)
        finally:
            self.postern.kill_all()
            self.acknowledged.update(load.stop())
        self.assertEqual(load.errors, [])
        return recording

    def lost(self, recording, records, seed, until):
        """Messages acknowledged by then that a power cut at that moment would lose: neither in the queue nor at the downstream."""
        tree = recording.cut(seed, until, records)
        with tempfile.TemporaryDirectory(prefix="postern-cut-", dir=self.directory) as directory:
            tree.write(f"{directory}/disk", like=self.disk)
            os.chmod(directory, 0o755)
            with open(f"{directory}/main.cf", "w") as f:
                f.write(self.postern.base + MAIN.replace("@DIR@", directory))
            shutil.copy(f"{self.directory}/master.cf", directory)
            listing = run("queue", "list", "-c", directory, "--json", check=False)
            queued = [json.loads(line) for line in listing.stdout.splitlines()]
            served, ids = self.downstream.served(until), {m["queue_id"] for m in queued}
            missing = {n for n, (id, time) in self.acknowledged.items() if time <= until and id not in ids and n not in served}
            # A message that was refused downstream lives on in its bounce.
            for bounce in [m["queue_id"] for m in queued if m["sender"] == "MAILER-DAEMON"] if missing else []:
                text = run("queue", "show", "-c", directory, bounce, check=False).stdout
                missing -= {int(number) for number in re.findall(r"^X-Number: (\d+)", text, re.M)}
            return missing

    def test_what_was_acknowledged_survives(self):
        cuts = int(os.environ.get("POSTERN_POWERCUTS", "4"))
        first = int(os.environ.get("POSTERN_POWERCUT_SEED", "0"))
        for seed in range(first, first + cuts):
            with self.subTest(seed=seed):
                self.downstream.mode = ("deferring", "up", "slow", "refusing")[seed % 3 if seed % 8 else 3]
                begun = time.monotonic()
                recording = self.live(messages=150)
                records, ended = recording.records(), time.monotonic()
                self.assertGreater(sum(r[0] == powercut.FLUSHED for r in records), 5)
                # At any moment before as well, each with another disk.
                choice = random.Random(seed)
                for number in range(3):
                    until = begun + choice.random() * (ended - begun)
                    self.assertEqual(self.lost(recording, records, 3 * seed + number, until), set(), f"cut after {until - begun:.3f} s")
                recording.cut(seed, None, records).write(self.disk)
        self.downstream.mode = "up"
        self.postern.environment = {}
        self.postern.start()
        self.check_delivered()
        self.assertNotIn("damage", self.postern.log())

    def check_delivered(self):
        missing = lambda: set(self.acknowledged) - self.downstream.served()

        def is_served():
            run("queue", "flush", "-c", self.directory, "ALL", check=False)
            return not missing() and self.postern.queue_list() == []

        try:
            wait_for(is_served, 90, "delivery")
        except AssertionError:
            self.fail(f"acknowledged, not delivered: {sorted(missing())[:10]}\n{self.postern.queue('list')[-1000:]}\n{self.postern.log()[-3000:]}")
        self.assertEqual(self.downstream.wrong, [])

    def test_the_recording_is_complete(self):
        """With everything kept, what is worked out from the recording is what is on the disk."""
        self.downstream.mode = "deferring"
        log = f"{self.directory}/log."
        self.postern.environment = {"LD_PRELOAD": powercut.build(f"{self.directory}/shim.so", self.disk, log)}
        recording = powercut.Recording(self.disk, log)
        self.postern.start()
        load = Load(self.postern.plain, clients=4, sizes=sizes)
        load.wait_for(60)
        load.stop()
        self.downstream.mode = "up"
        wait_for(lambda: len(self.downstream.served()) > 30, what="some deliveries")
        self.assertEqual(self.postern.stop(), 0)
        kept, real = recording.cut(seed=1).content, powercut.Tree.read(self.disk).content
        self.assertEqual(set(kept), set(real))
        self.assertEqual([path for path in real if kept[path] != real[path]], [])
        self.assertTrue(any(path.endswith(".log") and content for path, content in real.items()))

    def test_short_and_interrupted_writes(self):
        shim = powercut.build(f"{self.directory}/shim.so", self.disk, f"{self.directory}/log.", short_writes=True)
        self.postern.environment = {"LD_PRELOAD": shim}
        self.downstream.mode = "deferring"
        recording = powercut.Recording(self.disk, f"{self.directory}/log.")
        self.postern.start()
        load = Load(self.postern.plain, clients=4, sizes=sizes)
        load.wait_for(40)
        self.acknowledged.update(load.stop())
        records = recording.records()
        self.assertGreater(sum(r[0] == powercut.WRITTEN for r in records), 10 * len(self.acknowledged))
        # From the disk, not from memory.
        self.postern.kill_all()
        self.postern.environment = {}
        self.downstream.mode = "up"
        self.postern.start()
        self.check_delivered()

    def test_a_disk_that_lies_is_found_out(self):
        """The test above can fail: with flushes of files, of directories, or both switched off it does."""
        # A queue that is wholly on the disk to begin with, so that only what is new can get lost.
        self.postern.start()
        self.postern.stop()
        self.downstream.mode = "deferring"
        for lies in (powercut.FILES, powercut.DIRECTORIES, powercut.FILES | powercut.DIRECTORIES):
            before = powercut.Tree.read(self.disk)
            recording = self.live(messages=60, lies=lies)
            records, now = recording.records(), time.monotonic()
            # Names are few, so now and then all of them reach the disk without being flushed.
            losses = {seed: self.lost(recording, records, seed, now) for seed in (0, 2, 3, 6)}
            with self.subTest(lies=lies, losses={seed: len(lost) for seed, lost in losses.items()}):
                self.assertNotEqual(losses[0], set(), "the loss was not noticed")
                self.assertGreater(sum(lost != set() for lost in losses.values()), 1)
            with self.subTest(lies=lies, seed="everything kept"):
                self.assertEqual(self.lost(recording, records, 1, now), set())
            before.write(self.disk)
            self.acknowledged.clear()


if __name__ == "__main__":
    unittest.main()
