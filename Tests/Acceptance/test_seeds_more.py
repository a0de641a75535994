"""Three more HOWTOs, command by command: ArchWiki's "Postfix with SASL", Debian etch with saslauthd -a rimap, Debian sarge with PAM and MySQL.

Nothing is changed in what they say but the ports, `postconf` (here `postern conf`) and the start of the services. Words that the pages have lost
(file and module names, addresses) are filled in as their text describes them.
"""

import os
import pwd
import re
import shutil
import smtplib
import ssl
import subprocess
import unittest

from counterparts import Dovecot
from postern import PASSWORD, end, free_port, needs, needs_root, wait_for
from seeds import Seed
from stock import SHARE, ehlo

needs_package = unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")


@needs_root
@needs("unshare", "swaks", "saslauthd", "testsaslauthd", "dovecot")
@needs_package
class Arch(Seed):
    def follow(self, options):
        """The submission lines of master.cf, with a certificate; Arch's master.cf has no chroot."""
        machine = self.machine(tls=True)
        master = machine.read("etc/postfix/master.cf").replace("       y       -       ", "       n       -       ")
        machine.write("etc/postfix/master.cf", f"{master}\nsubmission inet n       -       n       -       -       smtpd\n{options}")
        return machine

    def test_cyrus_sasl_with_pam(self):
        machine = self.follow("""  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_reject_unlisted_recipient=no
#  -o smtpd_client_restrictions=$mua_client_restrictions
#  -o smtpd_helo_restrictions=$mua_helo_restrictions
#  -o smtpd_sender_restrictions=$mua_sender_restrictions
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
""")
        machine.write("etc/sasl2/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\nlog_level: 7\n")
        machine.write("etc/pam.d/smtp", "auth            required        pam_unix.so\naccount         required        pam_unix.so\n")
        user, password = self.account(machine)
        os.makedirs(machine.path("run/saslauthd"))
        os.chmod(machine.path("run/saslauthd"), 0o755)
        machine.saslauthd("-a", "pam", "-m", "/run/saslauthd")
        ports = machine.replace_ports()
        machine.start(ports)
        self.assertIn("0: OK", machine.run("testsaslauthd", "-u", user, "-p", password, "-s", "smtp").stdout)
        self.assertFalse(any(line.startswith("AUTH") for line in ehlo(ports["smtp"])))
        self.submits(ports["submission"], user, password, "-tls")
        # Nobody passes without AUTH, not even mynetworks.
        with smtplib.SMTP("localhost", ports["submission"], timeout=30) as s:
            s.starttls()
            s.ehlo()
            s.mail("alice@example.com")
            code, text = s.rcpt("bob@example.net")
        self.assertEqual(code, 554)
        self.assertIn(b"Recipient address rejected: Access denied", text)

    def test_dovecot(self):
        machine = self.follow("""  # SASL authentication with dovecot
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path=private/auth
  -o smtpd_sasl_security_options=noanonymous
  -o smtpd_sasl_local_domain=$myhostname
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=reject_non_fqdn_recipient,reject_unknown_recipient_domain,permit_sasl_authenticated,reject
""")
        os.makedirs(machine.path("spool/postfix/private"))
        # The socket lies in the machine's own spool directory, which Dovecot, outside, knows by its real path.
        dovecot = Dovecot(extra=f"""
service auth {{
  unix_listener {machine.path("spool/postfix/private/auth")} {{
    group = postfix
    mode = 0660
    user = postfix
  }}
  user = root
}}
""")
        self.addCleanup(dovecot.remove)
        dovecot.start()
        ports = machine.replace_ports()
        machine.start(ports)
        self.submits_to_literal(ports["submission"])
        with smtplib.SMTP("localhost", ports["submission"], timeout=30) as s:
            s.starttls()
            s.ehlo()
            s.mail("alice@example.com")
            self.assertEqual(s.rcpt("bob@example.net"), (554, b"5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"))

    def submits_to_literal(self, port):
        """reject_unknown_recipient_domain asks the DNS, which is not there; an address literal needs none."""
        to = "bob@[192.0.2.1]"
        self.assertIn("235 2.7.0", self.swaks(port, "alice", PASSWORD, "-tls", to=to))
        self.downstream.wait(1)
        self.assertIn("535 5.7.8", self.swaks(port, "alice", PASSWORD + "x", "-tls", to=to, status=self.AUTH_FAILED))


