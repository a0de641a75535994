"""The two servers under comparison: Postfix and Postern in private directories on loopback, each with a recording downstream of its own.

One server serves all dialogues: each set of parameters is a service of master.cf with its own port and `-o` settings.
"""

import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "Tests", "Acceptance"))
from ports import free_port  # noqa: E402
SHARE = "/usr/share/postfix"
PASSWORD = "wonderland"

MAIN = """
compatibility_level = 3.6
myhostname = mx.test.example
mydestination = $myhostname, localhost.$mydomain, localhost
inet_interfaces = 127.0.0.1
inet_protocols = all
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_forbid_bare_newline = normalize
smtpd_forbid_bare_newline_exclusions =
smtpd_forbid_unauth_pipelining = yes
smtpd_sasl_local_domain = $myhostname
smtpd_tls_chain_files = {directory}/key.pem, {directory}/cert.pem
smtpd_tls_security_level = none
relayhost = [127.0.0.1]:{downstream}
local_transport = smtp:[127.0.0.1]:{downstream}
relay_transport = smtp:[127.0.0.1]:{downstream}
virtual_transport = smtp:[127.0.0.1]:{downstream}
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
max_idle = 5s
fast_flush_domains = flush.example, .dot.example, [192.0.2.9]
"""

SASL = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {directory}/sasl/sasldb2\nmech_list: PLAIN LOGIN\n"


