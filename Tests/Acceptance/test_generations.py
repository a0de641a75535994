"""Generations: reload, changed certificates, broken configurations, upgrade, and the death of roles, under load.

POSTERN_SOAK_SECONDS makes the load runs longer (60), POSTERN_SOAK_RATE sets their connections per second (2000).
"""

import base64
import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import postern
from postern import Case, Server, free_port, needs, run, wait_for

SECONDS = float(os.environ.get("POSTERN_SOAK_SECONDS", "8"))
RATE = float(os.environ.get("POSTERN_SOAK_RATE", "200"))


def status(server):
    return json.loads(run("status", "--json", "-c", server.directory).stdout)


def reload(server, check=True):
    return run("reload", "-c", server.directory, check=check)


class Load:
    """connload.c against a port, with its verdict."""

    def __init__(self, case, port, seconds=SECONDS, rate=RATE, threads=24):
        directory = tempfile.mkdtemp(prefix="postern-load-")
        case.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "connload.c")
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        subprocess.run([compiler, "-O2", "-pthread", "-o", f"{directory}/connload", source], check=True)
        self.until = time.monotonic() + seconds
        self.process = subprocess.Popen([f"{directory}/connload", str(port), str(seconds), str(threads), str(rate)], stdout=subprocess.PIPE, text=True)
        case.addCleanup(lambda: self.process.poll() is None and self.process.kill())

    @property
    def runs(self):
        return time.monotonic() < self.until

    def result(self):
        output, _ = self.process.communicate(timeout=180)
        return json.loads(output)


