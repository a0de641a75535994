"""What `make conformance` compares, and that it fails when it must: outcomes of the built server with something taken away."""

import copy
import os
import sys
import unittest

from postern import BINARY, needs

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from conformance import Outcome, compare, dialogues, judge  # noqa: E402
from machines import Postern  # noqa: E402


@needs("saslpasswd2")
class Comparison(unittest.TestCase):
    """Two plays of one dialogue at one server are the same; each loss is told apart."""

    @classmethod
    def setUpClass(cls):
        [cls.dialogue] = dialogues(["order/simple"])
        cls.server = Postern([cls.dialogue], BINARY)
        cls.addClassCleanup(cls.server.remove)
        cls.server.start()
        cls.server.quiet()
        cls.one, cls.two = Outcome(cls.server, cls.dialogue), Outcome(cls.server, cls.dialogue)

    def wrong(self, change, differs=(), known=()):
        """The kinds of difference after `change` has been done to one of the outcomes, and whether the run fails for them."""
        other, dialogue = copy.copy(self.two), copy.copy(self.dialogue)
        other.replies, other.messages, other.log = list(other.replies), list(other.messages), copy.deepcopy(other.log)
        change(other)
        dialogue.differs = list(differs)
        differences = compare(dialogue, self.one, other)
        return {kind for kind, _ in differences}, judge(dialogue, differences, set(known))[0]

    def test_the_same(self):
        self.assertEqual(self.wrong(lambda o: None), (set(), []))
        self.assertTrue(self.one.messages and self.one.log["smtpd"] and self.one.log["cleanup"] and self.one.log["qmgr"] and self.one.log["smtp"])

    def test_a_lost_line_of_each_program_fails(self):
        for program, lines in self.one.log.items():
            for index in range(len(lines)):
                with self.subTest(program=program, line=lines[index]):
                    kinds, wrong = self.wrong(lambda o: o.log[program].pop(index))
                    self.assertEqual(kinds, {"log"})
                    self.assertTrue(wrong)

    def test_a_changed_line_fails(self):
        def change(outcome):
            outcome.log["smtpd"][0] += "!"

        self.assertTrue(self.wrong(change)[1])

    def test_a_lost_line_of_the_message_fails(self):
        kinds, wrong = self.wrong(lambda o: o.messages.pop())
        self.assertEqual(kinds, {"message"})
        self.assertTrue(wrong)

    def test_a_lost_reply_fails(self):
        self.assertTrue(self.wrong(lambda o: o.replies.pop())[1])

    def test_a_listed_difference_passes_and_a_stale_row_does_not(self):
        drop = lambda o: o.log["smtpd"].pop()  # noqa: E731
        self.assertEqual(self.wrong(drop, [("row", "*")], ["row"])[1], [])
        self.assertTrue(self.wrong(drop, [("row", "*")], [])[1])
        self.assertTrue(self.wrong(drop, [("row", "*another line*")], ["row"])[1])
        self.assertTrue(self.wrong(lambda o: None, [("row", "*")], ["row"])[1])
