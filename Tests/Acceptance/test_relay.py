"""The relay against downstream servers that are strict, that no one here wrote, or that fail at every stage of the dialogue."""

import concurrent.futures
import email
import email.policy
import os
import re
import smtplib
import unittest

from downstream import Postfix, SMTPSink
from postern import Case, needs, needs_root, wait_for

PATIENT = "minimal_backoff_time = 1000s\nqueue_run_delay = 1000s\n"


def send(port, subject, recipients, sender="sender@origin.example", body="Hello.\r\n.dot\r\n"):
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as s:
        s.ehlo()
        s.mail(sender)
        for recipient in recipients:
            code, text = s.rcpt(recipient)
            assert code == 250, (recipient, code, text)
        code, text = s.data(f"From: <{sender}>\r\nSubject: {subject}\r\n\r\n{body}")
        assert code == 250, (code, text)
        return re.search(rb"queued as ([0-9A-F]+)", text).group(1).decode()


def subjects(messages):
    return [m.group(1).decode() for message in messages if (m := re.search(rb"^Subject: (.*?)\r?$", message, re.M))]


def recipients_of(stored):
    return re.findall(rb"^X-Sink-Recipient: <(.*)>\r$", stored.split(b"\r\n\r\n")[0] + b"\r\n", re.M)


def delivery_lines(log, id):
    """recipient -> the last line about its delivery."""
    return {m.group(1): m.group(0) for m in re.finditer(rf"^.*: {id}: to=<(.*?)>.*$", log, re.M)}


def outcome(log, id):
    statuses = re.findall(rf": {id}: to=<.*?>.* status=(\w+)", log)
    return statuses[-1] if statuses else None


class Bounce:
    """A delivery status notification, as any mail program would read it."""

    def __init__(self, test, stored):
        self.message = email.message_from_bytes(stored, policy=email.policy.default)
        test.assertEqual(self.message["X-Sink-Sender"], "<>")
        test.assertEqual(self.message.get_content_type(), "multipart/report")
        test.assertEqual(self.message.get_param("report-type"), "delivery-status")
        test.assertEqual(self.message["Auto-Submitted"], "auto-replied")
        test.assertEqual(self.message.defects, [])
        parts = list(self.message.iter_parts())
        test.assertEqual(parts[0].get_content_type(), "text/plain")
        test.assertEqual(parts[1].get_content_type(), "message/delivery-status")
        test.assertIn(parts[2].get_content_type(), ("message/rfc822", "text/rfc822-headers"))
        self.text = parts[0].get_content()
        per_message, *self.recipients = parts[1].get_payload()
        test.assertEqual(per_message["Reporting-MTA"], "dns; mx.example.com")
        self.id = per_message["X-Postfix-Queue-ID"]
        self.returned = parts[2].get_content() if parts[2].get_content_type() == "message/rfc822" else None

    def recipient(self, address):
        (found,) = [r for r in self.recipients if r["Final-Recipient"] == f"rfc822; {address}"]
        return found


