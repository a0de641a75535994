"""Runs the real binary on a configuration of its own, with `postern sink` as the downstream MTA.

Everything lives in a temporary directory and on loopback ports that were free a moment ago; every process is ended by its pid.
"""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from ports import free_port  # noqa: F401

BINARY = os.environ.get("POSTERN", "")
PASSWORD = "wonderland"


def wait_for(condition, seconds=20, what="condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def port_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def greets(port, host="127.0.0.1"):
    """Whether an SMTP server answers there; the connection is ended in order."""
    try:
        with socket.create_connection((host, port), timeout=5) as s:
            if not s.recv(512).startswith(b"220"):
                return False
            s.sendall(b"QUIT\r\n")
            return s.recv(512).startswith(b"221")
    except OSError:
        return False


def end(process, sig=signal.SIGTERM, seconds=20):
    """Ends a process that this test started; returns its exit status."""
    if process.poll() is None:
        process.send_signal(sig)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


class Sink:
    """`postern sink`, storing each message as a file with its envelope."""

    def __init__(self, directory, *options, listen=None, port=None):
        self.port = port or free_port()
        self.listen = listen or f"127.0.0.1:{self.port}"
        self.directory = directory
        self.options = options
        os.makedirs(directory, exist_ok=True)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "sink", "--listen", self.listen, "--store", self.directory, "--quiet", *self.options],
            stdout=subprocess.DEVNULL,
        )
        if not self.listen.startswith("unix:"):
            wait_for(lambda: port_open(self.port), what="the sink's port")
        else:
            wait_for(lambda: os.path.exists(self.listen[5:]), what="the sink's socket")

    def stop(self, sig=signal.SIGTERM):
        end(self.process, sig)

    def messages(self):
        out = []
        for name in sorted(os.listdir(self.directory)):
            if name.startswith("."):
                continue
            with open(os.path.join(self.directory, name), "rb") as f:
                out.append(f.read())
        return out

    def wait(self, count, seconds=20):
        return wait_for(lambda: len(self.messages()) >= count and self.messages(), seconds, f"{count} messages at the sink")


