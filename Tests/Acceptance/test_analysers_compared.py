"""The same traffic through Postfix and through us: fail2ban's stock filter in each of its modes, pflogsumm and logwatch must say the same of both logs."""

import os
import re
import subprocess
import sys
import unittest

from postern import BINARY, needs, needs_root

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from conformance import QUEUED, dialogues  # noqa: E402
from dialogue import play  # noqa: E402
from machines import Postern, Postfix  # noqa: E402

LOGWATCH = "/usr/share/logwatch/scripts/services/postfix"
# Each kind of line that the three programs tell apart, several times over.
TRAFFIC = ("policy/relay-denied", "policy/connect-denied", "log/queue", "log/second-reject", "auth/errors", "auth/lost", "limits/errors-auth",
           "limits/message-rate.", "connect/early-talker.", "connect/http", "connect/rate", "loop/lost.", "loop/lost-in-data", "loop/forbidden",
           "loop/timeout.", "tls/starttls", "tls/handshake-failure", "mail/sender-restrictions", "peer/xclient.", "pipelining/forbidden", "data/hops",
           "limits/size")
MODES = ("normal", "auth", "ddos", "aggressive", "more", "rbl", "extra", "errors")


@needs_root
@needs("postfix", "saslpasswd2")
class Compared(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        chosen = [d for d in dialogues() if any(f"{d.name}.".startswith(name) or d.name == f"{name}.smtp" for name in TRAFFIC)]
        cls.logs = {}
        for kind in (Postfix, Postern):
            machine = kind(chosen, BINARY)
            cls.addClassCleanup(machine.remove)
            machine.start()
            machine.quiet()
            offset = machine.log_size()
            for dialogue in chosen:
                begin = machine.log_size()
                heard = play(dialogue, machine.port(dialogue))
                ids = [m[1] for _, line in heard if (m := QUEUED.search(line))]
                machine.settled(begin, sum(step.kind in ("new", "another") for step in dialogue.steps), ids)
            # What Postfix's helpers and our own supervisor say of themselves is of no session.
            lines = [line for line in machine.log(offset).splitlines(True) if re.search(r"\]: |/(smtpd|cleanup|qmgr|smtp|bounce)\[", line)]
            cls.logs[kind.name] = machine.path("mix")
            machine.write("mix", "".join(line for line in lines if not re.search(r" postfix/(anvil|scache|tlsmgr|master|postfix-script)\[| runs as ", line)))

    def outputs(self, *command):
        environment = {**os.environ, "LC_ALL": "C", "LOGWATCH_DETAIL_LEVEL": "10", "LOGWATCH_NUMERIC": "1"}
        found = []
        for name in ("Postfix", "Postern"):
            result = subprocess.run([w.replace("LOG", self.logs[name]) for w in command], capture_output=True, text=True, timeout=120, env=environment)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            found.append(result.stdout)
        return found

    @needs("fail2ban-regex")
    def test_fail2ban(self):
        total = 0
        for mode in MODES:
            with self.subTest(mode=mode):
                theirs, ours = (re.findall(r"(\d+) matched", out)[-1] for out in self.outputs("fail2ban-regex", "LOG", f"postfix[mode={mode}]"))
                self.assertEqual(int(ours), int(theirs))
                total += int(theirs)
        self.assertGreater(total, 30)

    @needs("pflogsumm")
    def test_pflogsumm(self):
        theirs, ours = (self.plain(out) for out in self.outputs("pflogsumm", "--smtpd_stats", "LOG"))
        self.assertIn("received", "\n".join(theirs))
        self.assertEqual(ours, theirs)

    @unittest.skipUnless(os.path.exists(LOGWATCH), "needs logwatch")
    def test_logwatch(self):
        theirs, ours = (self.plain(out) for out in self.outputs("perl", LOGWATCH, "--detail", "10", "LOG"))
        self.assertNotIn("**Unmatched Entries**", "\n".join(theirs))
        self.assertEqual(ours, theirs)

    @staticmethod
    def plain(text):
        """The lines, section by section in alphabetical order, without ids, sizes, times and the listed difference [close-error]."""
        text = re.sub(r"\b(?:[0-9A-F]{9,12}|[0-9A-Za-z]{15})\b", "ID", text)
        text = re.sub(r"(127\.0\.0\.1\]?|service 127\.0\.0\.1):\d{4,5}", r"\1:PORT", text)
        text = re.sub(r"\d+:\d\d:\d\d|\b\d+\.\d+ *s\b", "T", text)
        sections, is_measure = [[]], False
        for line in text.splitlines():
            if line and line[0] not in " -=*":
                sections.append([])
                is_measure = "size" in line or "Summary" in line
            if not is_measure and not re.search(r"[Bb]ytes|connect time|[Dd]elay|qmgr  |Conn setup|Transmission|Total  .*  |mix|mail_stream_cleanup|cleanup \(total|Miscellaneous warn", line):
                sections[-1].append(re.sub(r"\s+", " ", line))
        return [line for section in sections for line in sorted(section)]


if __name__ == "__main__":
    unittest.main()
