"""Who the client is: Postern and Postfix hear the same answers to PTR and address questions, and must say the same in replies, headers and log.

Both run in a mount namespace whose resolv.conf names a server of this test, and whose hosts and nsswitch.conf are this test's, too.
"""

import os
import shutil
import sys
import tempfile
import unittest

from dnsstub import SERVFAIL, SILENCE, NameServer, Zone, reverse
from postern import BINARY, needs, needs_root

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from conformance import Outcome, compare  # noqa: E402
from dialogue import Dialogue  # noqa: E402
from machines import Postern, Postfix  # noqa: E402

HOSTS = """
127.0.0.1 localhost
127.9.0.1 filed.example filed
127.9.0.2 filed-elsewhere.example
127.9.0.3 bad..name
127.9.0.4 b@d
127.9.0.5 -x.example
127.9.0.6 1.2.3.4
127.9.0.7 .lead.example
127.9.0.8 tail.example.
127.9.0.9 Mixed.Example
127.9.0.10 under_score
127.9.0.11 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.example
127.99.0.1 lies.example
"""

# Client address -> what the DNS says of it.
CLIENTS = {
    "127.9.1.1": {"": [("PTR", "good.example")], "good.example": [("A", "127.9.1.1")]},
    "127.9.1.2": {},
    "127.9.1.3": {"": SERVFAIL},
    "127.9.1.4": {"": [("TXT", "no PTR")]},
    "127.9.1.5": {"": [("PTR", "forged.example")], "forged.example": [("A", "127.66.6.6")]},
    "127.9.1.6": {"": [("PTR", "gone.example")]},
    "127.9.1.7": {"": [("PTR", "broken.example")], "broken.example": SERVFAIL},
    "127.9.1.8": {"": [("PTR", "six.example")], "six.example": [("AAAA", "2001:db8::1")]},
    "127.9.1.9": {"": [("PTR", "127.9.1.9")], "127.9.1.9": [("A", "127.9.1.9")]},
    "127.9.1.10": {"": [("PTR", "under_score.example")], "under_score.example": [("A", "127.9.1.10")]},
    "127.9.1.11": {"": [("PTR", "-hyphen.example")], "-hyphen.example": [("A", "127.9.1.11")]},
    "127.9.1.12": {"": [("PTR", [b"bad name", b"example"])], "bad name.example": [("A", "127.9.1.12")]},
    "127.9.1.13": {"": [("PTR", [b"a\r\nHELO x", b"example"])]},
    "127.9.1.14": {"": [("PTR", [b"[127.0.0.1]", b"example"])]},
    "127.9.1.15": {"": [("PTR", "one.example"), ("PTR", "two.example")], "one.example": [("A", "127.9.1.15")], "two.example": [("A", "127.9.1.15")]},
    "127.9.1.16": {"": [("PTR", "other.example"), ("PTR", "mine.example")], "other.example": [("A", "127.66.6.6")], "mine.example": [("A", "127.9.1.16")]},
    "127.9.1.17": {"": [("CNAME", "17.sub.9.127.in-addr.arpa")], "17.sub.9.127.in-addr.arpa": [("PTR", "classless.example")],
                   "classless.example": [("A", "127.9.1.17")]},
    "127.9.1.18": {"": [("PTR", "alias.example")], "alias.example": [("CNAME", "real.example")], "real.example": [("A", "127.9.1.18")]},
    "127.9.1.19": {"": [("PTR", "many.example")], "many.example": [("A", f"127.66.1.{n}") for n in range(1, 60)] + [("A", "127.9.1.19")]},
    "127.9.1.20": {"": [("PTR", "MixedCase.Example")], "mixedcase.example": [("A", "127.9.1.20")]},
    "127.9.1.21": {"": [("PTR", "single")], "single": [("A", "127.9.1.21")]},
    "127.9.1.22": {"": [("PTR", "localhost")], "localhost": [("A", "127.9.1.22")]},
    "127.9.1.23": {"": [("PTR", "lies.example")], "lies.example": [("A", "127.9.1.23")]},
    "127.9.1.24": {"": [("PTR", "filed.example")], "filed.example": [("A", "127.9.1.24")]},
    "127.9.1.25": {"": [("PTR", "loop.example")], "loop.example": [("CNAME", "nowhere.example")]},
    "127.9.1.26": {"": [("PTR", [b"x" * 63] * 3 + [b"y" * 50, b"example"])], ".".join(["x" * 63] * 3 + ["y" * 50, "example"]): [("A", "127.9.1.26")]},
    "127.9.1.27": {"": [("PTR", [b"caf\xc3\xa9", b"example"])], "caf\u00c3\u00a9.example": [("A", "127.9.1.27")]},
    "127.9.1.28": {"": [("PTR", [])]},
    "127.9.1.29": {"": [("PTR", "trailing-.example")], "trailing-.example": [("A", "127.9.1.29")]},
    "127.9.1.30": {"": SILENCE},
    "127.9.1.31": {"": [("PTR", "silent.example")], "silent.example": SILENCE},
    "127.9.1.32": {"": [("PTR", "a.-b.example")]},
    "127.9.1.33": {"": [("PTR", "a-.b.example")]},
    "127.9.1.34": {"": [("PTR", "_u.example")], "_u.example": [("A", "127.9.1.34")]},
    "127.9.1.35": {"": [("PTR", "*.example")]},
    "127.9.1.36": {"": [("PTR", [b"0/25", b"example"])]},
    "127.9.1.37": {"": [("PTR", [b"a.b", b"example"])]},
    "127.9.1.38": {"": [("PTR", "1.2")]},
    "127.9.1.39": {"": [("PTR", [b"x" * 63] * 3 + [b"y" * 63])]},
    **{f"127.9.0.{n}": {} for n in range(1, 12)},
}

