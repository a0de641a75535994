"""What stands in the way of a start: `check` and `start` name the file or process, and say what to do."""

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import unittest

from postern import BINARY, Case, Server, needs, needs_root, wait_for
from stock import SHARE


def complaints(*arguments):
    result = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout + result.stderr


class StartCheck(Case):
    def both_say(self, server, *texts):
        for command in (["check"], ["start", "--foreground"]):
            status, output = complaints(*command, "-c", server.directory)
            self.assertEqual(status, 1, f"{command}: {output}")
            for text in texts:
                self.assertIn(text, output, command)

    def stopped(self, **options):
        return self.server(start=False, **options)

    # Each line of main.cf with what is to be said about it.
    MAIN = [
        ("this line has no equals", ['missing "=" after "this line has no equals"']),
        ("smtpd_timeout = 5x", ["smtpd_timeout must be a time"]),
        ("smtpd_recipient_limit = many", ["smtpd_recipient_limit must be a number"]),
        ("smtpd_recipent_limit = 7", ["warning: unknown parameter smtpd_recipent_limit; did you mean smtpd_recipient_limit?"]),
        ("mydestination = @DIR@/destinations", ["open @DIR@/destinations: No such file"]),
        ("mynetworks = 127.0.0.0/8, 10.0.0.1/8, @DIR@/networks", ['non-null host address bits in "10.0.0.1/8"', "open @DIR@/networks: No such file"]),
        ("relayhost = [gate.example.com", ['relayhost: "[gate.example.com" is not a next hop']),
        ("relay_domains = example.org", []),
        ("relay_transport = uucp:gate", ["mail of the address class relay has no way out"]),
        ("virtual_mailbox_maps = texthash:@DIR@/mailboxes", ["open @DIR@/mailboxes: No such file"]),
        ("virtual_transport = lmtp:unix:", ['virtual_transport: "unix:" is not a next hop']),
        ("transport_maps = texthash:@DIR@/transport", ["open @DIR@/transport: No such file"]),
        ("canonical_maps = texthash:@DIR@/canonical", ["open @DIR@/canonical: No such file"]),
        ("sender_canonical_maps = mysql:@DIR@/canonical", ["table type mysql is not built in"]),
        ("masquerade_exceptions = texthash:@DIR@/root", ["open @DIR@/root: No such file"]),
        ("masquerade_domains = texthash:@DIR@/root", ['masquerade_domains: "texthash:@DIR@/root" is no domain']),
        ("always_bcc = a b c", ['always_bcc: "a b c" is not an address']),
        ("smtpd_authorized_xclient_hosts = 1.2.3.4/8", ['non-null host address bits in "1.2.3.4/8"']),
        ("smtpd_authorized_xforward_hosts = texthash:@DIR@/xforward", ["open @DIR@/xforward: No such file"]),
        ("smtpd_client_event_limit_exceptions = 1.2.3.4/8", ['non-null host address bits in "1.2.3.4/8"']),
        ("smtpd_forbidden_commands = texthash:@DIR@/forbidden", ["open @DIR@/forbidden: No such file"]),
        ("smtpd_noop_commands = texthash:@DIR@/noop, texthash:@DIR@/noop2", ["open @DIR@/noop: No such file", "open @DIR@/noop2: No such file"]),
        ("smtpd_command_filter = regexp:{{/(/ x}, {/x/}}", ["Unmatched (", "no value after pattern"]),
        ("smtpd_discard_ehlo_keyword_address_maps = cidr:@DIR@/cidr", []),
        ("smtpd_reject_footer_maps = texthash:@DIR@/footers", ["open @DIR@/footers: No such file"]),
        ("local_header_rewrite_clients = permit_foo, permit_bar", ['"permit_foo" is not implemented', '"permit_bar" is not implemented']),
        ("smtpd_recipient_restrictions = check_client_access texthash:@DIR@/access, reject_nonsense, reject_invalid_hostname foo:bar",
         ["open @DIR@/access: No such file", 'unknown smtpd restriction: "reject_nonsense"']),
        ("smtpd_restriction_classes = strict, absent", ["restriction class `absent' needs a definition"]),
        ("strict = bad_word", ['unknown smtpd restriction: "bad_word"']),
        ("smtpd_tls_security_level = may", []),
        ("smtpd_tls_cert_file = @DIR@/cert", ["cannot read @DIR@/cert: No such file"]),
        ("smtpd_tls_key_file = @DIR@/key", ["cannot read @DIR@/key: No such file"]),
        ("smtpd_tls_CAfile = @DIR@/ca", ["cannot read @DIR@/ca: No such file"]),
        ("smtpd_tls_protocols = !SSLv9", ["!SSLv9 is not a TLS version"]),
        ("smtpd_tls_ciphers = best", ["smtpd_tls_ciphers must be one of"]),
        ("smtpd_sasl_auth_enable = yes", []),
        ("smtpd_sasl_mechanism_filter = texthash:@DIR@/mechanisms", ["smtpd_sasl_mechanism_filter: ", "is not supported in a SASL mechanism filter"]),
        ("smtpd_sasl_type = dovecot", []),
        ("smtpd_sasl_path =", ["smtpd_sasl_path is empty"]),
        ("smtp_sasl_auth_enable = yes", []),
        ("smtp_sasl_password_maps = texthash:@DIR@/passwords", ["open @DIR@/passwords: No such file"]),
        ("smtp_sasl_mechanism_filter = /etc/mechanisms", ["smtp_sasl_mechanism_filter: "]),
        ("smtp_bind_address = here", ['smtp_bind_address: "here" is not an address']),
        ("smtp_tcp_port = nosuch", ['smtp_tcp_port: unknown service "nosuch"']),
        ("smtp_tls_security_level = may", []),
        ("smtp_tls_CAfile = @DIR@/ca2", ["smtp_tls_CAfile: cannot read @DIR@/ca2: No such file"]),
        ("smtp_destination_rate_delay = 1s", ["smtp_destination_rate_delay is set, but not implemented yet"]),
        ("smtp_destination_recipient_limit = few", ["smtp_destination_recipient_limit must be a number"]),
        ("header_checks = regexp:@DIR@/headers", ["header_checks is set, but not implemented yet"]),
        ("proxy_interfaces = here", ['proxy_interfaces: "here" is not an IP address']),
        ("mail_owner = nobody-at-all", ["mail_owner = nobody-at-all: no such user"] if os.geteuid() == 0 else []),
        ("maillog_file = @DIR@/absent/maillog", ["cannot write there"]),
    ]
    MASTER = [
        ("127.0.0.1:@PORT@ inet n - n - - smtpd\n  -o smtpd_relay_restrictions=check_client_access,texthash:@DIR@/over1,permit\n"
         "  -o smtpd_tls_chain_files=@DIR@/chain\n  -o mynetworks=@DIR@/over2",
         ["open @DIR@/over1: No such file", "cannot read @DIR@/chain: No such file", "open @DIR@/over2: No such file"]),
        ("127.0.0.1:nosuchport inet n - n - - smtpd", ['"nosuchport" is not a port number']),
        ("nohost.invalid:@PORT@ inet n - n - - smtpd", ["nohost.invalid has no address"]),
        ("127.0.0.2:@PORT@ inet x - n q z smtpd", ["column private", "column wakeup", "column maxproc"]),
        ("127.0.0.3:@PORT@ inet n - n - - smtpd -o smtpd_timeout = 3", ['-o smtpd_timeout: missing "="', '"=" is not an option']),
        ("127.0.0.4:@PORT@ inet n - n - - pop3d", ["only smtpd can be served on an inet line"]),
        ("127.0.0.5:@PORT@ inet n - n - - smtpd {-o", ['missing "}"']),
        ("127.0.0.6:@OTHER@ inet n - n - - smtpd", ["Address already in use"]),
        ("smtp unix - - n", ["a service has 8 columns"]),
        ("other unix - - n - - smtp -o smtp_sasl_password_maps=texthash:@DIR@/over3 -o smtp_tls_CAfile=@DIR@/over4",
         ["open @DIR@/over3: No such file", "cannot read @DIR@/over4: No such file"]),
    ]

    def test_every_problem_in_one_run(self):
        server = self.stopped()
        with socket.socket() as other:
            other.bind(("127.0.0.6", 0))
            other.listen()

            def fill(text):
                return text.replace("@DIR@", server.directory).replace("@PORT@", str(server.plain)).replace("@OTHER@", str(other.getsockname()[1]))

            expected = []
            for name, lines, head in (("main.cf", self.MAIN, server.base), ("master.cf", self.MASTER, server.MASTER_TAIL)):
                keys = {text.split("=")[0].strip() for text, _ in lines} if name == "main.cf" else set()
                text = "".join(f"{line}\n" for line in head.splitlines() if line.split("=")[0].strip() not in keys)
                for line, messages in lines:
                    number = text.count("\n") + 1
                    expected += [(f"{server.directory}/{name}:{number}: ", fill(message)) for message in messages]
                    text += fill(line) + "\n"
                server.write(name, text)
            server.write("cidr", "10.0.0.1/8 pipelining\nnonsense x\n")
            expected += [(f"{server.directory}/cidr:1: ", "non-null host address bits"), (f"{server.directory}/cidr:2: ", "bad net/mask pattern")]
            status, output = complaints("check", "-c", server.directory)
        self.assertEqual(status, 1)
        for place, message in expected:
            self.assertTrue(any(line.startswith(place) and message in line for line in output.splitlines()), f"{place}{message}\n{output}")
        # Each is said once, and those of one file stand in its order.
        self.assertEqual(len(set(output.splitlines())), len(output.splitlines()), output)
        errors = [line.split(":", 2) for line in output.splitlines() if line.startswith(f"{server.directory}/main.cf:") and "warning:" not in line]
        numbers = [int(number) for _, number, _ in errors]
        self.assertEqual(numbers, sorted(numbers), output)

    def test_occupied_port(self):
        server = self.stopped()
        with socket.socket() as other:
            other.bind(("127.0.0.1", server.plain))
            other.listen()
            self.both_say(server, f"{server.directory}/master.cf:1: ", f"listening on 127.0.0.1:{server.plain}", "Address already in use by python",
                          f"process {os.getpid()} ", "stop it, or change the port in master.cf")

    def test_occupied_port_of_the_sink(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            where = f"127.0.0.1:{other.getsockname()[1]}"
            status, output = complaints("sink", "--listen", where)
        self.assertEqual((status, output), (1, f"Error: cannot listen on {where}: Address already in use\n"))

    def test_two_lines_with_one_port(self):
        server = self.stopped(master="127.0.0.1:@PLAIN@ inet n - n - - smtpd\n@PLAIN@ inet n - n - - smtpd\n  -o syslog_name=postfix/second\n")
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual(status, 1)
        self.assertIn(f"{server.directory}/master.cf:2: ", output)
        self.assertIn("Address already in use by another service of this master.cf", output)

    def test_started_twice(self):
        server = self.server(sink=self.sink())
        status, output = complaints("start", "-c", server.directory)
        self.assertEqual(status, 1)
        self.assertIn(f"already running: process {server.process.pid} serves this configuration", output)
        # What is served may be checked.
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual((status, output), (0, ""))

    def test_queue_of_another_configuration(self):
        server = self.server(sink=self.sink())
        other = self.stopped()
        other.write("main.cf", other.read("main.cf").replace(f"queue_directory = {other.directory}/spool", f"queue_directory = {server.directory}/spool"))
        self.both_say(other, f"main.cf:", f"is served by process {server.process.pid} with the configuration {server.directory}",
                      f"postern stop -c {server.directory}", "queue_directory of its own")

    def test_living_postfix(self):
        server = self.stopped()
        os.makedirs(f"{server.directory}/spool/pid")
        with open(f"{server.directory}/spool/pid/master.pid", "w") as f:
            f.write(f"{os.getpid():10d}\n")
            f.flush()
            fcntl.flock(f, fcntl.LOCK_EX)
            self.both_say(server, f"{server.directory}/main.cf:", f"belongs to a running Postfix, process {os.getpid()} ", "postfix stop")
        # A pid file that nobody holds is a dead Postfix's.
        self.assertEqual(complaints("check", "-c", server.directory)[0], 0)

    @needs_root
    @needs("postfix")
    @unittest.skipUnless(os.path.exists(f"{SHARE}/master.cf.dist"), "needs Debian's package postfix")
    def test_real_postfix(self):
        """Its own locks, as it leaves them; once it is stopped its queue directory is ours."""
        server = self.stopped(sink=self.sink())
        with open(f"{SHARE}/master.cf.dist") as f:
            inner = [line for line in f if line[:1].isalpha() and line.split()[1] != "inet"]
        server.write("theirs/master.cf", "".join(inner))
        server.write("theirs/main.cf", f"compatibility_level = 3.6\nqueue_directory = {server.directory}/spool\ndata_directory = {server.directory}/theirs-data\n"
                     f"maillog_file = {server.directory}/theirs.log\nmaillog_file_prefixes = {server.directory}\nmyhostname = mx.example.com\ninet_protocols = ipv4\n")
        os.makedirs(f"{server.directory}/spool")
        postfix = lambda command: subprocess.run(["postfix", "-c", f"{server.directory}/theirs", command], capture_output=True, text=True, timeout=60)
        started = postfix("start")
        self.addCleanup(postfix, "stop")
        self.assertEqual(started.returncode, 0, started.stderr)
        with open(f"{server.directory}/spool/pid/master.pid") as f:
            master = int(f.read())
        self.both_say(server, f"{server.directory}/main.cf:", f"belongs to a running Postfix, process {master} (master)", "postfix stop")
        postfix("stop")
        wait_for(lambda: not os.path.exists(f"/proc/{master}"), what="the end of Postfix")
        server.start()
        # And back.
        server.stop()
        started = postfix("start")
        self.assertEqual(started.returncode, 0, started.stderr)

    def test_dangerous_modes(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        spool = f"{server.directory}/spool"
        for name, mode, who in (("journal", 0o770, "its group"), ("content", 0o777, "everybody"), ("pid", 0o1777, "everybody"), ("", 0o777, "everybody")):
            with self.subTest(name):
                path = os.path.join(spool, name).rstrip("/")
                before = os.stat(path).st_mode & 0o7777
                os.chmod(path, mode)
                self.both_say(server, f"{server.directory}/main.cf:", f"{path} can be written by {who}", f"chmod go-w {path}")
                os.chmod(path, before)
        os.rename(f"{spool}/control", f"{spool}/elsewhere")
        with open(f"{spool}/control", "w"):
            pass
        self.both_say(server, f"{spool}/control is not a directory")
        os.unlink(f"{spool}/control")
        server.start()

    def test_harmless_modes_are_mended(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        journal = f"{server.directory}/spool/journal"
        os.chmod(journal, 0o755)
        status, output = complaints("check", "-c", server.directory)
        self.assertEqual(status, 0)
        self.assertIn(f"{journal}: mode 0755 instead of 0700 (a start mends this)", output)
        server.start()
        server.wait_log(f"mended: {journal}: mode 0755 instead of 0700")
        self.assertEqual(os.stat(journal).st_mode & 0o7777, 0o700)

    @needs_root
    def test_owners(self):
        server = self.stopped(sink=self.sink())
        server.start()
        server.stop()
        spool, postfix, nobody = f"{server.directory}/spool", pwd.getpwnam("postfix").pw_uid, pwd.getpwnam("nobody").pw_uid
        self.assertEqual([os.stat(f"{spool}/{name}").st_uid for name in ("", "pid", "journal", "content", "control")], [0, 0, postfix, postfix, postfix])
        os.chown(f"{spool}/journal", nobody, -1)
        self.both_say(server, f"{spool}/journal belongs to user nobody, not to postfix", f"chown postfix {spool}/journal")
        os.chown(f"{spool}/journal", postfix, -1)
        segment = [name for name in os.listdir(f"{spool}/journal") if name.endswith(".log")][0]
        os.chown(f"{spool}/journal/{segment}", nobody, -1)
        self.both_say(server, f"{spool}/journal/{segment} belongs to user nobody")
        # As a restored backup leaves it; and as earlier versions made the queue directory.
        os.chown(f"{spool}/journal/{segment}", 0, 0)
        os.chown(f"{spool}/content", 0, 0)
        os.chown(spool, postfix, -1)
        server.start()
        for text in (f"{spool}: owner postfix instead of root", f"{spool}/content: owner root instead of postfix", f"{segment}: owner root instead of postfix"):
            server.wait_log(f"mended: {text}" if not text.startswith(segment) else text)
        self.assertEqual([os.stat(f"{spool}/{name}").st_uid for name in ("", "content")], [0, postfix])
        self.assertEqual({os.stat(f"{spool}/journal/{name}").st_uid for name in os.listdir(f"{spool}/journal")}, {postfix})

    @needs_root
    def test_configuration_that_everybody_can_write(self):
        server = self.stopped(sink=self.sink())
        os.chmod(f"{server.directory}/master.cf", 0o666)
        self.both_say(server, f"{server.directory}/master.cf can be written by everybody", "chmod o-w")

    @needs_root
    def test_owner_is_root(self):
        server = self.stopped(sink=self.sink(), main="mail_owner = root\n")
        self.both_say(server, "mail_owner = root: must not be root")


if __name__ == "__main__":
    unittest.main()