class Dialogue:
    """One plain SMTP connection, line by line."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            line = self.file.readline().decode()
            if len(line) < 4 or line[3] != "-":
                return line

    def say(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def transaction(self):
        return [self.say(line) for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA")]

    def close(self):
        self.file.close()
        self.socket.close()


class Reload(Case):
    def test_no_connection_is_refused_while_reloading(self):
        server = self.server(sink=self.sink())
        load = Load(self, server.plain)
        reloads = 0
        while load.runs:
            # One in the middle of a message, as the reload finds it.
            session = Dialogue(server.plain)
            session.say("EHLO me")
            self.assertTrue(session.transaction()[2].startswith("354"))
            session.socket.sendall(b"Subject: begun\r\n\r\n")
            reload(server)
            reloads += 1
            time.sleep(2)
            self.assertTrue(session.say("finished\r\n.").startswith("250"))
            self.assertTrue(session.say("QUIT").startswith("221"))
            session.close()
        result = load.result()
        print(f"  {result['connections']} connections in {SECONDS:.0f} s, {reloads} reloads", end=" ", flush=True)
        self.assertEqual(result["failures"], 0, f"{result}\n{server.log()[-3000:]}")
        self.assertGreater(result["connections"], 50)
        self.assertGreaterEqual(status(server)["generation"], 1 + reloads)
        wait_for(lambda: len(status(server)["generations"]) == 1, seconds=30, what="the end of old generations")

    def test_the_queue_role_takes_a_changed_relay_configuration(self):
        server = self.server(sink=(sink := self.sink()))
        good = server.read("main.cf")
        load = Load(self, server.plain, seconds=5)
        queues = {server.roles()["queue"]}
        for number in range(3):
            server.write("main.cf", good + f"smtp_helo_name = relay{number}.example.com\n")
            reload(server)
            time.sleep(1)
            queues.add(server.roles().get("queue"))
        result = load.result()
        self.assertEqual(result["failures"], 0, f"{result}\n{server.log()[-3000:]}")
        self.assertGreaterEqual(len(queues), 3)
        # Exactly once: what a queue role has not stored is sent to the next, and nothing else is. What was in delivery waits for its turn.
        def arrived():
            server.queue("flush", "ALL")
            return len(sink.messages()) >= result["connections"]
        wait_for(arrived, seconds=40, what="all messages at the sink")
        self.assertEqual(len(sink.messages()), result["connections"])

    def test_a_session_in_data_finishes_in_its_generation(self):
        server = self.server(sink=(sink := self.sink()))
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        session.say("EHLO me")
        self.assertTrue(session.transaction()[2].startswith("354"))
        session.socket.sendall(b"Subject: half\r\n\r\nfirst half\r\n")
        reload(server)
        reload(server)
        self.assertIn("retired", [g["state"] for g in status(server)["generations"]])
        session.socket.sendall(b"second half\r\n.\r\n")
        self.assertTrue(session.reply().startswith("250"))
        self.assertIn(b"second half", sink.wait(1)[0])
        self.assertTrue(session.say("QUIT").startswith("221"))
        wait_for(lambda: len(status(server)["generations"]) == 1, what="the end of the old generation")

    def test_idle_sessions_are_sent_away_after_a_bound(self):
        server = self.server(main="smtpd_drain_time = 1s\n")
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        session.say("EHLO me")
        reload(server)
        self.assertTrue(session.reply().startswith("421 4.3.2"))

    def test_ports_come_and_go(self):
        server = self.server()
        new = free_port()
        before = server.read("master.cf")
        server.write("master.cf", before + f"\n127.0.0.1:{new} inet n - n - - smtpd\n")
        reload(server)
        session = Dialogue(new)
        self.addCleanup(session.close)
        server.write("master.cf", before)
        reload(server)
        wait_for(lambda: not postern.port_open(new), what="the port's end")
        self.assertTrue(session.say("NOOP").startswith("250"))
        self.assertTrue(postern.port_open(server.plain))

    def test_a_changed_parameter_is_served_and_a_broken_one_is_not(self):
        server = self.server()
        good = server.read("main.cf")
        server.write("main.cf", good + "smtpd_banner = changed.example.com ESMTP\n")
        os.kill(server.process.pid, signal.SIGHUP)
        server.wait_log("generation 2")
        with socket.create_connection(("127.0.0.1", server.plain), timeout=20) as s:
            self.assertIn(b"changed.example.com", s.recv(200))
        line = len((good + "x").splitlines())
        server.write("main.cf", good + "smtpd_recipient_limit = many\n")
        result = reload(server, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"main.cf:{line}:", result.stderr)
        self.assertIn(f"main.cf:{line}:", server.wait_log("goes on"))
        self.assertIn(f"main.cf:{line}:", run("status", "-c", server.directory).stdout)
        self.assertEqual(run("check", "--live", "-c", server.directory, check=False).returncode, 1)
        with socket.create_connection(("127.0.0.1", server.plain), timeout=20) as s:
            self.assertIn(b"changed.example.com", s.recv(200))
        server.write("main.cf", good)
        reload(server)
        self.assertEqual(run("check", "--live", "-c", server.directory).returncode, 0)

    def test_rates_survive(self):
        server = self.server(main="smtpd_client_message_rate_limit = 3\nsmtpd_client_event_limit_exceptions =\n")
        def send():
            session = Dialogue(server.plain)
            session.say("EHLO me")
            reply = session.say("MAIL FROM:<a@example.com>")
            session.close()
            return reply
        for _ in range(3):
            self.assertTrue(send().startswith("250"))
        reload(server)
        time.sleep(1.5)
        self.assertTrue(send().startswith("450"), server.log()[-2000:])

    @needs("openssl")
    def test_tickets_survive(self):
        server = self.server(tls=True)
        session = f"{server.directory}/session"
        def connect(*options):
            return subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{server.plain}", "-starttls", "smtp", "-tls1_2", *options],
                input="QUIT\r\n", capture_output=True, text=True, timeout=60).stdout
        connect("-sess_out", session)
        self.assertIn("Reused", connect("-sess_in", session))
        reload(server)
        self.assertIn("Reused", connect("-sess_in", session))
        os.kill(server.roles()["smtpd"], signal.SIGKILL)
        server.wait_log("starting it again")
        self.assertIn("Reused", connect("-sess_in", session))


class Status(Case):
    def test_everything_is_there(self):
        server = self.server(tls=True, sasl=Server.SASLDB, users=("alice",), downstream="[127.0.0.1]:9")
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        session.say("EHLO me")
        for _ in range(2):
            session.transaction()
            self.assertTrue(session.say("Subject: waits\r\n\r\n.").startswith("250"))
        held = wait_for(lambda: json.loads(run("queue", "list", "--json", "-c", server.directory).stdout.splitlines()[0]), what="the queue")["queue_id"]
        run("queue", "hold", "-c", server.directory, held)
        good = server.read("main.cf")
        server.write("main.cf", good + "smtpd_recipient_restrictions = nonsense\n")
        self.assertEqual(reload(server, check=False).returncode, 1)

        wait_for(lambda: status(server)["sessions"] == 1, what="the session")
        found = status(server)
        self.assertEqual(found["pid"], server.process.pid)
        (generation,) = found["generations"]
        self.assertEqual((generation["number"], generation["state"], generation["sessions"], generation["pid"]), (1, "serving", 1, server.roles()["smtpd"]))
        roles = {role["role"]: role for role in found["roles"]}
        self.assertEqual(sum(name.startswith("auth worker 0.") for name in roles), len([name for name in server.roles() if name.startswith("auth")]))
        for name, role in roles.items():
            self.assertRegex(role["confinement"], r"^runs as \S+, (Landlock \d+|no Landlock), system call filter$", name)
            self.assertEqual((role["ready"], role["restarts"]), (True, 0), name)
        self.assertEqual((found["queue"]["hold"], found["queue"]["accepting"], found["queue"]["damages"]), (1, "yes", []))
        (certificate,) = found["certificates"]
        self.assertEqual(certificate["file"], f"{server.directory}/cert.pem")
        self.assertGreater(certificate["expires"], time.time())
        for file in ("main.cf", "master.cf", "cert.pem", "key.pem"):
            self.assertIn(f"{server.directory}/{file}", found["watched"])
        self.assertFalse(found["last_reload"]["ok"])
        self.assertRegex(found["last_reload"]["failure"][0], rf"{server.directory}/main.cf:\d+: .*nonsense")
        self.assertIn(f"127.0.0.1:{server.plain}", found["listening"])
        # The schema in Docs/operations.md.
        self.assertEqual({key: type(value).__name__ for key, value in found.items()}, {
            "version": "str", "pid": "int", "since": "int", "generation": "int", "generations": "list", "sessions": "int", "roles": "list", "listening": "list",
            "certificates": "list", "watched": "list", "last_reload": "dict", "problems": "list", "queue": "dict"})
        self.assertEqual(set(generation), {"number", "pid", "since", "sessions", "state"})
        self.assertEqual(set(roles["queue"]), {"role", "generation", "standing", "state", "pid", "ready", "restarts", "since", "confinement", "responding"})
        self.assertEqual(set(found["last_reload"]), {"at", "reason", "ok", "failure"})
        self.assertEqual(set(certificate), {"file", "expires"})
        self.assertLessEqual({"active", "deferred", "hold", "accepting", "damages"}, set(found["queue"]))
        text = run("status", "-c", server.directory).stdout
        for line in (rf"generation 1: serving, process {generation['pid']}, since .* UTC, 1 session, restarts 0", r"generation 1: runs as .*",
                     rf"queue: running, process {server.roles()['queue']}, restarts 0", r"queue: runs as .*", r"auth worker 0\.0: running, process \d+, restarts 0",
                     rf"certificate: {server.directory}/cert.pem, expires \d{{4}}-.* UTC", rf"watched: {server.directory}/main.cf",
                     r"last reload: .*, postern reload: failed", r"problem: last reload failed: .*main.cf:\d+: .*", r"queue hold: 1"):
            self.assertRegex(text, f"(?m)^{line}$")
        server.write("main.cf", good)
        wait_for(lambda: status(server)["last_reload"]["ok"], what="the mended configuration")
        self.assertEqual(run("check", "--live", "-c", server.directory).stdout, "")


class Watch(Case):
    """Certificates that change by themselves."""

    def certificate(self, server):
        with socket.create_connection(("127.0.0.1", server.plain), timeout=30) as s:
            s.recv(500)
            s.sendall(b"EHLO me\r\n")
            s.recv(2000)
            s.sendall(b"STARTTLS\r\n")
            s.recv(500)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(s) as tls:
                return tls.getpeercert(binary_form=True)

    def make(self, directory):
        os.makedirs(directory, exist_ok=True)
        run("cert", "selfsigned", "--name", "localhost", "--out-cert", f"{directory}/cert.pem", "--out-key", f"{directory}/key.pem")

    def watched(self, layout):
        """A server whose certificate is in `layout(directory)`."""
        server = Server()
        self.addCleanup(server.remove)
        key, cert = layout(server.directory)
        server.write("main.cf", server.base + f"smtpd_tls_chain_files = {key}, {cert}\nsmtpd_tls_security_level = may\n")
        return server.start()

    def test_certbot(self):
        def layout(d):
            self.make(f"{d}/archive/1")
            self.make(f"{d}/archive/2")
            os.makedirs(f"{d}/live")
            for name in ("key.pem", "cert.pem"):
                os.symlink(f"../archive/1/{name}", f"{d}/live/{name}")
            return f"{d}/live/key.pem", f"{d}/live/cert.pem"
        server = self.watched(layout)
        before = self.certificate(server)
        for name in ("key.pem", "cert.pem"):
            os.symlink(f"../archive/2/{name}", f"{server.directory}/live/new")
            os.rename(f"{server.directory}/live/new", f"{server.directory}/live/{name}")
        wait_for(lambda: self.certificate(server) != before, seconds=40, what="the new certificate")

    def test_kubernetes(self):
        """A volume whose link changes, named by links from another directory."""
        def layout(d):
            self.make(f"{d}/tls/..1")
            os.symlink("..1", f"{d}/tls/..data")
            os.makedirs(f"{d}/ssl")
            for name in ("key.pem", "cert.pem"):
                os.symlink(f"..data/{name}", f"{d}/tls/{name}")
                os.symlink(f"../tls/{name}", f"{d}/ssl/{name}")
            return f"{d}/ssl/key.pem", f"{d}/ssl/cert.pem"
        server = self.watched(layout)
        before = self.certificate(server)
        self.make(f"{server.directory}/tls/..2")
        os.symlink("..2", f"{server.directory}/tls/..new")
        os.rename(f"{server.directory}/tls/..new", f"{server.directory}/tls/..data")
        wait_for(lambda: self.certificate(server) != before, seconds=40, what="the new certificate")
        self.assertEqual(status(server)["generation"], 2)

    def test_a_broken_certificate_leaves_the_old_one(self):
        server = self.server(tls=True)
        before = self.certificate(server)
        server.write("cert.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        server.wait_log("goes on", seconds=40)
        self.assertEqual(self.certificate(server), before)
        line = 1 + server.read("main.cf").splitlines().index(next(l for l in server.read("main.cf").splitlines() if l.startswith("smtpd_tls_chain_files")))
        for text in ("".join(status(server)["problems"]), server.log()):
            self.assertRegex(text, rf"{server.directory}/main.cf:{line}: .*{server.directory}/cert.pem")
        self.assertEqual(run("check", "--live", "-c", server.directory, check=False).returncode, 1)
        for name in ("cert.pem", "key.pem"):
            os.remove(f"{server.directory}/{name}")
        server.make_certificate()
        wait_for(lambda: self.certificate(server) != before, seconds=40, what="the new certificate")

    def test_a_file_that_only_the_broken_configuration_names(self):
        server = self.server(tls=True)
        before = self.certificate(server)
        self.make(f"{server.directory}/new")
        certificate = server.read("new/cert.pem")
        server.write("new/cert.pem", "nonsense")
        server.write("main.cf", server.read("main.cf").replace(f"{server.directory}/key.pem, {server.directory}/cert.pem",
                                                               f"{server.directory}/new/key.pem, {server.directory}/new/cert.pem"))
        self.assertEqual(reload(server, check=False).returncode, 1)
        self.assertEqual(self.certificate(server), before)
        server.write("new/cert.pem", certificate)
        wait_for(lambda: self.certificate(server) != before, seconds=40, what="the mended certificate")

    def test_files_of_every_kind(self):
        """Wherever a table, list or other file is named, its change is noticed; many at once are one reload; the queue role goes on unless it is concerned."""
        server = Server(tls=True, sasl=Server.SASLDB)
        self.addCleanup(server.remove)
        texts = {"networks": "127.0.0.0/8\n", "cidr": "192.0.2.0/24 REJECT\n", "regexp": "/^192/ REJECT\n"}
        names = ["texthash", "hash", "cidr", "regexp", "member", "piped", "proxied", "override", "class", "footers", "sasl/smtpd.conf"]
        files = {name: server.write(name, texts.get(name, "192.0.2.1 REJECT\n")) for name in names if "/" not in name}
        files["sasl/smtpd.conf"] = f"{server.directory}/sasl/smtpd.conf"
        shared = [server.write("transport", "example.net :\n"), server.write("networks", texts["networks"])]
        check = "check_client_access "
        server.write("main.cf", server.read("main.cf") + f"""
