"""8-bit and UTF-8 mail for a next hop that takes neither: the same messages go through Postfix and through us, and must arrive in the same bytes, or not
at all for the same reason."""

import os
import re
import socket
import sys
import types
import unittest

from postern import BINARY, needs, needs_root

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Conformance"))
from machines import Postern, Postfix, wait_for  # noqa: E402

EIGHT = "Grüße\n"
TEXT8 = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit"
PART8 = f"{TEXT8}\n\n{EIGHT}"
INNER8 = f"Subject: inner\nMIME-Version: 1.0\n{PART8}"


def mime(header, body=EIGHT):
    return f"Subject: x\nMIME-Version: 1.0\n{header}\n\n{body}"


def parts(*contents, boundary="b1", header="", before="", after=""):
    body = before + "".join(f"--{boundary}\n{content}\n" for content in contents) + f"--{boundary}--\n" + after
    return mime(f'Content-Type: multipart/mixed; boundary="{boundary}"{header}', body)


def around(header, boundary="b1"):
    return mime(header, f"--{boundary}\n{PART8}\n--{boundary}--\n")


def nested(depth, content):
    for number in range(depth, 0, -1):
        content = f"Content-Type: multipart/mixed; boundary=n{number:02}\n\n--n{number:02}\n{content}\n--n{number:02}--\n"
    return f"Subject: x\nMIME-Version: 1.0\n{content}"