def wait_for(condition, seconds=20):
    """The condition's first true value, or its last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


class Recorder(socketserver.ThreadingTCPServer):
    """A downstream that takes all mail and keeps it: [(MAIL line, RCPT lines, content)]."""

    allow_reuse_address = daemon_threads = True
    # What EHLO offers.
    keywords = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN")

    def __init__(self, address="127.0.0.1"):
        self.messages, self.by_id = [], {}
        super().__init__((address, 0), RecorderSession)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def keep(self, mail, recipients, content):
        message = (mail, recipients, content)
        self.messages.append(message)
        # The relay's own Received header is the first.
        if found := re.search(rb"^Received: [^:]*?\sid (\w+)", content, re.S):
            self.by_id.setdefault(found[1].decode(), []).append(message)

    def deliveries(self, queue_id):
        """What came of the message with this id: [(MAIL line, RCPT lines, content)]."""
        return self.by_id.get(queue_id, [])

    def message(self, queue_id, seconds=8):
        """The message that names the id in its Received header, as lines with its envelope ahead; all copies, if it came in several."""
        mark = f"id {queue_id}\r\n".encode(), f"id {queue_id};".encode()
        found = wait_for(lambda: [m for m in list(self.messages) if any(x in m[2] for x in mark)], seconds)
        if not found:
            return None
        return [line for lines in sorted(map(self.lines, found)) for line in lines]

    @staticmethod
    def lines(message):
        mail, recipients, content = message
        # The relay says SIZE of what it stores; recipients may come in any order.
        return [re.sub(rb" SIZE=\d+", b"", mail).decode("utf-8", "replace"), *sorted(r.decode("utf-8", "replace") for r in recipients),
                *content.decode("utf-8", "replace").split("\r\n")]


class RecorderSession(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.session()
        except OSError:
            pass

    def session(self):
        self.wfile.write(b"220 downstream.example ESMTP\r\n")
        mail, recipients = b"", []
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                lines = ("downstream.example", *self.server.keywords)
                reply = "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]).encode()
            elif verb == b"DATA":
                self.wfile.write(b"354 go ahead\r\n")
                content = []
                while (data := self.rfile.readline()) not in (b".\r\n", b""):
                    content.append(data[1:] if data[:1] == b"." else data)
                self.server.keep(mail, recipients, b"".join(content))
                reply, mail, recipients = b"250 2.0.0 taken", b"", []
            else:
                if verb == b"MAIL":
                    mail, recipients = line.strip(), []
                elif verb == b"RCPT":
                    recipients.append(line.strip())
                reply = b"221 bye" if verb == b"QUIT" else b"250 2.0.0 Ok"
            self.wfile.write(reply + b"\r\n")
            if verb == b"QUIT":
                return


class Machine:
    """What both servers have in common: directory, configuration, log."""

    def __init__(self, dialogues, binary, inside=()):
        """`inside`: a command ahead of those that start the server, such as one that gives it other files in /etc."""
        self.inside = list(inside)
        self.directory = tempfile.mkdtemp(prefix="postern-conformance-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        for name in ("spool", "data", "sasl"):
            os.mkdir(self.path(name))
        self.binary, self.recorder, self.ports, self.configurations = binary, Recorder(), {}, []
        for dialogue in dialogues:
            if dialogue.parameters not in self.configurations:
                self.configurations.append(dialogue.parameters)
        taken = set()
        while len(taken) < len(self.configurations):
            taken.add(free_port())
        self.port_list = sorted(taken)
        self.command([binary, "cert", "selfsigned", "--name", "localhost", "--out-cert", self.path("cert.pem"), "--out-key", self.path("key.pem")])
        self.write("main.cf", MAIN.format(directory=self.directory, downstream=self.recorder.port))
        self.write("sasl/smtpd.conf", SASL.format(directory=self.directory))
        self.write("master.cf", self.master())
        self.command(["saslpasswd2", "-c", "-p", "-f", self.path("sasl/sasldb2"), "-u", "mx.test.example", "alice"], input=PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(self.path("data"), "postfix", "postfix")
            shutil.chown(self.path("sasl/sasldb2"), "root", "postfix")
            os.chmod(self.path("sasl/sasldb2"), 0o640)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def command(self, words, **options):
        result = subprocess.run(words, capture_output=True, text=True, timeout=120, **options)
        if result.returncode:
            sys.exit(f"{' '.join(words)}: exit {result.returncode}\n{result.stdout}{result.stderr}{self.log()}")

    def port(self, dialogue):
        return self.port_list[self.configurations.index(dialogue.parameters)]

    def log(self, offset=0):
        try:
            with open(self.path("maillog"), encoding="utf-8", errors="replace") as f:
                f.seek(offset)
                return f.read()
        except FileNotFoundError:
            return ""

    def log_size(self):
        try:
            return os.path.getsize(self.path("maillog"))
        except FileNotFoundError:
            return 0

    def settled(self, offset, connections, queue_ids=(), seconds=5):
        """The log's lines (tag first) since `offset`, once every connection has its `disconnect` line and every message is delivered."""
        wait_for(lambda: self.log(offset).count(": disconnect from") >= connections, seconds)
        wait_for(lambda: all(f" {queue_id}: removed" in self.log(offset) for queue_id in queue_ids), seconds)
        # Nobody waits for cleanup(8) when a message is refused after its content: its line, if there is one, may come after `disconnect`.
        wait_for(lambda: self.all_cleaned_up(offset), 0.2)
        return self.lines(offset)

    def all_cleaned_up(self, offset):
        log = self.log(offset)
        return all(re.search(rf"cleanup\[\d+\]: {i}: ", log) for i in re.findall(r"smtpd\[\d+\]: (\w+): client=", log))

    def lines(self, offset):
        """The log since `offset`, each line from its tag on."""
        return [re.sub(r"^\w+ +\d+ \S+ \S+ ", "", line) for line in self.log(offset).splitlines()]

    def started(self):
        wait_for(lambda: all(self.greets(port) for port in self.port_list[:1] + self.port_list[-1:]), 25) or sys.exit(
            f"no greeting\n{self.complaint()}{self.log()[-3000:]}")

    def complaint(self):
        try:
            with open(self.path("stderr")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def quiet(self):
        """Waits until what the start has logged is over."""
        wait_for(lambda: 2 <= self.log().count(": connect from") == self.log().count(": disconnect from"), 40)
        time.sleep(0.1)

    @staticmethod
    def greets(port):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                return True
        except OSError:
            return False

    def remove(self):
        self.stop()
        self.recorder.shutdown()
        self.recorder.server_close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Postern(Machine):
    name = "Postern"

    def master(self):
        lines = []
        for port, parameters in zip(self.port_list, self.configurations):
            lines.append(f"127.0.0.1:{port} inet n - n - - smtpd")
            lines += [f"  -o {{ {name} = {value} }}" for name, value in parameters.items()]
        return "\n".join(lines) + "\n" + "".join(f"{n} unix - - n - - {n}\n" for n in ("smtp", "relay", "lmtp", "error", "discard")).replace(
            "- relay\n", "- smtp\n")

    def start(self):
        with open(self.path("stderr"), "w") as stderr:
            self.process = subprocess.Popen([*self.inside, self.binary, "start", "-c", self.directory, "--foreground"], stderr=stderr)
        self.started()
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postfix(Machine):
    name = "Postfix"

    def master(self):
        lines = []
        for number, (port, parameters) in enumerate(zip(self.port_list, self.configurations)):
            options = [f"  -o {{ {name} = {value} }}" for name, value in parameters.items()]
            lines += [f"127.0.0.1:{port} inet n - n - - smtpd", *options]
            if options:
                # What Postern's service does in one, Postfix does in three programs.
                lines += [f"  -o cleanup_service_name=cleanup{number}", f"  -o rewrite_service_name=rewrite{number}"]
                # In a stock configuration cleanup is one for all services, and so is its name in the log.
                options = [option for option in options if "{ syslog_name =" not in option]
                lines += [f"cleanup{number} unix n - n - 0 cleanup", *options, f"  -o rewrite_service_name=rewrite{number}"]
                lines += [f"rewrite{number} unix - - n - - trivial-rewrite", *options]
        with open(f"{SHARE}/master.cf.dist") as f:
            for line in f:
                words = line.split()
                if line[:1].isalpha() and len(words) >= 8 and words[1] != "inet":
                    lines.append(" ".join([*words[:4], "n", *words[5:]]))
        return "\n".join(lines) + "\n"

    def start(self):
        self.command([*self.inside, "postfix", "-c", self.directory, "start"])
        self.started()
        return self

    def stop(self):
        self.command(["postfix", "-c", self.directory, "stop"])