@needs_root
@needs("unshare", "swaks", "saslauthd", "dovecot")
@needs_package
class Etch(Seed):
    MASTER = """smtp      inet  n       -       n       -       -       smtpd -v
pickup    fifo  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      fifo  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
smtp      unix  -       -       n       -       -       smtp
"""

    def test_rimap(self):
        machine = self.machine()
        machine.write("etc/postfix/master.cf", self.MASTER)
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: plain login cram-md5 digest-md5\n")
        machine.conf(
            "smtpd_client_restrictions =", "smtpd_sender_restrictions =", "smtpd_sasl_auth_enable = yes", "mynetworks = 127.0.0.1",
            "smtpd_recipient_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_unauth_destination",
            "debug_peer_list = 127.0.0.1")
        dovecot = Dovecot()
        self.addCleanup(dovecot.remove)
        dovecot.start()
        os.makedirs(machine.path("run/saslauthd"))
        os.chmod(machine.path("run/saslauthd"), 0o755)
        # MECHANISMS="rimap", MECH_OPTIONS="localhost", OPTIONS="-c -rV"; rimap takes the port behind a slash.
        machine.saslauthd("-a", "rimap", "-O", f"127.0.0.1/{dovecot.imap}", "-c", "-r", "-V", "-m", "/run/saslauthd")
        ports = machine.replace_ports()
        machine.start(ports)
        offered = next(line for line in ehlo(ports["smtp"]) if line.startswith("AUTH "))
        self.assertEqual(set(offered.split()[1:]), {"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"})
        # Dovecot drops the domain again (auth_username_format), which saslauthd keeps for -r.
        self.submits(ports["smtp"], "alice@example.com", PASSWORD)


