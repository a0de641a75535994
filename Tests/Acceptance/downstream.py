"""Downstream servers that no one here wrote: a private instance of Postfix, and its smtp-sink."""

import os
import shutil
import subprocess
import tempfile

from postern import BINARY, end, free_port, greets, port_open, wait_for

POSTFIX_SHARE = "/usr/share/postfix"


def settled(text):
    """`text` with each parameter where it stands last, once.

    A parameter that stands twice is a warning of every program that reads main.cf, postlogd included. Sent to a postlogd that has not begun to read,
    eleven of them fill its socket (net.unix.max_dgram_qlen); postlogd then waits for itself, and everyone else for postlogd.
    """
    parameters = {}
    for line in text.splitlines():
        if line.strip():
            name = line.split("=", 1)[0].strip()
            parameters.pop(name, None)
            parameters[name] = line
    return "\n".join(parameters.values()) + "\n"


class Postfix:
    """A real Postfix that takes mail only over STARTTLS and after AUTH unless `main` says otherwise, and keeps it on hold. Needs root."""

    USER, PASSWORD = "relay", "looking-glass"

    def __init__(self, main="", more_services=""):
        self.directory = tempfile.mkdtemp(prefix="postern-postfix-")
        os.chmod(self.directory, 0o755)
        self.port = free_port()
        for name in ("spool", "data", "sasl"):
            os.mkdir(f"{self.directory}/{name}")
        shutil.chown(f"{self.directory}/data", "postfix", "postfix")
        subprocess.run(
            [BINARY, "cert", "selfsigned", "--name", "localhost", "--out-cert", f"{self.directory}/cert.pem", "--out-key", f"{self.directory}/key.pem"],
            check=True, capture_output=True, timeout=60)
        self.write("main.cf", settled(f"""
compatibility_level = 3.6
queue_directory = {self.directory}/spool
data_directory = {self.directory}/data
maillog_file = {self.directory}/maillog
maillog_file_prefixes = {self.directory}
myhostname = downstream.example.net
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
smtpd_peername_lookup = no
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {self.directory}/key.pem, {self.directory}/cert.pem
smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_data_restrictions = check_client_access static:hold
default_transport = discard:
{main}"""))
        with open(f"{POSTFIX_SHARE}/master.cf.dist") as f:
            lines = f.read().splitlines()
        services = [f"127.0.0.1:{self.port} inet n - n - - smtpd"]
        for line in lines:
            words = line.split()
            if line[:1].isalpha() and len(words) >= 8 and words[1] != "inet":
                words[4] = "n"
                services.append(" ".join(words))
        # postlogd writes maillog_file; the other services log through it.
        self.write("master.cf", "\n".join(services) + "\n" + more_services)
        self.write("sasl/smtpd.conf", f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {self.directory}/sasl/sasldb2\nmech_list: PLAIN LOGIN\n")
        subprocess.run(
            ["saslpasswd2", "-c", "-p", "-f", f"{self.directory}/sasl/sasldb2", "-u", "downstream.example.net", self.USER],
            input=self.PASSWORD, text=True, check=True, capture_output=True, timeout=60)
        shutil.chown(f"{self.directory}/sasl/sasldb2", "root", "postfix")
        os.chmod(f"{self.directory}/sasl/sasldb2", 0o640)
        self.command("start")
        try:
            # A port that is open says nothing: master opens it before anyone can serve.
            wait_for(lambda: greets(self.port), what="the downstream Postfix's greeting")
        except AssertionError as failure:
            self.remove()
            raise AssertionError(f"{failure}\n{self.log()}") from None

    def write(self, name, text):
        with open(f"{self.directory}/{name}", "w") as f:
            f.write(text)

    def command(self, *words):
        return subprocess.run(["postfix", "-c", self.directory, *words], check=True, capture_output=True, text=True, timeout=60)

    def log(self):
        try:
            with open(f"{self.directory}/maillog") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def messages(self):
        """The messages on hold, as postcat prints them: envelope, header, body."""
        names = [name for _, _, files in os.walk(f"{self.directory}/spool/hold") for name in files]
        return [
            subprocess.run(["postcat", "-c", self.directory, "-q", name], check=True, capture_output=True, timeout=60).stdout for name in names
        ]

    def wait_for_subject(self, subject, seconds=30):
        text = f"Subject: {subject}\n".encode()
        return wait_for(lambda: [m for m in self.messages() if text in m], seconds, f"{subject!r} at the downstream Postfix")

    def remove(self):
        try:
            self.command("stop")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class SMTPSink:
    """Postfix's smtp-sink, with a file for each message."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="postern-smtp-sink-")
        os.chmod(self.directory, 0o777)
        self.port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(["smtp-sink", *user, "-d", f"{self.directory}/%M.", f"127.0.0.1:{self.port}", "100"])
        wait_for(lambda: port_open(self.port), what="smtp-sink's port")

    def messages(self):
        out = []
        for name in os.listdir(self.directory):
            with open(f"{self.directory}/{name}", "rb") as f:
                out.append(f.read())
        return out

    def remove(self):
        end(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)