SETTINGS = {
    "plain": {},
    "no look-up": {"smtpd_peername_lookup": "no"},
    "ports": {"smtpd_client_port_logging": "yes"},
    "no name": {"smtpd_client_restrictions": "reject_unknown_client_hostname"},
    "no name at once": {"smtpd_client_restrictions": "reject_unknown_client_hostname", "smtpd_delay_reject": "no"},
    "no reverse name": {"smtpd_client_restrictions": "reject_unknown_reverse_client_hostname"},
    "names in tables": {"smtpd_client_restrictions": "check_client_access inline:{ { good.example = 550 by name }, { forged.example = 550 by forged name }, "
                        "{ unknown = 550 by unknown } }, check_reverse_client_hostname_access inline:{ { forged.example = 550 by reverse name }, "
                        "{ gone.example = 550 by reverse name } }"},
}
# With the settings that look at one client as at the next.
FEW = ["127.9.1.1", "127.9.1.2", "127.9.1.3", "127.9.1.5", "127.9.1.6", "127.9.1.7", "127.9.1.29"]

TALK = """S: 220 ?
C: HELO h
S: 250 ?
C: MAIL FROM:<s@a.example>
S: 250 ?
C: RCPT TO:<r@b.example>
S: 250 ?
C: DATA
S: 354 ?
C: Subject: x
C:
C: text
C: .
S: 250 ?
C: QUIT
S: 221 ?
"""
REFUSED = """S: 220 ?
C: HELO h
S: 250 ?
C: MAIL FROM:<s@a.example>
S: 250 ?
C: RCPT TO:<r@b.example>
S: 250 ?
C: QUIT
S: 221 ?
"""


@needs_root
@needs("postfix", "saslpasswd2")
class PeerNames(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="postern-peers-")
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        os.chmod(cls.directory, 0o755)
        zone = Zone()
        for address, records in CLIENTS.items():
            for name, value in records.items():
                zone[name.lower() or reverse(address)] = value
        cls.server = NameServer(zone)
        cls.addClassCleanup(cls.server.remove)
        files = {"hosts": HOSTS, "nsswitch.conf": "passwd: files\ngroup: files\nservices: files\nprotocols: files\nhosts: files dns\n",
                 "resolv.conf": f"nameserver {cls.server.address}\noptions timeout:1 attempts:1\n"}
        for name, text in files.items():
            with open(f"{cls.directory}/{name}", "w") as f:
                f.write(text)
        mounts = " && ".join(f'mount --bind "$0/{name}" /etc/{name}' for name in files)
        inside = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', cls.directory]
        cls.dialogues = {}
        for setting, parameters in SETTINGS.items():
            for address in CLIENTS if setting == "plain" else FEW:
                cls.dialogues[setting, address] = cls.dialogue(setting, address, parameters)
        cls.machines = []
        for kind in (Postfix, Postern):
            machine = kind(list(cls.dialogues.values()), BINARY, inside)
            cls.addClassCleanup(machine.remove)
            machine.start()
            machine.quiet()
            cls.machines.append(machine)

    @classmethod
    def dialogue(cls, setting, address, parameters):
        lines = [f"set {name} = {value}" for name, value in {"smtpd_peername_lookup": "yes", **parameters}.items()]
        path = f"{cls.directory}/{setting}-{address}"
        with open(path, "w") as f:
            f.write("\n".join([*lines, REFUSED if "smtpd_client_restrictions" in parameters else TALK]))
        dialogue = Dialogue(path, f"{setting}: {address}")
        dialogue.client = address
        return dialogue

    def outcomes(self, setting, address):
        return [Outcome(machine, self.dialogues[setting, address]) for machine in self.machines]

    def compare(self, setting, expected):
        """All clients with one setting; `expected`: address -> text that must stand in the log, so that the same is not nothing twice."""
        for address in [a for s, a in self.dialogues if s == setting]:
            with self.subTest(client=address, dns=CLIENTS[address]):
                outcomes = self.outcomes(setting, address)
                self.assertEqual("\n".join(text for _, text in compare(None, *outcomes)), "")
                self.assertIn(expected.get(address, "connect from "), "\n".join(outcomes[0].log["smtpd"]))

    def test_names(self):
        refused = "does not resolve to address"
        self.compare("plain", {
            "127.9.1.1": "connect from good.example[127.9.1.1]", "127.9.1.2": "connect from unknown[127.9.1.2]",
            "127.9.1.5": f"warning: hostname forged.example {refused} 127.9.1.5",
            "127.9.1.6": f"warning: hostname gone.example {refused} 127.9.1.6: Name or service not known",
            "127.9.0.1": "connect from filed.example[127.9.0.1]",
        })

    def test_what_depends_on_names(self):
        for setting in SETTINGS.keys() - {"plain"}:
            self.compare(setting, {})


if __name__ == "__main__":
    unittest.main()