@needs_root
@needs("postfix", "postcat", "saslpasswd2")
class RealPostfix(Case):
    """A smarthost as it should be: STARTTLS and AUTH, or nothing."""

    MAIN = PATIENT + """
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:$config_directory/sasl_passwd
smtp_sasl_security_options = noanonymous
"""

    @classmethod
    def setUpClass(cls):
        cls.downstream = Postfix()
        cls.addClassCleanup(cls.downstream.remove)

    def start(self, password, main=""):
        postern = self.server(self.MAIN + main, downstream=f"[127.0.0.1]:{self.downstream.port}", start=False)
        self.write_password(postern, password)
        return postern.start()

    def write_password(self, postern, password):
        os.chmod(postern.write("sasl_passwd", f"[127.0.0.1]:{self.downstream.port} {Postfix.USER}:{password}\n"), 0o600)

    def test_mail_arrives_over_tls_and_after_login(self):
        postern = self.start(Postfix.PASSWORD)
        id = send(postern.plain, "through the smarthost", ["a@dest.example", "b@dest.example"])
        log = postern.wait_log(f"{id}: removed", 30)
        for line in delivery_lines(log, id).values():
            self.assertRegex(line, r"dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as [0-9A-F]+\)$")
        self.assertRegex(log, r"postfix/smtp\[\d+\]: Untrusted TLS connection established to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: TLSv1\.3 with cipher ")
        (message,) = self.downstream.wait_for_subject("through the smarthost")
        self.assertIn(b"\n\nHello.\n.dot\n", message)
        self.assertIn(b"recipient: b@dest.example", message)
        self.assertIn(b"using TLSv1.3 with cipher", message)
        self.assertRegex(self.downstream.log(), r"sasl_method=(PLAIN|LOGIN), sasl_username=relay")
        self.assertNotIn(Postfix.PASSWORD, log)

    def test_wrong_password_defers_and_says_why(self):
        postern = self.start("wrong")
        id = send(postern.plain, "after the password was mended", ["a@dest.example"])
        log = postern.wait_log("status=deferred", 30)
        reason = "SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 Error: authentication failed"
        self.assertIn(f"status=deferred ({reason}", log)
        (entry,) = wait_for(lambda: [m for m in postern.queue_list() if m["queue_name"] == "deferred"], what="a deferred message")
        self.assertEqual(entry["queue_id"], id)
        self.assertIn(reason, entry["recipients"][0]["delay_reason"])
        self.assertNotIn("wrong)", log)
        self.assertEqual(postern.stop(), 0)
        self.write_password(postern, Postfix.PASSWORD)
        postern.start()
        postern.queue("flush", "ALL")
        self.downstream.wait_for_subject("after the password was mended")

    def test_without_login_the_server_refuses_and_the_mail_bounces(self):
        postern = self.start(Postfix.PASSWORD, "smtp_sasl_auth_enable = no\n")
        id = send(postern.plain, "no login", ["a@dest.example"], sender="")
        log = postern.wait_log(f"{id}: removed", 30)
        self.assertRegex(delivery_lines(log, id)["a@dest.example"], r"status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 554 5\.7\.1 ")


@needs("smtp-sink")
class RealSMTPSink(Case):
    def test_many_messages_and_a_large_one(self):
        sink = SMTPSink()
        self.addCleanup(sink.remove)
        postern = self.server(downstream=f"[127.0.0.1]:{sink.port}")
        for n in range(20):
            send(postern.plain, f"m-{n}", [f"r{n}@dest.example", "all@dest.example"])
        lines = "".join("." * (n % 4) + "y" * 70 + "\r\n" for n in range(20_000))
        large = send(postern.plain, "large", ["r@dest.example"], body=lines)
        postern.wait_log(f"{large}: removed", 30)
        wait_for(lambda: len(sink.messages()) >= 21, 30, "21 messages at smtp-sink")
        self.assertEqual(sorted(subjects(sink.messages())), sorted([f"m-{n}" for n in range(20)] + ["large"]))
        (message,) = [m for m in sink.messages() if b"Subject: large" in m]
        self.assertIn(lines.replace("\r\n", "\n").encode(), message)


