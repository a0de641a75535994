"""A Debian machine of its own for one test: copies of /etc and empty spool directories, seen in the usual places by the commands run inside.

Each command runs in a private mount namespace with the same directories, so the paths of a recipe can be used literally and nothing of the real
machine changes. Needs root.
"""

import os
import re
import shutil
import smtplib
import socket
import subprocess

from counterparts import private_directory
from postern import BINARY, end, free_port, port_open, wait_for

SHARE = "/usr/share/postfix"
MOUNTED = {"etc": "/etc", "spool": "/var/spool", "lib": "/var/lib/postfix", "run": "/run"}


class Machine:
    def __init__(self):
        self.directory = private_directory("postern-stock-")
        self.processes = []
        self.mounted = dict(MOUNTED)
        # Another test may be making an account just now: files come and go.
        wait_for(lambda: subprocess.run(["cp", "-a", "/etc/.", f"{self.directory}/etc"], capture_output=True).returncode == 0, what="a copy of /etc")
        shutil.rmtree(f"{self.directory}/etc/postfix", ignore_errors=True)
        for name in ("spool/postfix", "lib", "run", "etc/postfix/sasl"):
            os.makedirs(f"{self.directory}/{name}", exist_ok=True)
        for name in ("etc/sasldb2", "etc/pam.d/smtp"):
            if os.path.exists(f"{self.directory}/{name}"):
                os.unlink(f"{self.directory}/{name}")
        self.write("etc/mailname", "mail.example.com\n")
        self.write("etc/aliases", "postmaster: root\n")

    def inside(self, *command):
        mounts = "".join(f'mount --bind "$0/{name}" {place} && ' for name, place in self.mounted.items() if os.path.isdir(place))
        return ["unshare", "--mount", "sh", "-c", f'{mounts} exec "$@"', self.directory, *command]

    def run(self, *command, input=None, check=True):
        result = subprocess.run(self.inside(*command), input=input, capture_output=True, text=True, timeout=60)
        if check and result.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)

    def append(self, name, text):
        with open(self.path(name), "a") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def install(self, relayhost="", tls=False):
        """What the package's own set-up leaves behind ("Internet with smarthost", all questions answered with their defaults)."""
        shutil.copy(f"{SHARE}/master.cf.dist", self.path("etc/postfix/master.cf"))
        shutil.copy(f"{SHARE}/main.cf.debian", self.path("etc/postfix/main.cf"))
        if tls:
            # The package ssl-cert's pair is what main.cf.tls names.
            for name in ("etc/ssl/private", "etc/ssl/certs"):
                os.makedirs(self.path(name), exist_ok=True)
            self.run(BINARY, "cert", "selfsigned", "--name", "localhost", "--name", "mail.example.com",
                     "--out-cert", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "--out-key", "/etc/ssl/private/ssl-cert-snakeoil.key")
            with open(f"{SHARE}/main.cf.tls") as f:
                self.append("etc/postfix/main.cf", f.read())
        self.conf(
            "smtpd_relay_restrictions=permit_mynetworks permit_sasl_authenticated defer_unauth_destination", "myhostname=mail.example.com",
            "alias_maps=hash:/etc/aliases", "alias_database=hash:/etc/aliases", "myorigin=/etc/mailname",
            "mydestination=$myhostname, mail.example.com, localhost.example.com, localhost", f"relayhost={relayhost}",
            "mynetworks=127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128", "mailbox_size_limit=0", "recipient_delimiter=+", "inet_interfaces=all",
            "inet_protocols=all")

    def syslog(self):
        """A /dev of its own, with a daemon's socket in it; returns the socket."""
        os.makedirs(self.path("dev"))
        for name, numbers in {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}.items():
            os.mknod(self.path(f"dev/{name}"), 0o020666, os.makedev(*numbers))
            os.chmod(self.path(f"dev/{name}"), 0o666)
        self.mounted["dev"] = "/dev"
        return self.listen_syslog()

    def listen_syslog(self):
        path = self.path("dev/log")
        if os.path.exists(path):
            os.unlink(path)
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        daemon.bind(path)
        os.chmod(path, 0o666)
        daemon.settimeout(20)
        return daemon

    def conf(self, *settings):
        self.run(BINARY, "conf", "-c", "/etc/postfix", "-e", *settings)

    def replace_ports(self):
        """Each inet service of master.cf moves to a free port on 127.0.0.1; returns the ports by old name. All else stays."""
        ports = {}

        def move(match):
            ports[match[1]] = free_port()
            return f"127.0.0.1:{ports[match[1]]}{match[2]}"

        self.write("etc/postfix/master.cf", re.sub(r"^([^#\s]\S*)(\s+inet\s)", move, self.read("etc/postfix/master.cf"), flags=re.M))
        return ports

    def spawn(self, *command):
        output = open(self.path("output"), "a")
        with output:
            process = subprocess.Popen(self.inside(*command), stdout=output, stderr=output, start_new_session=True)
        self.processes.append(process)
        return process

    def start(self, ports):
        process = self.spawn(BINARY, "start", "-c", "/etc/postfix", "--foreground")

        def greeted(port):
            if process.poll() is not None:
                raise AssertionError(f"the server ended with status {process.returncode}\n{self.read('output')}")
            if not port_open(port):
                return False
            return True

        for port in ports.values():
            wait_for(lambda: greeted(port), what=f"port {port}\n{self.read('output')}")
        return process

    def saslauthd(self, *options, socket="run/saslauthd"):
        self.spawn("saslauthd", "-d", "-n", "1", *options)
        wait_for(lambda: os.path.exists(self.path(f"{socket}/mux")), what="saslauthd's socket")

    def remove(self):
        for process in reversed(self.processes):
            end(process, seconds=40)
        shutil.rmtree(self.directory, ignore_errors=True)


def ehlo(port):
    """The lines of the EHLO reply."""
    with smtplib.SMTP("localhost", port, timeout=30) as s:
        code, text = s.ehlo("dummy")
        assert code == 250, text
        return text.decode().split("\n")
