"""The queue: what was answered with 250 is delivered, whatever dies; and `postern queue`, with the server up and down."""

import json
import os
import re
import signal
import smtplib
import socket
import ssl
import time
import unittest

from ports import free_port
from postern import Case, Server, run, wait_for


def send(port, subject, size=200, recipients=("b@example.net",)):
    """Returns the queue id of a message that was answered with 250, None when it was refused or the connection was lost."""
    body = ("x" * 70 + "\r\n") * (size // 72)
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as s:
            s.ehlo()
            s.mail("a@example.org")
            for recipient in recipients:
                s.rcpt(recipient)
            code, text = s.data(f"Subject: {subject}\r\n\r\n{body}")
            return re.search(rb"queued as ([0-9A-F]+)", text).group(1).decode() if code == 250 else None
    except (OSError, smtplib.SMTPException):
        return None


class RemoteFlush(Case):
    """ETRN (RFC 1985): deferred mail for one domain leaves, other mail stays."""

    def etrn(self, domain):
        with smtplib.SMTP("127.0.0.1", self.postern.plain, timeout=30) as s:
            s.ehlo()
            self.assertTrue(s.has_extn("etrn"))
            code, text = s.docmd("ETRN", domain)
            return code, text.decode()

    def test_mail_for_one_domain_leaves(self):
        ports = {name: free_port() for name in ("one", "two")}
        routes = ", ".join(f"{{ {name}.example = smtp:[127.0.0.1]:{port} }}" for name, port in ports.items())
        self.postern = self.server(
            f"transport_maps = inline:{{ {routes} }}\nfast_flush_domains = one.example, $relay_domains\nrelay_domains = two.example\n"
            "minimal_backoff_time = 1000s\nqueue_run_delay = 1000s\n")
        first = send(self.postern.plain, "first", recipients=("b@One.example",))
        both = send(self.postern.plain, "both", size=100_000, recipients=("b@two.example", "c@one.example"))
        other = send(self.postern.plain, "other", recipients=("b@two.example",))
        held = send(self.postern.plain, "held", recipients=("b@one.example",))

        def states():
            return {m["queue_id"]: m["queue_name"] for m in self.postern.queue_list()}

        wait_for(lambda: list(states().values()) == ["deferred"] * 4, what="four deferred messages")
        self.postern.queue("hold", held)
        sinks = {name: self.sink(port=port) for name, port in ports.items()}

        self.assertEqual(self.etrn("three.example"), (459, "<three.example>: service unavailable"))
        self.assertEqual(self.etrn("one.example"), (250, "Queuing started"))
        for identity in (first, both):
            self.postern.wait_log(f"{identity}: removed", 40)
        subjects = sorted(re.search(rb"Subject: (\w+)", m).group(1) for m in sinks["one"].messages())
        self.assertEqual(subjects, [b"both", b"first"])
        # The message has two recipients, and is tried as a whole; the rest of the queue is as it was.
        self.assertEqual([re.search(rb"Subject: (\w+)", m).group(1) for m in sinks["two"].messages()], [b"both"])
        self.assertEqual(states(), {other: "deferred", held: "hold"})

        # After a restart of everything, and for the other domain.
        self.postern.stop()
        self.postern.start()
        self.assertEqual(self.etrn("#two.example"), (250, "Queuing started"))
        self.postern.wait_log(f"{other}: removed", 40)
        self.assertEqual(states(), {held: "hold"})


class Commands(Case):
    def setUp(self):
        # Nobody listens downstream: everything is deferred.
        self.postern = self.server("minimal_backoff_time = 1000s\n", downstream="[127.0.0.1]:9")

    def test_list_hold_release_flush_delete_online(self):
        first, second = send(self.postern.plain, "one"), send(self.postern.plain, "two", recipients=("b@example.net", "c@example.net"))
        wait_for(lambda: self.postern.log().count("status=deferred") >= 3, what="deferrals")
        listing = wait_for(lambda: [m for m in self.postern.queue_list() if m["queue_name"] == "deferred"][1:] and self.postern.queue_list(), what="a deferred queue")
        self.assertEqual({m["queue_id"] for m in listing}, {first, second})
        (two,) = [m for m in listing if m["queue_id"] == second]
        self.assertEqual([r["address"] for r in two["recipients"]], ["b@example.net", "c@example.net"])
        self.assertIn("Connection refused", two["recipients"][0]["delay_reason"])
        text = self.postern.queue("list")
        self.assertIn("-Queue ID-", text)
        self.assertIn("in 2 Requests.", text)

        self.postern.queue("hold", first)
        (held,) = [m for m in self.postern.queue_list() if m["queue_name"] == "hold"]
        self.assertEqual(held["queue_id"], first)
        self.postern.queue("release", first)
        self.assertEqual([m for m in self.postern.queue_list() if m["queue_name"] == "hold"], [])

        before = self.postern.log().count("status=deferred")
        self.postern.queue("flush", "ALL")
        wait_for(lambda: self.postern.log().count("status=deferred") >= before + 3, what="another attempt")

        self.assertIn("Subject: one", self.postern.queue("show", first))
        self.postern.queue("delete", first)
        wait_for(lambda: [m["queue_id"] for m in self.postern.queue_list()] == [second], what="one message")
        self.assertNotEqual(run("queue", "show", "-c", self.postern.directory, first, check=False).returncode, 0)

    def test_offline(self):
        id = send(self.postern.plain, "one")
        self.assertEqual(self.postern.stop(), 0)
        self.assertEqual([m["queue_id"] for m in self.postern.queue_list()], [id])
        self.postern.queue("hold", id)
        self.assertEqual(self.postern.queue_list()[0]["queue_name"], "hold")
        self.postern.queue("delete", id)
        self.assertIn("Mail queue is empty", self.postern.queue("list"))
        # ... and the server can open what the command left.
        self.postern.start()
        self.assertIsNotNone(send(self.postern.plain, "two"))

    def test_verify_and_export(self):
        ids = [send(self.postern.plain, "one"), send(self.postern.plain, "two", size=100_000)]
        wait_for(lambda: self.postern.log().count("status=deferred") >= 2, what="deferrals")
        for is_running in (True, False):
            if not is_running:
                self.assertEqual(self.postern.stop(), 0)
            self.assertRegex(self.postern.queue("verify"), "^2 messages, .* 1 content files, [0-9]+ bytes read: no damage\n$")
            exported = self.postern.queue("export", ids[1])
            self.assertIn(f"X-Postern-Queue-ID: {ids[1]}\n", exported)
            self.assertIn("X-Envelope-From: <a@example.org>\n", exported)
            self.assertIn("X-Envelope-To: <b@example.net>\n", exported)
            self.assertIn("\nSubject: two\n", exported)
            self.assertGreater(len(exported), 95_000)
        # A byte of the large message rots.
        with open(f"{self.postern.directory}/spool/content/{ids[1]}", "r+b") as f:
            f.seek(70_000)
            f.write(b"!")
        for is_running in (False, True):
            if is_running:
                self.postern.start()
            verified = run("queue", "verify", "-c", self.postern.directory, "--json", check=False)
            self.assertEqual(verified.returncode, 1, verified)
            (damage,) = json.loads(verified.stdout)["damage"]
            self.assertEqual((damage["queue_id"], damage["file"], damage["offset"]), (ids[1], f"content/{ids[1]}", 65_536))
            exported = run("queue", "export", "-c", self.postern.directory, ids[1], check=False)
            self.assertEqual(exported.returncode, 1)
            self.assertIn("X-Postern-Damage: ", exported.stdout)
            self.assertIn("\nSubject: two\n", exported.stdout)
        # Tried once, it is held, and reported until somebody has decided.
        self.assertEqual(self.postern.stop(), 0)
        sink = self.sink()
        self.postern.write("main.cf", self.postern.read("main.cf").replace("[127.0.0.1]:9", f"[127.0.0.1]:{sink.port}"))
        self.postern.start()
        self.postern.queue("flush", "ALL")
        wait_for(lambda: [m for m in self.postern.queue_list() if m["queue_id"] == ids[1]][0]["queue_name"] == "hold", what="a message on hold")
        status = run("queue", "status", "-c", self.postern.directory, check=False)
        self.assertEqual(status.returncode, 1)
        self.assertIn("damage: ", status.stdout)
        self.assertIn("problem: queue damage: ", run("status", "-c", self.postern.directory).stdout)
        live = run("check", "--live", "-c", self.postern.directory, check=False)
        self.assertEqual((live.returncode, live.stdout.count("queue damage: ") > 0), (1, True))
        self.assertRegex(self.postern.log(), f"error: queue: damage: queue damage: {ids[1]}: content file fails its checksum")
        # The sound message, and what tells the postmaster of the other.
        self.assertEqual(sorted(b"double-bounce@" in m for m in sink.wait(2)), [False, True])
        self.check_acknowledging(ids[1])
        self.postern.queue("delete", ids[1])
        self.assertEqual(run("queue", "status", "-c", self.postern.directory, check=False).returncode, 0)

    def check_acknowledging(self, id):
        """Damage that is acknowledged is no problem any more, with the server up and down; more damage is."""
        def verify(*words):
            return run("queue", "verify", "-c", self.postern.directory, *words, check=False)

        answer = verify("--acknowledge")
        self.assertEqual(answer.returncode, 0, answer)
        self.assertRegex(answer.stdout, f"^damage \\(acknowledged .*\\): content/{id}: [0-9]+ bytes at 65536: {id}: (.*\n)*.* 1 damaged, all acknowledged\n$")
        self.postern.wait_log("warning: queue: damage acknowledged: ")
        for is_running in (True, False, True):
            if is_running and not self.postern.roles():
                self.postern.start()
            elif not is_running:
                self.assertEqual(self.postern.stop(), 0)
            self.assertEqual(verify().returncode, 0)
            self.assertIn('"acknowledged": ', verify("--json").stdout)
            self.assertEqual(run("queue", "status", "-c", self.postern.directory, check=False).returncode, 0)
            self.assertIn("X-Postern-Damage: ", run("queue", "export", "-c", self.postern.directory, id, check=False).stdout)
        status = run("status", "-c", self.postern.directory)
        self.assertNotIn("problem: queue damage", status.stdout)
        self.assertEqual(self.postern.stop(), 0)
        with open(f"{self.postern.directory}/spool/content/{id}", "r+b") as f:
            f.write(b"!")
        self.assertEqual(verify().returncode, 1)
        self.assertEqual(verify("--acknowledge").returncode, 0)
        self.assertEqual(verify().returncode, 0)
        self.postern.start()

    def test_a_second_server_is_refused(self):
        second = run("start", "-c", self.postern.directory, "--foreground", check=False)
        self.assertEqual(second.returncode, 1)
        self.assertRegex(second.stderr, "already running: process [0-9]+|Address already in use")


class Deaths(Case):
    """More of them in test_kill.py."""

    def check_delivered(self, server, sink, acknowledged):
        wanted = set(acknowledged.values())

        def missing():
            found = set(re.findall(r"^Subject: (m-\S+)", b"\n".join(m[:4000] for m in sink.messages()).decode("latin-1").replace("\r", ""), re.M))
            return wanted - found

        def all_there():
            run("queue", "flush", "-c", server.directory, "ALL", check=False)
            return not missing()

        try:
            wait_for(all_there, 60, "delivery")
        except AssertionError:
            self.fail(f"acknowledged but not delivered: {sorted(missing())[:10]}\n{server.log()[-2000:]}")

    def test_downstream_away_and_back(self):
        sink = self.sink()
        server = self.server("minimal_backoff_time = 1s\nqueue_run_delay = 1s\n", sink=sink)
        sink.stop()
        ids = [send(server.plain, f"m-0-{n}") for n in range(20)]
        self.assertNotIn(None, ids)
        server.wait_log("status=deferred")
        server.kill_all()
        sink.start()
        server.start()
        self.check_delivered(server, sink, {id: f"m-0-{n}" for n, id in enumerate(ids)})


class Limits(Case):
    def test_stop_ends_everything(self):
        server = self.server(sink=self.sink(), tls=True, sasl=Server.SASLDB, users=["alice"])
        pids = list(server.roles().values())
        self.assertEqual(server.stop(), 0)
        # What NIO says when something is sent to a loop that has ended.
        self.assertNotIn("EventLoop", server.read("stderr"))
        self.assertFalse(any(os.path.exists(f"/proc/{p}") for p in pids))
        self.assertRegex(server.log(), r"postfix/master\[\d+\]: terminating on signal 15\n")

    def test_a_dead_auth_worker_is_replaced(self):
        server = self.server(sink=self.sink(), tls=True, sasl=Server.SASLDB, users=["alice"])
        before = {role: pid for role, pid in server.roles().items() if role.startswith("auth")}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len([r for r in server.roles() if r.startswith("auth")]) == len(before) and not set(server.roles().values()) & set(before.values()), what="new workers")
        with smtplib.SMTP("127.0.0.1", server.submission) as s:
            context = ssl.create_default_context(cafile=f"{server.directory}/cert.pem")
            context.check_hostname = False
            s.starttls(context=context)
            s.login("alice", "wonderland")


class Control(Case):
    def test_more_requests_than_processors(self):
        """They wait for each other, and for as long as libdispatch's pool has waiting work it looks into /proc, where a confined role may not:
        the queue role ended in a trap."""
        server = self.server(sink=self.sink())
        roles = server.roles()
        silent = [socket.socket(socket.AF_UNIX) for _ in range(12)]
        try:
            for connection in silent:
                connection.connect(f"{server.directory}/spool/control/queue")
            # Its look is taken once a second.
            for _ in range(20):
                time.sleep(0.2)
                self.assertEqual(server.roles(), roles, "a role has died")
        finally:
            for connection in silent:
                connection.close()
        self.assertEqual(server.queue_list(), [])


if __name__ == "__main__":
    unittest.main()