PLAIN = {
    "8bit": mime(TEXT8), "seven bits called eight": mime(TEXT8, "x\n"), "no MIME": f"Subject: x\n\n{EIGHT}", "header": f"Subject: {EIGHT}\nx\n",
    "no encoding": mime("Content-Type: text/plain"), "7bit": mime("Content-Transfer-Encoding: 7bit"), "base64": mime("Content-Transfer-Encoding: base64"),
    "binary": mime("Content-Transfer-Encoding: binary", "\x01\x7f\n" + EIGHT), "unknown": mime("Content-Transfer-Encoding: x-foo"),
    "comment": mime("content-transfer-ENCODING:\n (c) 8BIT (d)\nX: y"), "parameter": mime("Content-Transfer-Encoding: 8bit; x\nX: y"),
    "quoted": mime('Content-Transfer-Encoding: "8bit"\nX: y'), "twice": mime("Content-Transfer-Encoding: 8bit\nX: y\nContent-Transfer-Encoding: 7bit"),
    "twice, other order": mime("Content-Transfer-Encoding: 7bit\nX: y\nContent-Transfer-Encoding: binary\nX: z"),
    "parts": parts(PART8, "Content-Type: text/plain\n\nx\n"), "8bit around": parts(PART8, header="\nContent-Transfer-Encoding: 8bit"),
    "base64 around": parts(PART8, header="\nContent-Transfer-Encoding: base64"), "part without header": parts("\n" + EIGHT),
    "preamble": parts("\nx\n", before=EIGHT, after=EIGHT), "part ends in header": parts("Content-Transfer-Encoding: 8bit"),
    "no boundary": around("Content-Type: multipart/mixed\nContent-Transfer-Encoding: 8bit"), "open": mime("Content-Type: multipart/mixed; boundary=b1", f"--b1\n{PART8}"),
    "blanks": mime('Content-Type: multipart / mixed ; boundary = "b 1"', f"--b 1  \n{PART8}\n--b 1--  \n"),
    "junk behind": mime("Content-Type: multipart/mixed; boundary=b1", f"--b1xyz\n{PART8}\n--b1\n{PART8}\n--b1--junk\n{PART8}"),
    "comments": around("Content-Type: multipart/mixed (c) ; (d) boundary (e) = (f) b1 (g); x=y"), "escaped": around(r'Content-Type: multipart/mixed; boundary="b\1"'),
    "single quotes": around("Content-Type: multipart/mixed; boundary='b1'", "'b1'"), "300 letters": around(f"Content-Type: multipart/mixed; boundary={'q' * 300}", "q" * 300),
    "two": around("Content-Type: multipart/mixed; boundary=b1; boundary=b2"), "empty": around('Content-Type: multipart/mixed; boundary=""', ""),
    "RFC 2231": around("Content-Type: multipart/mixed; boundary*=us-ascii''b1"), "case": around("Content-Type: Multipart/Mixed; BOUNDARY=B1", "B1"),
    "torn type": around("Content-Type: multi(x)part/mixed; boundary=b1"), "no value": around("Content-Type: multipart/mixed; a; boundary=b1"),
    "in a value": around('Content-Type: multipart/mixed; a="x;boundary=zz"; boundary=b1'), "unclosed": around('Content-Type: multipart/mixed; boundary="b1'),
    "garbage": around("Content-Type: garbage"), "nested": parts("Content-Type: multipart/mixed; boundary=b2\n\n--b2\n" + PART8 + "\n--b2--\n", PART8),
    "inner longer": parts("Content-Type: multipart/mixed; boundary=b11\n\n--b11\n" + PART8 + "\n--b11--\n", PART8),
    "inner shorter": parts("Content-Type: multipart/mixed; boundary=b\n\n--b\n" + PART8 + "\n--b--\n", PART8),
    "outer ends first": parts("Content-Type: multipart/mixed; boundary=b2\n\n--b2\n" + PART8, PART8), "25 deep": nested(25, PART8),
    "after the end": parts(PART8, after=f"--b1\n{PART8}"), "rfc822": mime("Content-Type: message/rfc822", INNER8),
    "rfc822, 8bit": mime("Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit", INNER8),
    "rfc822, no MIME": mime("Content-Type: message/rfc822", f"Subject: q\n\n{EIGHT}"), "partial": mime("Content-Type: message/partial", INNER8),
    "delivery-status": mime("Content-Type: message/delivery-status", f"X: {EIGHT}\n{EIGHT}"), "global": mime("Content-Type: message/global", INNER8),
    "digest": mime("Content-Type: multipart/digest; boundary=b1", f"--b1\n\n{INNER8}\n--b1--\n"), "lengths": mime(TEXT8, "".join("z" * n + "ü\n" + "y" * n + " \n" for n in range(68, 80))),
    "blanks and equals": mime(TEXT8, "ü \nx\t\n= =20\n \n\t\nx=\n..x\nFrom y\n"), "3000 letters": mime(TEXT8, "ü" * 3000 + "\n" + "a " * 2600 + "\n"),
}
WITH_UTF8 = {
    "content only": mime(TEXT8), "header": f"Subject: {EIGHT}\nx\n", "header inside": mime("Content-Type: message/rfc822", f"Subject: {EIGHT}\nx\n"),
    "header of a part": parts(f"Content-Type: text/plain\nX: {EIGHT}\nx\n"), "ASCII": "Subject: x\n\nx\n",
}
CASES = [(name, "", text) for name, text in PLAIN.items()] + [(f"SMTPUTF8: {name}", " SMTPUTF8", text) for name, text in WITH_UTF8.items()]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")
        self.read()
        self.command("EHLO h")

    def read(self):
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return line.decode()

    def command(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def send(self, options, text):
        """The queue id."""
        self.command(f"MAIL FROM:<>{options}")
        self.command("RCPT TO:<c@d.example>")
        self.command("DATA")
        self.socket.sendall(re.sub(r"^\.", "..", text, flags=re.M).replace("\n", "\r\n").encode())
        return re.search(r"queued as (\w+)", self.command("."))[1]

    def close(self):
        self.file.close()
        self.socket.close()


@needs_root
@needs("postfix")
class Conversion(unittest.TestCase):
    maxDiff = None

    def results(self, kind):
        section = types.SimpleNamespace(parameters={})
        machine = kind([section], BINARY)
        self.addCleanup(machine.remove)
        machine.recorder.keywords = ("PIPELINING", "SIZE")
        machine.start()
        client = Client(machine.port(section))
        ids = [client.send(options, text) for _, options, text in CASES]
        client.close()
        self.assertTrue(wait_for(lambda: all(f" {i}: removed" in machine.log() for i in ids), 60), "messages left in the queue")
        return [self.outcome(machine, i) for i in ids]

    @staticmethod
    def outcome(machine, queue_id):
        status = re.search(rf" {queue_id}: to=.*(status=.*)", machine.log())[1]
        deliveries = machine.recorder.deliveries(queue_id)
        if not deliveries:
            return re.sub(r":\d+\)?", "", status)
        mail, _, content = deliveries[0]
        content = content.replace(queue_id.encode(), b"ID")
        content = re.sub(rb"\w{3}, +\d+ \w{3} \d{4} [\d:]{8} [-+]\d{4} \(\w+\)", b"DATE", re.sub(rb"<\d{14}\.ID@", b"<ID@", content))
        return (re.sub(rb" SIZE=\d+", b"", mail) + b"\n" + content).decode("latin-1")

    def test_the_same_bytes_arrive(self):
        expected, found = self.results(Postfix), self.results(Postern)
        for (name, _, _), their, our in zip(CASES, expected, found):
            with self.subTest(name):
                self.assertEqual(our, their)
        self.assertGreater(sum("=C3=BC" in their for their in expected), 20)
        self.assertEqual(sum("SMTPUTF8 is required" in their for their in expected), 3)


if __name__ == "__main__":
    unittest.main()