@needs_root
@needs("unshare", "swaks", "saslauthd", "mariadbd", "mariadb-install-db", "openssl")
@unittest.skipUnless(os.path.exists("/usr/share/doc/libpam-mysql"), "needs Debian's package libpam-mysql")
@needs_package
class Sarge(Seed):
    def database(self, machine):
        """MariaDB with the table that the page's imap server uses; returns its port."""
        directory, port = machine.path("database"), free_port()
        owner = pwd.getpwnam("nobody").pw_name
        os.makedirs(directory)
        shutil.chown(directory, owner)
        setup = subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", f"--user={owner}", f"--datadir={directory}",
             f"--tmpdir={directory}"],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(setup.returncode, 0, setup.stdout + setup.stderr)
        hashed = subprocess.run(["openssl", "passwd", "-1", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
        with open(f"{directory}/init.sql", "w") as f:
            f.write(f"""CREATE DATABASE postfix;
CREATE TABLE postfix.mailbox (username VARCHAR(255), password VARCHAR(255));
INSERT INTO postfix.mailbox VALUES ('alice@example.com', '{hashed}');
CREATE USER 'postfix'@'127.0.0.1' IDENTIFIED BY 'yourpass';
GRANT SELECT ON postfix.mailbox TO 'postfix'@'127.0.0.1';
""")
        with open(machine.path("output"), "a") as output:
            server = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--user={owner}", f"--datadir={directory}", f"--tmpdir={directory}", f"--socket={directory}/socket", "--bind-address=127.0.0.1",
                 f"--port={port}", f"--init-file={directory}/init.sql", "--skip-name-resolve"], stdout=output, stderr=output)
        self.addCleanup(lambda: end(server, seconds=40))
        wait_for(lambda: "ready for connections" in machine.read("output"), what="MariaDB")
        return port

    def keys(self, machine):
        """The certificate, as the page makes it: a key under a passphrase that is then taken off. 1,024 bits are what it says."""
        tls = "/etc/postfix/tls"
        os.makedirs(machine.path("etc/postfix/tls"))
        for command in (
            f"openssl genrsa -des3 -passout pass:secret -out {tls}/smtpd.key 1024",
            f"openssl req -new -passin pass:secret -key {tls}/smtpd.key -subj /CN=mail.example.com -out {tls}/smtpd.csr",
            f"openssl x509 -req -days 3650 -in {tls}/smtpd.csr -signkey {tls}/smtpd.key -passin pass:secret -out {tls}/smtpd.crt",
            f"openssl rsa -in {tls}/smtpd.key -passin pass:secret -out {tls}/smtpd.key.unencrypted",
            f"mv -f {tls}/smtpd.key.unencrypted {tls}/smtpd.key",
            f"openssl req -new -x509 -extensions v3_ca -passout pass:secret -subj /CN=ca -keyout {tls}/cakey.pem -out {tls}/cacert.pem -days 3650",
        ):
            machine.run("sh", "-c", command)

    def test_pam_mysql_and_tls_in_the_chroot(self):
        machine = self.machine()
        options = f"user=postfix passwd=yourpass host=127.0.0.1:{self.database(machine)} db=postfix table=mailbox"
        options += " usercolumn=username passwdcolumn=password crypt=1 md5=1"
        machine.write("etc/pam.d/smtp", f"auth required pam_mysql.so {options}\naccount sufficient pam_mysql.so {options}\n")
        machine.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\nlog_level: 5\n")
        # Its master.cf is of a time when "-" in the chroot column meant yes.
        master = machine.read("etc/postfix/master.cf")
        machine.write("etc/postfix/master.cf", re.sub(r"^smtp +inet.*$", "smtp inet n - - - - smtpd", master, count=1, flags=re.M))
        machine.conf("compatibility_level = 0")
        os.makedirs(machine.path("run/saslauthd"))
        os.makedirs(machine.path("spool/postfix/var/run"))
        shutil.chown(machine.path("run/saslauthd"), "root", "sasl")
        os.chmod(machine.path("run/saslauthd"), 0o710)
        machine.run("sh", "-c", "mv /run/saslauthd /var/spool/postfix/var/run/saslauthd && ln -s /var/spool/postfix/var/run/saslauthd /run/saslauthd")
        machine.run("adduser", "postfix", "sasl")
        machine.append("etc/postfix/main.cf", "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_local_domain =\nbroken_sasl_auth_clients = yes\n")
        machine.conf("smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination")
        self.keys(machine)
        machine.append("etc/postfix/main.cf", """smtpd_use_tls = yes
#smtpd_tls_auth_only = yes
smtpd_tls_key_file = /etc/postfix/tls/smtpd.key
smtpd_tls_cert_file = /etc/postfix/tls/smtpd.crt
smtpd_tls_CAfile = /etc/postfix/tls/cacert.pem
smtpd_tls_loglevel = 3
smtpd_tls_received_header = yes
smtpd_tls_session_cache_timeout = 3600s
tls_random_source = dev:/dev/urandom
""")
        machine.saslauthd("-a", "pam", "-r", "-m", "/var/spool/postfix/var/run/saslauthd", socket="spool/postfix/var/run/saslauthd")
        ports = machine.replace_ports()
        machine.start(ports)
        self.submits(ports["smtp"], "alice@example.com", PASSWORD)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with smtplib.SMTP("localhost", ports["smtp"], timeout=30) as s:
            s.starttls(context=old)
            s.login("alice@example.com", PASSWORD)
            s.sendmail("alice@example.com", "bob@example.net", "Subject: over TLS\r\n\r\nx\r\n")
        self.downstream.wait(2)
        self.assertTrue(any(b"(using TLSv1.3 with cipher TLS_" in message for message in self.downstream.messages()))


if __name__ == "__main__":
    unittest.main()
