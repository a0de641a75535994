"""Every dialogue of Tests/Dialogues against the built server, over TCP and TLS: one server, with a service for each set of parameters."""

import os
import sys
import unittest

from postern import BINARY, needs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from conformance import QUEUED, dialogues  # noqa: E402
from dialogue import expect, matches  # noqa: E402
from gaps import gaps  # noqa: E402
from machines import Postern, wait_for  # noqa: E402


@needs("saslpasswd2")
class Dialogues(unittest.TestCase):
    def test_every_fact_has_a_dialogue(self):
        self.assertEqual(gaps(), [])

    def test_dialogues(self):
        files = dialogues()
        self.assertGreater(len(files), 20)
        server = Postern(files, BINARY)
        self.addCleanup(server.remove)
        server.start()
        server.quiet()
        for dialogue in files:
            with self.subTest(dialogue.name):
                self.assertEqual(self.failures(server, dialogue), [])

    def failures(self, server, dialogue):
        offset = server.log_size()
        failures, heard = expect(dialogue, server.port(dialogue))
        accepted = [(number, m[1]) for number, line in heard if (m := QUEUED.search(line))]
        for step in dialogue.steps:
            if step.kind == "L":
                found = wait_for(lambda: any(matches(line, step.value) for line in server.lines(offset)), 10)
                if not found:
                    failures.append(f"line {step.number}: not in the log: {step.value}\n" + "\n".join(server.lines(offset)))
            elif step.kind == "M":
                last = [queue_id for number, queue_id in accepted if number < step.number][-1:]
                message = last and server.recorder.message(last[0]) or []
                if not any(matches(line, step.value) for line in message):
                    failures.append(f"line {step.number}: not in the message: {step.value}")
        server.settled(offset, sum(step.kind in ("new", "another") for step in dialogue.steps))
        return failures
