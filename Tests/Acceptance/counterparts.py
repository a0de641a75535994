"""Real programs on the other side: Dovecot (IMAP, LMTP) and saslauthd, each in a private directory on loopback, ended by pid."""

import contextlib
import glob
import imaplib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile

from postern import PASSWORD, end, free_port, port_open, wait_for

ROOT = os.geteuid() == 0


def private_directory(prefix):
    """A temporary directory that other users may enter; short enough for a socket's path."""
    directory = tempfile.mkdtemp(prefix=prefix)
    os.chmod(directory, 0o755)
    return directory


class Dovecot:
    """Dovecot with one account for each name, all with the harness's password, and maildirs below its own directory."""

    def __init__(self, users=("alice",), extra=""):
        self.directory = private_directory("dovecot-test-")
        self.imap, self.lmtp = free_port(), free_port()
        self.lmtp_socket = f"{self.directory}/lmtp"
        owner = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
        caller = owner.pw_name
        for name in users:
            os.makedirs(f"{self.directory}/home/{name}")
        if ROOT:
            for path in [f"{self.directory}/home", *glob.glob(f"{self.directory}/home/*")]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        # Without root it can neither change user nor root directory.
        unprivileged = "" if ROOT else f"""
default_internal_user = {caller}
default_internal_group = {caller}
default_login_user = {caller}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
}}
"""
        self.write("users", "".join(f"{n}:{{PLAIN}}{PASSWORD}:{owner.pw_uid}:{owner.pw_gid}::{self.directory}/home/{n}::\n" for n in users))
        self.write("dovecot.conf", f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/state
log_path = {self.directory}/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_format = %n
first_valid_uid = 1
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = {self.directory}/users
}}
userdb {{
  driver = passwd-file
  args = {self.directory}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp}
  }}
  unix_listener {self.lmtp_socket} {{
    mode = 0666
  }}
}}
{unprivileged}{extra}""")
        self.process = None

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as f:
            f.write(text)
        # The accounts are read by Dovecot's auth process, which is not root.
        os.chmod(path, 0o644)

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", f"{self.directory}/dovecot.conf"], stderr=subprocess.DEVNULL)
        wait_for(lambda: self.process.poll() is None and port_open(self.imap) and port_open(self.lmtp), what=f"Dovecot's ports\n{self.log()}")
        return self

    def log(self):
        try:
            with open(f"{self.directory}/log") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def append(self, user, message):
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=20) as imap:
            imap.login(user, PASSWORD)
            status, answer = imap.append("INBOX", None, None, message)
            assert status == "OK", answer

    def messages(self, user):
        """Those in the INBOX that are not marked as deleted, each with its flags in front."""
        with imaplib.IMAP4("127.0.0.1", self.imap, timeout=20) as imap:
            imap.login(user, PASSWORD)
            imap.select("INBOX", readonly=True)
            _, (numbers,) = imap.search(None, "UNDELETED")
            out = []
            for number in numbers.split():
                _, parts = imap.fetch(number, "(FLAGS BODY.PEEK[])")
                out.append(parts[0][1])
            return out

    def maildir(self, user):
        """What delivery has put into the user's maildir, as files."""
        out = []
        for path in sorted(glob.glob(f"{self.directory}/home/{user}/Maildir/new/*") + glob.glob(f"{self.directory}/home/{user}/Maildir/cur/*")):
            with open(path, "rb") as f:
                out.append(f.read())
        return out

    def stop(self):
        if self.process:
            end(self.process)

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Saslauthd:
    """`saslauthd -a MECHANISM` with its socket in a directory of its own, as Debian's README for Postfix has it."""

    def __init__(self, mechanism, *options, directory=None, etc_sasldb=None):
        """`etc_sasldb` is what it sees as /etc/sasldb2, a path that no option changes; needs root."""
        self.directory = directory or private_directory("saslauthd-test-")
        self.mechanism = mechanism
        self.options = options
        self.etc_sasldb = etc_sasldb
        self.process = None
        self.start()

    @property
    def socket(self):
        return f"{self.directory}/mux"

    def start(self):
        # -d keeps it in the foreground; -n 1 gives one process more.
        command = ["saslauthd", "-d", "-n", "1", "-a", self.mechanism, "-m", self.directory, *self.options]
        if self.etc_sasldb:
            # A copy of /etc, in a mount namespace that ends with the process.
            script = 'cp -a /etc "$0/etc" && cp "$1" "$0/etc/sasldb2" && mount --bind "$0/etc" /etc && shift && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, self.directory, self.etc_sasldb, *command]
        # A group of its own: when it ends, saslauthd -d signals its whole group.
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_for(lambda: os.path.exists(self.socket), what="saslauthd's socket")

    def processes(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return [self.process.pid, *map(int, f.read().split())]

    def signal(self, number):
        for pid in self.processes():
            os.kill(pid, number)

    def stop(self):
        if self.process.poll() is None:
            children = self.processes()[1:]
            self.signal(signal.SIGCONT)
            # One that was stopped in the middle of requests does not always end by itself; what it does then is not what is tested.
            with contextlib.suppress(subprocess.TimeoutExpired):
                end(self.process)
            for pid in children:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