class Server:
    """Postern on a generated configuration directory."""

    MASTER_TAIL = """
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
"""

    def __init__(self, main="", master=None, sink=None, tls=False, sasl=None, downstream=None):
        self.directory = tempfile.mkdtemp(prefix="postern-test-")
        os.chmod(self.directory, 0o755)
        self.plain, self.submission, self.submissions = free_port(), free_port(), free_port()
        self.sink = sink
        self.process = None
        self.environment = {}
        # Whether a role may end by a fault.
        self.may_fault = False
        # Called in the server's process before its program.
        self.prepare = None
        relay = downstream or (f"[127.0.0.1]:{sink.port}" if sink else "")
        self.base = f"""
compatibility_level = 3.6
myhostname = mx.example.com
mydomain = example.com
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
relayhost = {relay}
queue_directory = {self.directory}/spool
data_directory = {self.directory}/data
maillog_file = {self.directory}/maillog
maillog_file_prefixes = {self.directory}
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
"""
        os.makedirs(f"{self.directory}/data")
        if tls:
            self.make_certificate()
            self.base += f"smtpd_tls_chain_files = {self.directory}/key.pem, {self.directory}/cert.pem\nsmtpd_tls_security_level = may\n"
        if sasl:
            self.make_sasl(sasl)
        self.write("main.cf", self.base + main)
        self.write("master.cf", (master or self.default_master(tls, sasl)).replace("@PLAIN@", str(self.plain)) + self.MASTER_TAIL)

    def default_master(self, tls, sasl):
        lines = f"127.0.0.1:{self.plain} inet n - n - - smtpd\n"
        if tls and sasl:
            lines += f"""127.0.0.1:{self.submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{self.submissions} inet n - n - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
"""
        return lines

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.directory, name)) as f:
            return f.read()

    def make_certificate(self):
        run("cert", "selfsigned", "--name", "localhost", "--name", "127.0.0.1", "--out-cert", f"{self.directory}/cert.pem", "--out-key", f"{self.directory}/key.pem")

    def make_sasl(self, text):
        self.base += f"cyrus_sasl_config_path = {self.directory}/sasl\nsmtpd_sasl_local_domain = $myhostname\n"
        self.write("sasl/smtpd.conf", text.replace("@DIR@", self.directory))

    SASLDB = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: @DIR@/sasl/sasldb2\nmech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n"

    def add_user(self, name="alice", password=PASSWORD):
        run("user", "add", "-p", "-c", self.directory, name, input=password)
        if os.geteuid() == 0:
            shutil.chown(f"{self.directory}/sasl/sasldb2", "root", "postfix")
            os.chmod(f"{self.directory}/sasl/sasldb2", 0o640)

    def start(self, wait=True):
        # The log goes on over restarts.
        starts = self.log().count("daemon started")
        with open(f"{self.directory}/stderr", "a") as stderr:
            self.process = subprocess.Popen(
                [BINARY, "start", "-c", self.directory, "--foreground"], stderr=stderr, env={**os.environ, **self.environment},
                preexec_fn=self.prepare)
        if wait:
            ended = lambda: self.process.poll() is not None
            try:
                wait_for(lambda: ended() or self.log().count("daemon started") > starts and port_open(self.plain), what="the server's start")
                assert not ended(), f"the server ended with status {self.process.returncode}"
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.read('stderr')}{self.log()}") from None
        return self

    def stop(self):
        return end(self.process, seconds=40) if self.process else None

    def kill_all(self):
        """kill -9 of supervisor and roles at once, as when the machine goes down."""
        victims = [self.process.pid, *self.roles().values()]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in victims), what="the end of all roles")

    def roles(self):
        """role argument -> pid, of this server's children."""
        out = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                if parent == self.process.pid:
                    with open(f"/proc/{pid}/cmdline") as f:
                        words = f.read().split("\0")
                    out[words[2] + ("" if words[2] not in out else pid)] = int(pid)
            except (OSError, IndexError):
                pass
        return out

    def log(self):
        try:
            return self.read("maillog")
        except FileNotFoundError:
            return ""

    def wait_log(self, text, seconds=20):
        return wait_for(lambda: text in self.log() and self.log(), seconds, f"log line {text!r} in:\n{self.log()[-3000:]}")

    def queue(self, *arguments):
        return run("queue", *arguments[:1], "-c", self.directory, *arguments[1:]).stdout

    def queue_list(self):
        return [json.loads(line) for line in self.queue("list", "--json").splitlines()]

    def remove(self):
        if self.process and self.process.poll() is None:
            self.stop()
        said = self.read("stderr") if os.path.exists(f"{self.directory}/stderr") else ""
        log = self.log()
        shutil.rmtree(self.directory, ignore_errors=True)
        # At its end, too, when nobody would miss it.
        faults = [line for line in log.splitlines() if re.search(r"role.*killed by signal (4|5|6|11)\b", line)]
        assert self.may_fault or not faults, faults
        # A debug build says where; whatever the test was about, and however well the server went on.
        assert "Fatal error" not in said, f"a role ended in a trap:\n{said}"


def run(*arguments, input=None, check=True, **options):
    result = subprocess.run([BINARY, *arguments], input=input, capture_output=True, text=True, timeout=60, **options)
    if check and result.returncode != 0:
        raise AssertionError(f"postern {' '.join(arguments)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def have(*programs):
    return all(shutil.which(p) for p in programs)


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    return unittest.skipIf(missing, f"needs {', '.join(missing)}")


needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


def has_user(name):
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


class Case(unittest.TestCase):
    """A test with a server and, unless told otherwise, a sink; both end with it."""

    def sink(self, *options, **more):
        directory = tempfile.mkdtemp(prefix="postern-sink-")
        sink = Sink(directory, *options, **more)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        self.addCleanup(lambda: sink.process.poll() is None and sink.stop())
        return sink

    def server(self, *arguments, start=True, users=(), **options):
        server = Server(*arguments, **options)
        self.addCleanup(server.remove)
        for user in users:
            server.add_user(user)
        if start:
            server.start()
        return server
