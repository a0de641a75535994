"""A message goes in and comes out, with programs that no one here wrote."""

import smtplib
import ssl
import subprocess
import unittest

from postern import PASSWORD, Case, Server, needs


class Delivery(Case):
    def setUp(self):
        self.downstream = self.sink()
        self.postern = self.server("smtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes\n", sink=self.downstream, tls=True, sasl=Server.SASLDB, users=["alice"])

    def one(self):
        (message,) = self.downstream.wait(1)
        return message

    def test_smtplib_plain(self):
        with smtplib.SMTP("127.0.0.1", self.postern.plain) as s:
            s.sendmail("a@example.org", ["b@example.net", "c@example.net"], b"Subject: hello\r\n\r\n.dot\r\n..two\r\nend\r\n")
        message = self.one()
        self.assertIn(b"Subject: hello\r\n", message)
        self.assertIn(b"\r\n\r\n.dot\r\n..two\r\nend\r\n", message)
        self.assertIn(b"Received: from ", message)
        log = self.postern.wait_log("removed")
        for text in ("connect from unknown[127.0.0.1]", "client=unknown[127.0.0.1]", "message-id=<", "from=<a@example.org>, size=",
                     "nrcpt=2 (queue active)", "to=<b@example.net>, relay=127.0.0.1[127.0.0.1]:", "status=sent (250",
                     "disconnect from unknown[127.0.0.1] ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6"):
            self.assertIn(text, log)

    def test_smtplib_starttls_and_login(self):
        context = ssl.create_default_context(cafile=f"{self.postern.directory}/cert.pem")
        with smtplib.SMTP("localhost", self.postern.submission) as s:
            s.ehlo()
            self.assertNotIn("auth", s.esmtp_features)
            s.starttls(context=context)
            s.login("alice", PASSWORD)
            s.sendmail("alice@example.com", "b@example.net", "Subject: over STARTTLS\r\n\r\nx\r\n")
        self.assertIn(b"with ESMTPSA id", self.one())
        log = self.postern.wait_log("sasl_method=")
        (line,) = [line for line in log.splitlines() if "TLS connection established" in line]
        self.assertRegex(line, r"established from unknown\[127\.0\.0\.1\]( to localhost)?: TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 "
                         r"\(256/256 bits\) key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256$")
        self.assertRegex(self.one(), rb"\r\n\t\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\r\n"
                         rb"\t key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256\)\r\n"
                         rb"\t\(No client certificate requested\)\r\n\tby mx\.example\.com \(Postfix\)")

    def test_smtplib_wrapper_mode(self):
        context = ssl.create_default_context(cafile=f"{self.postern.directory}/cert.pem")
        with smtplib.SMTP_SSL("localhost", self.postern.submissions, context=context) as s:
            s.login("alice", PASSWORD)
            s.sendmail("alice@example.com", "b@example.net", "Subject: over TLS\r\n\r\nx\r\n")
        self.assertIn(b"Subject: over TLS", self.one())

    def test_wrong_password_is_535_and_relaying_is_refused(self):
        context = ssl.create_default_context(cafile=f"{self.postern.directory}/cert.pem")
        with smtplib.SMTP_SSL("localhost", self.postern.submissions, context=context) as s:
            with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
                s.login("alice", "wrong")
            self.assertEqual(caught.exception.smtp_code, 535)
            s.mail("alice@example.com")
            self.assertEqual(s.rcpt("b@example.net")[0], 554)
        self.assertEqual(self.downstream.messages(), [])

    @needs("swaks")
    def test_swaks(self):
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            with self.subTest(mechanism):
                subprocess.run(
                    ["swaks", "--silent", "2", "--server", "127.0.0.1", "--port", str(self.postern.submission), "-tls", "--auth", mechanism, "--auth-user", "alice",
                     "--auth-password", PASSWORD, "--from", "alice@example.com", "--to", "bob@example.net"],
                    check=True, capture_output=True, timeout=60)
        self.downstream.wait(3)

    @needs("curl")
    def test_curl(self):
        for url in (f"smtps://localhost:{self.postern.submissions}", f"smtp://localhost:{self.postern.submission}"):
            subprocess.run(
                ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", f"{self.postern.directory}/cert.pem", "--url", url, "--user", f"alice:{PASSWORD}",
                 "--mail-from", "alice@example.com", "--mail-rcpt", "bob@example.net", "--upload-file", "-"],
                input=b"Subject: by curl\n\nHello.\n", check=True, capture_output=True, timeout=60)
        self.downstream.wait(2)

    @needs("msmtp")
    def test_msmtp(self):
        subprocess.run(
            ["msmtp", "--host=localhost", f"--port={self.postern.submission}", "--tls=on", f"--tls-trust-file={self.postern.directory}/cert.pem", "--auth=scram-sha-256",
             "--user=alice", f"--passwordeval=echo {PASSWORD}", "--from=alice@example.com", "bob@example.net"],
            input=b"Subject: by msmtp\n\nHello.\n", check=True, capture_output=True, timeout=60)
        self.assertIn(b"Subject: by msmtp", self.one())

    @needs("s-nail")
    def test_s_nail(self):
        subprocess.run(
            ["s-nail", "-:/", "-s", "by s-nail", "-r", "alice@example.com", "-Sv15-compat", f"-Smta=smtps://alice:{PASSWORD}@localhost:{self.postern.submissions}",
             "-Ssmtp-auth=plain", f"-Stls-ca-file={self.postern.directory}/cert.pem", "-Stls-verify=strict", "bob@example.net"],
            input=b"Hello.\n", check=True, capture_output=True, timeout=60)
        self.assertIn(b"by s-nail", self.one())

    def test_a_large_message(self):
        body = b"".join(b"%07d %s\r\n" % (i, b"x" * 60) for i in range(100_000))
        with smtplib.SMTP("127.0.0.1", self.postern.plain) as s:
            s.sendmail("a@example.org", "b@example.net", b"Subject: large\r\n\r\n" + body)
        self.assertTrue(self.one().endswith(body))


if __name__ == "__main__":
    unittest.main()