smtpd_client_restrictions = {check}texthash:{files["texthash"]}, {check}hash:{files["hash"]}, {check}cidr:{files["cidr"]}, {check}regexp:{files["regexp"]},
  {check}unionmap:{{texthash:{files["member"]}}}, {check}pipemap:{{texthash:{files["piped"]}}}, {check}proxy:texthash:{files["proxied"]}, strict
smtpd_restriction_classes = strict
strict = {check}texthash:{files["class"]}
mynetworks = {shared[1]}
smtpd_reject_footer_maps = texthash:{files["footers"]}
transport_maps = texthash:{shared[0]}
""")
        server.write("master.cf", server.read("master.cf").replace("-o syslog_name=postfix/submissions",
                     f"-o syslog_name=postfix/submissions\n  -o smtpd_helo_restrictions=check_helo_access,texthash:{files['override']}"))
        server.start()
        self.assertLessEqual({*files.values(), *shared}, set(status(server)["watched"]))
        queue = server.roles()["queue"]
        for path in files.values():
            with open(path, "a") as f:
                f.write("127.0.0.1 REJECT changed table\n" if path == files["class"] else "\n")
        found = wait_for(lambda: status(server)["last_reload"] and status(server), seconds=40, what="a reload")
        self.assertRegex(found["last_reload"]["reason"], rf"^changed: .* and {len(files) - 3} more$")
        self.assertEqual((found["last_reload"]["ok"], found["generation"]), (True, 2))
        self.assertEqual(server.roles()["queue"], queue)
        session = Dialogue(server.plain)
        session.say("EHLO me")
        self.assertIn("changed table", session.transaction()[1])
        session.close()
        for path in shared:
            with open(path, "a") as f:
                f.write("\n")
        wait_for(lambda: status(server)["generation"] == 3 and server.roles().get("queue") not in (None, queue), seconds=40, what="another queue role")


class Upgrade(Case):
    def start(self, users=(), **options):
        server = Server(sink=self.sink(), **options)
        self.addCleanup(server.remove)
        for user in users:
            server.add_user(user)
        binary = f"{server.directory}/bin/postern"
        os.makedirs(os.path.dirname(binary))
        shutil.copy2(postern.BINARY, binary)
        original, postern.BINARY = postern.BINARY, binary
        try:
            server.start()
        finally:
            postern.BINARY = original
        return server, binary

    def install(self, binary, write):
        write(binary + ".new")
        os.chmod(binary + ".new", 0o755)
        os.rename(binary + ".new", binary)

    def test_under_load(self):
        server, binary = self.start()
        pid = server.process.pid
        load = Load(self, server.plain)
        time.sleep(1)
        self.install(binary, lambda path: shutil.copy2(postern.BINARY, path))
        run("upgrade", "-c", server.directory)
        after = status(server)
        result = load.result()
        self.assertEqual(result["failures"], 0, f"{result}\n{server.log()[-3000:]}")
        self.assertEqual(after["pid"], pid)
        self.assertEqual(after["generation"], 2)
        inode = os.stat(binary).st_ino
        for process in (pid, server.roles()["smtpd"], server.roles()["queue"]):
            self.assertEqual(os.stat(f"/proc/{process}/exe").st_ino, inode)
        self.assertEqual(server.stop(), 0)

    @needs("openssl")
    def test_what_survives(self):
        """Rates, failed logins, tickets, and what `status` knows of the generation before."""
        server, binary = self.start(main="smtpd_client_message_rate_limit = 1\nsmtpd_client_auth_rate_limit = 2\nsmtpd_client_event_limit_exceptions =\n",
                                    tls=True, sasl=Server.SASLDB, users=("alice",))
        for port in (server.plain, server.submissions):
            self.assertTrue(postern.port_open(port))
        held = Dialogue(server.plain)
        self.addCleanup(held.close)
        held.say("EHLO me")
        self.assertTrue(held.say("MAIL FROM:<a@example.com>").startswith("250"))
        def login(password):
            client = smtplib.SMTP_SSL("127.0.0.1", server.submissions, timeout=60, context=ssl._create_unverified_context())
            try:
                return client.login("alice", password)[0]
            except smtplib.SMTPResponseException as error:
                return error.smtp_code
            finally:
                client.close()
        client = smtplib.SMTP_SSL("127.0.0.1", server.submissions, timeout=60, context=ssl._create_unverified_context())
        client.ehlo("me")
        self.assertEqual([client.docmd("AUTH PLAIN AGFsaWNlAHdyb25n")[0] for _ in range(2)], [535, 535])
        client.close()
        session = f"{server.directory}/session"
        def connect(*options):
            return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.submissions}", "-tls1_2", *options],
                                  input="QUIT\r\n", capture_output=True, text=True, timeout=60).stdout
        connect("-sess_out", session)
        wait_for(lambda: status(server)["sessions"] == 1, what="the held session alone")
        before = status(server)
        self.install(binary, lambda path: shutil.copy2(postern.BINARY, path))
        run("upgrade", "-c", server.directory)
        (new, old) = status(server)["generations"]
        self.assertEqual((old["sessions"], old["state"], old["pid"]), (1, "retired", before["generations"][0]["pid"]))
        self.assertLessEqual(abs(old["since"] - before["generations"][0]["since"]), 2)
        self.assertEqual((new["number"], new["state"]), (2, "serving"))
        self.assertIn("Reused", connect("-sess_in", session))
        def refused():
            again = Dialogue(server.plain)
            again.say("EHLO me")
            reply = again.say("MAIL FROM:<a@example.com>")
            again.close()
            return reply.startswith("450")
        wait_for(refused, what="the message rate")
        self.assertEqual(login(postern.PASSWORD), 450)

    def test_a_program_that_cannot_start_changes_nothing(self):
        server, binary = self.start()
        def script(path):
            with open(path, "w") as f:
                f.write("#!/bin/sh\nexit 3\n")
        def noise(path):
            with open(path, "wb") as f:
                f.write(b"\x7fELF nothing of the kind")
        for bad in (script, noise):
            self.install(binary, bad)
            self.assertEqual(run("upgrade", "-c", server.directory, check=False).returncode, 1)
            self.assertEqual(status(server)["generation"], 1)
        os.kill(server.roles()["smtpd"], signal.SIGKILL)
        server.wait_log("starting it again")
        session = Dialogue(server.plain)
        self.assertTrue(session.say("NOOP").startswith("250"))
        session.close()


class Death(Case):
    def test_smtpd(self):
        server = self.server(sink=self.sink())
        session = Dialogue(server.plain)
        session.say("EHLO me")
        session.transaction()
        os.kill(server.roles()["smtpd"], signal.SIGKILL)
        # No false 250: the session ends without a word.
        self.assertEqual(session.file.read(), b"")
        session.close()
        again = Dialogue(server.plain)
        self.assertTrue(again.say("NOOP").startswith("250"))
        again.close()
        self.assertEqual([role["restarts"] for role in status(server)["roles"] if role["role"] == "smtpd"], [1])

    def test_queue(self):
        server = self.server(sink=(sink := self.sink()))
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        session.say("EHLO me")
        session.transaction()
        os.kill(server.roles()["queue"], signal.SIGKILL)
        session.socket.sendall(b"Subject: waits\r\n\r\n.\r\n")
        reply = session.reply()
        self.assertIn(reply[:3], ("250", "451"))
        if reply.startswith("250"):
            sink.wait(1)
        wait_for(lambda: any(r["role"] == "queue" and r["ready"] for r in status(server)["roles"]), what="the queue role")
        self.assertTrue(session.transaction()[2].startswith("354"))
        self.assertTrue(session.say("Subject: after\r\n\r\n.").startswith("250"))

    def test_an_auth_worker_that_dies_costs_one_login(self):
        server = self.server("smtpd_sasl_worker_limit = 1\n", tls=True, sasl=Server.SASLDB, users=("alice",))
        worker = server.roles()["auth:0:0"]
        self.stop(worker)
        with smtplib.SMTP_SSL("127.0.0.1", server.submissions, timeout=60, context=ssl._create_unverified_context()) as client:
            client.ehlo("me")
            plain = "AUTH PLAIN " + base64.b64encode(f"\0alice\0{postern.PASSWORD}".encode()).decode()
            client.putcmd(plain)
            # The worker has the login, and nobody has its answer.
            time.sleep(0.5)
            os.kill(worker, signal.SIGKILL)
            self.assertEqual(client.getreply()[0], 454)
            self.assertEqual(client.docmd(plain)[0], 235)

    def test_a_role_that_hangs(self):
        """It is said; smtpd roles, those that have retired too, are killed; the queue role is not."""
        server = self.server("role_heartbeat_time = 1s\n", sink=(sink := self.sink()))
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        session.say("EHLO me")
        reload(server)
        retired = status(server)["generations"][1]["pid"]
        smtpd, queue = server.roles()["smtpd"], server.roles()["queue"]
        smtpd = status(server)["generations"][0]["pid"]
        for pid in (retired, smtpd, queue):
            self.stop(pid)
        def all_said():
            return {pid for pid in (retired, smtpd, queue) if f"process {pid}, does not respond" in server.log()} == {retired, smtpd, queue}
        wait_for(all_said, seconds=40, what="a log line for each")
        # `postern status` would wait for the queue role; the supervisor does not.
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(f"{server.directory}/spool/pid/postern.socket")
            asked.sendall(b"status\n")
            lines = asked.makefile().read().splitlines()
        self.assertEqual(sum(line.startswith("problem\t") and line.endswith("does not respond") for line in lines), 3, lines)
        wait_for(lambda: all(f"does not respond: killing process {pid}" in server.log() for pid in (retired, smtpd)), seconds=60, what="the end of both smtpd roles")
        self.assertEqual(session.file.read(), b"")
        # It has waited for its disk, say.
        time.sleep(2)
        self.assertEqual(server.roles()["queue"], queue)
        os.kill(queue, signal.SIGCONT)
        server.wait_log("responds again")
        (only,) = status(server)["generations"]
        self.assertEqual((only["number"], only["state"]), (2, "serving"))
        again = Dialogue(server.plain)
        self.addCleanup(again.close)
        again.say("EHLO me")
        again.transaction()
        self.assertTrue(again.say("Subject: after\r\n\r\n.").startswith("250"))
        sink.wait(1)
        self.assertEqual(run("check", "--live", "-c", server.directory).stdout, "")

    def stop(self, pid):
        """A role that hangs, or does not read on purpose."""
        os.kill(pid, signal.SIGSTOP)
        def resume():
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        self.addCleanup(resume)

    def test_a_role_that_does_not_read_stops_nobody(self):
        server = self.server(sink=(sink := self.sink()))
        first = server.roles()
        self.stop(first["smtpd"])
        self.assertEqual(status(server)["generation"], 1)
        reload(server)
        session = Dialogue(server.plain)
        self.addCleanup(session.close)
        self.assertTrue(session.say("EHLO me").startswith("250"))
        self.stop(first["queue"])
        reload(server)
        self.assertEqual([(one["number"], one["state"]) for one in status(server)["generations"]], [(3, "serving"), (2, "retired"), (1, "retired")])
        # Its messages pile up to a bound, and that is its end.
        def ended():
            for _ in range(20):
                os.kill(server.process.pid, signal.SIGUSR1)
                time.sleep(0.005)
            return f"queue role does not read its messages: killing process {first['queue']}" in server.log()
        wait_for(ended, seconds=120, what="the end of the queue role that does not read")
        wait_for(lambda: any(r["role"] == "queue" and r["ready"] and r["pid"] != first["queue"] for r in status(server)["roles"]), what="another queue role")
        again = Dialogue(server.plain)
        self.addCleanup(again.close)
        again.say("EHLO me")
        again.transaction()
        self.assertTrue(again.say("Subject: after\r\n\r\n.").startswith("250"))
        sink.wait(1)

    def test_clients_of_the_supervisor_that_do_not_read_stop_nobody(self):
        # An answer that fills the socket's buffer.
        server = self.server(start=False, sink=self.sink())
        lists = [f"{server.directory}/networks-{'x' * 150}-{number}" for number in range(1500)]
        for path in lists:
            with open(path, "w") as f:
                f.write("127.0.0.0/8\n")
        server.write("main.cf", server.read("main.cf") + f"smtpd_authorized_verp_clients = {', '.join(lists)}\n")
        server.start()
        path = f"{server.directory}/spool/pid/postern.socket"
        clients = []
        for number in range(40):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(60)
            self.addCleanup(client.close)
            def connected():
                # The kernel's queue is short, and non-blocking sockets are told so.
                try:
                    client.connect(path)
                    return True
                except BlockingIOError:
                    return False
            wait_for(connected, seconds=60, what="a place in the queue")
            clients.append(client)
            if number % 2:
                client.sendall(b"status\n")
        found = status(server)
        self.assertLessEqual(set(lists), set(found["watched"]))
        reload(server)
        self.assertEqual(status(server)["generation"], 2)
        # Those that were silent, or did not read, have been given up.
        self.assertEqual(clients[0].recv(100), b"")

    def test_a_crash_loop_is_said(self):
        server = self.server()
        for _ in range(3):
            pid = wait_for(lambda: server.roles().get("queue"), seconds=30, what="the queue role")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: server.roles().get("queue") != pid, what="its end")
        self.assertIn("crash loop: queue", run("status", "-c", server.directory).stdout)
        self.assertEqual(run("check", "--live", "-c", server.directory, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