class Faults(Case):
    """All faults at the same time, each in a sink of its own; the transport map sends `STAGE-FAULT.example` to the right one."""

    # What becomes of a message, by Postfix's rules: an unwilling greeting, STARTTLS or AUTH is tried again (smtp_skip_5xx_greeting,
    # smtp_sasl_auth_soft_bounce); a refused EHLO is followed by HELO; after the dot's reply nothing matters.
    EXPECTED = {
        "connect": {"450": "deferred", "554": "deferred", "hang": "deferred", "drop": "deferred"},
        "ehlo": {"502": "sent", "421": "deferred", "hang": "deferred", "drop": "deferred"},
        "starttls": {"454": "deferred", "554": "deferred", "hang": "deferred", "drop": "deferred"},
        "auth": {"454": "deferred", "535": "deferred", "hang": "deferred", "drop": "deferred"},
        "mail": {"450": "deferred", "550": "bounced", "421": "deferred", "hang": "deferred", "drop": "deferred"},
        "rcpt": {"450": "deferred", "550": "bounced", "hang": "deferred", "drop": "deferred"},
        "data": {"451": "deferred", "554": "bounced", "hang": "deferred", "drop": "deferred"},
        "body": {"hang": "deferred", "drop": "deferred"},
        "dot": {"451": "deferred", "554": "bounced", "hang": "deferred", "drop": "deferred"},
        "quit": {"450": "sent", "554": "sent", "hang": "sent", "drop": "sent"},
    }

    MAIN = PATIENT + "".join(f"smtp_{name}_timeout = 6s\n" for name in (
        "connect", "helo", "starttls", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset"))

    MASTER = """
127.0.0.1:@PLAIN@ inet n - n - - smtpd
secure unix - - n - - smtp
  -o smtp_tls_security_level=encrypt
login unix - - n - - smtp
  -o smtp_sasl_auth_enable=yes
  -o smtp_sasl_password_maps=static:relay:secret
  -o smtp_sasl_security_options=noanonymous
"""

    def faulty_sink(self, stage, action):
        options = []
        if stage == "starttls":
            options = ["--cert", f"{self.certificates}/cert.pem", "--key", f"{self.certificates}/key.pem"]
        elif stage == "auth":
            options = ["--auth", "relay:secret"]
        text = action if action in ("hang", "drop") else f"{action} {action[0]}.3.1 Told to fail"
        sink = self.sink("--fail", f"{stage}={text}", *options)
        sink.healthy_options = options
        return sink

    def test_every_stage(self):
        cases = {f"{stage}-{action}.example": (stage, action, result) for stage, row in self.EXPECTED.items() for action, result in row.items()}
        # Only for its certificate.
        self.certificates = self.server(tls=True, start=False, downstream="[127.0.0.1]:9").directory
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            home = self.sink()
            sinks = dict(zip(cases, pool.map(lambda c: self.faulty_sink(c[0], c[1]), cases.values())))
        transport = {"starttls": "secure", "auth": "login"}
        rows = [f"{{ {domain} = {transport.get(stage, 'smtp')}:[127.0.0.1]:{sinks[domain].port} }}" for domain, (stage, _, _) in cases.items()]
        postern = self.server(self.MAIN + "transport_maps = inline:{ " + ",\n  ".join(rows) + " }\n", master=self.MASTER, sink=home)

        ids = {domain: send(postern.plain, domain, [f"r@{domain}"]) for domain in cases}
        try:
            wait_for(lambda: all(outcome(postern.log(), id) for id in ids.values()), 40, "an outcome for each")
        except AssertionError:
            self.fail(f"no outcome: {[d for d, id in ids.items() if not outcome(postern.log(), id)]}")
        log = postern.log()
        for domain, (stage, action, expected) in cases.items():
            with self.subTest(domain):
                line = delivery_lines(log, ids[domain])[f"r@{domain}"]
                self.assertIn(f"status={expected} (", line)
                if expected != "sent":
                    self.assertIn("127.0.0.1", line)
                if action.isdigit() and expected != "sent":
                    self.assertIn(f"{action} {action[0]}.3.1 Told to fail", line)
                if action == "hang" and expected == "deferred":
                    self.assertRegex(line, "timed out while |handshake")
                if action == "drop" and expected == "deferred":
                    self.assertRegex(line, "lost connection with |handshake")

        self.check_bounces(postern, home, ids, {d for d, (_, _, result) in cases.items() if result == "bounced"})
        deferred = {d for d, (_, _, result) in cases.items() if result == "deferred"}
        listing = {m["queue_id"]: m for m in postern.queue_list()}
        self.assertEqual(set(listing), {ids[d] for d in deferred})
        for domain in deferred:
            self.assertEqual(listing[ids[domain]]["queue_name"], "deferred", domain)
            self.assertNotEqual(listing[ids[domain]]["recipients"][0]["delay_reason"], "", domain)
        for domain, sink in sinks.items():
            self.assertEqual(len(sink.messages()), int(cases[domain][2] == "sent"), domain)

        def mend(sink):
            sink.stop()
            sink.options = sink.healthy_options
            sink.start()

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(mend, [sinks[d] for d in deferred]))
        postern.queue("flush", "ALL")
        try:
            wait_for(lambda: postern.queue_list() == [], 40, "an empty queue")
        except AssertionError:
            self.fail(postern.queue("list"))
        for domain, sink in sinks.items():
            self.assertEqual(subjects(sink.messages()), [] if cases[domain][2] == "bounced" else [domain], f"{domain}: not exactly one copy")
        self.assertEqual(len(home.messages()), sum(1 for c in cases.values() if c[2] == "bounced"))

    def check_bounces(self, postern, home, ids, domains):
        bounces = {b.id: b for b in (Bounce(self, m) for m in home.wait(len(domains)))}
        self.assertEqual(set(bounces), {ids[d] for d in domains})
        for domain in domains:
            bounce = bounces[ids[domain]]
            recipient = bounce.recipient(f"r@{domain}")
            self.assertEqual(recipient["Action"], "failed")
            self.assertEqual(recipient["Status"], "5.3.1")
            self.assertEqual(recipient["Remote-MTA"], "dns; 127.0.0.1")
            self.assertRegex(recipient["Diagnostic-Code"].replace("\n", ""), r"^smtp; 55\d 5\.3\.1 Told to fail$")
            self.assertEqual(bounce.message["To"], "sender@origin.example")
            self.assertEqual(recipients_of(bounce.message.as_bytes(policy=email.policy.SMTP)), [b"sender@origin.example"])
            self.assertIn(f"<r@{domain}>", bounce.text)
            self.assertEqual(bounce.returned["Subject"], domain)
            self.assertEqual(bounce.returned["Return-Path"], "<sender@origin.example>")
            self.assertRegex(postern.log(), rf"postfix/bounce\[\d+\]: {ids[domain]}: sender non-delivery notification: [0-9A-F]+")

    def test_null_sender_never_bounces(self):
        sink = self.sink("--fail", "rcpt=550 5.1.1 No such user")
        postern = self.server(PATIENT, sink=sink)
        id = send(postern.plain, "from nobody", ["r@dest.example"], sender="")
        log = postern.wait_log(f"{id}: removed", 30)
        self.assertIn("status=bounced", delivery_lines(log, id)["r@dest.example"])
        self.assertNotIn("non-delivery notification", log)
        self.assertEqual(postern.queue_list(), [])

    def test_a_bounce_that_cannot_be_delivered_ends(self):
        # The sender's domain refuses everything too: one bounce, and no bounce of the bounce.
        sink = self.sink("--fail", "rcpt=550 5.1.1 No such user")
        postern = self.server(PATIENT, sink=sink)
        id = send(postern.plain, "twice refused", ["r@dest.example"])
        log = postern.wait_log("sender non-delivery notification: ", 30)
        notice = re.search(rf"{id}: sender non-delivery notification: ([0-9A-F]+)", log).group(1)
        log = postern.wait_log(f"{notice}: removed", 30)
        self.assertEqual(log.count("non-delivery notification"), 1)
        self.assertEqual(postern.queue_list(), [])

    def test_nobody_listens(self):
        postern = self.server(PATIENT, downstream="[127.0.0.1]:9")
        id = send(postern.plain, "to nobody", ["r@dest.example"])
        log = postern.wait_log("status=deferred", 30)
        self.assertIn("connect to 127.0.0.1[127.0.0.1]:9: Connection refused", log)
        self.assertRegex(delivery_lines(log, id)["r@dest.example"], r"relay=none, .*dsn=4\.4\.1, status=deferred \(connect to .*: Connection refused\)")

    def test_some_recipients_are_refused(self):
        home, sink = self.sink(), self.sink("--fail", "rcpt=550 5.1.1 No such user:every 2")
        postern = self.server(PATIENT + f"transport_maps = inline:{{ dest.example=smtp:[127.0.0.1]:{sink.port} }}\n", sink=home)
        all = [f"{n}@dest.example" for n in "abcd"]
        id = send(postern.plain, "four", all)
        log = postern.wait_log(f"{id}: removed", 30)
        lines = delivery_lines(log, id)
        refused = sorted(a for a in all if "status=bounced" in lines[a])
        self.assertEqual(len(refused), 2)
        (taken,) = sink.messages()
        self.assertEqual(sorted(r.decode() for r in recipients_of(taken)), sorted(set(all) - set(refused)))
        (bounce,) = (Bounce(self, m) for m in home.wait(1))
        self.assertEqual(sorted(r["Final-Recipient"] for r in bounce.recipients), [f"rfc822; {a}" for a in refused])
        self.assertEqual({r["Status"] for r in bounce.recipients}, {"5.1.1"})

    def test_some_recipients_have_to_wait(self):
        sink = self.sink("--fail", "rcpt=450 4.2.1 Try later:every 2")
        postern = self.server(PATIENT, sink=sink)
        all = [f"{n}@dest.example" for n in "abcd"]
        id = send(postern.plain, "four", all)
        (entry,) = wait_for(lambda: [m for m in postern.queue_list() if m["queue_name"] == "deferred"], what="a deferred message")
        waiting = sorted(r["address"] for r in entry["recipients"])
        self.assertEqual(len(waiting), 2)
        self.assertEqual(entry["queue_id"], id)
        for recipient in entry["recipients"]:
            self.assertIn("450 4.2.1 Try later", recipient["delay_reason"])
        sink.stop()
        sink.options = ()
        sink.start()
        postern.queue("flush", "ALL")
        postern.wait_log(f"{id}: removed", 30)
        copies = sorted(sorted(r.decode() for r in recipients_of(m)) for m in sink.messages())
        self.assertEqual(copies, sorted([waiting, sorted(set(all) - set(waiting))]))


class Routes(Case):
    def test_transport_maps(self):
        home, lmtp, second = self.sink(), self.sink("--lmtp"), self.sink()
        socket = f"{home.directory}/.lmtp.sock"
        unix = self.sink("--lmtp", listen=f"unix:{socket}")
        os.chmod(home.directory, 0o755)
        os.chmod(socket, 0o666)
        main = PATIENT + "transport_maps = texthash:$config_directory/transport\nsmtpd_reject_unlisted_recipient = no\n"
        postern = self.server(main, sink=home, start=False)
        postern.write("transport", f"""
# comments and continuation lines are the table's, not the lines' of main.cf
error.example     error:5.7.1 this domain takes no mail
retry.example     retry:4.3.2 not before tomorrow
discard.example   discard:silently
lmtp.example      lmtp:[127.0.0.1]:{lmtp.port}
unix.example      lmtp:unix:{socket}
one@user.example  smtp:[127.0.0.1]:{second.port}
.sub.example      smtp:[127.0.0.1]:{second.port}
""")
        postern.start()
        addresses = ["a@error.example", "a@retry.example", "a@discard.example", "a@lmtp.example", "b@lmtp.example", "a@unix.example", "one@user.example",
                     "two@user.example", "a@deep.sub.example"]
        id = send(postern.plain, "everywhere", addresses)
        lines = wait_for(lambda: len(l := delivery_lines(postern.log(), id)) == len(addresses) and l, 30, "an outcome for each recipient")
        for address, pattern in {
            "a@error.example": r"postfix/error\[\d+\]: .*relay=none, .*dsn=5\.7\.1, status=bounced \(this domain takes no mail\)$",
            "a@retry.example": r"postfix/error\[\d+\]: .*relay=none, .*dsn=4\.3\.2, status=deferred \(not before tomorrow\)$",
            "a@discard.example": r"postfix/discard\[\d+\]: .*relay=none, .*dsn=2\.0\.0, status=sent \(silently\)$",
            "a@lmtp.example": rf"postfix/lmtp\[\d+\]: .*relay=127\.0\.0\.1\[127\.0\.0\.1\]:{lmtp.port}, .*status=sent \(250 ",
            "a@unix.example": rf"postfix/lmtp\[\d+\]: .*relay=mx\.example\.com\[{re.escape(socket)}\], .*status=sent \(250 ",
            "one@user.example": rf"postfix/smtp\[\d+\]: .*relay=127\.0\.0\.1\[127\.0\.0\.1\]:{second.port}, .*status=sent \(250 ",
            "two@user.example": rf"postfix/smtp\[\d+\]: .*relay=127\.0\.0\.1\[127\.0\.0\.1\]:{home.port}, .*status=sent \(250 ",
            "a@deep.sub.example": rf"postfix/smtp\[\d+\]: .*relay=127\.0\.0\.1\[127\.0\.0\.1\]:{second.port}, .*status=sent \(250 ",
        }.items():
            with self.subTest(address):
                self.assertRegex(lines[address], pattern)
        self.assertEqual([sorted(recipients_of(m)) for m in lmtp.wait(1)], [[b"a@lmtp.example", b"b@lmtp.example"]])
        self.assertEqual([recipients_of(m) for m in unix.wait(1)], [[b"a@unix.example"]])

        def left():
            (entry,) = [m for m in postern.queue_list() if m["queue_id"] == id]
            return [r["address"] for r in entry["recipients"]]

        # The outcomes become durable a moment after they are logged.
        wait_for(lambda: left() == ["a@retry.example"], what="only the deferred recipient left")

    def test_the_error_transport_refuses_at_rcpt(self):
        postern = self.server("transport_maps = inline:{ { error.example = error:5.7.1 this domain takes no mail } }\n", sink=self.sink())
        with smtplib.SMTP("127.0.0.1", postern.plain) as s:
            s.ehlo()
            s.mail("a@origin.example")
            self.assertEqual(s.rcpt("a@error.example"), (550, b"5.7.1 <a@error.example>: Recipient address rejected: this domain takes no mail"))

    def test_lmtp_answers_for_each_recipient(self):
        home, lmtp = self.sink(), self.sink("--lmtp", "--fail", "dot=552 5.2.2 Mailbox full:every 2")
        postern = self.server(PATIENT + f"transport_maps = inline:{{ dest.example=lmtp:[127.0.0.1]:{lmtp.port} }}\n", sink=home)
        all = [f"{n}@dest.example" for n in "abcd"]
        id = send(postern.plain, "quota", all)
        log = postern.wait_log(f"{id}: removed", 30)
        lines = delivery_lines(log, id)
        self.assertEqual([bool(re.search(r"status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 552 5\.2\.2 Mailbox full", lines[a])) for a in all],
                         [False, True, False, True])
        self.assertEqual([recipients_of(m) for m in lmtp.messages()], [[b"a@dest.example", b"c@dest.example"]])
        (bounce,) = (Bounce(self, m) for m in home.wait(1))
        self.assertEqual(sorted(r["Final-Recipient"] for r in bounce.recipients), ["rfc822; b@dest.example", "rfc822; d@dest.example"])

    def test_connections_are_used_again(self):
        sink = self.sink()
        postern = self.server(sink=sink)
        with smtplib.SMTP("127.0.0.1", postern.plain) as s:
            for n in range(60):
                s.sendmail("a@origin.example", "r@dest.example", f"Subject: m-{n}\r\n\r\nx\r\n")
        self.assertEqual(sorted(subjects(sink.wait(60))), sorted(f"m-{n}" for n in range(60)))
        uses = [int(n) for n in re.findall(r"conn_use=(\d+)", postern.log())]
        self.assertGreater(max(uses, default=0), 5)


if __name__ == "__main__":
    unittest.main()
