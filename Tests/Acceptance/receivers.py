"""Next hops written for these tests: one that follows RFC 5321 to the letter, and those that made SMTP smuggling possible."""

import contextlib
import re
import socket
import threading

# What a server that came later than December 2023 takes for the end of a message, and what the others took for it besides.
STRICT = re.compile(rb"\r\n\.\r\n")
GULLIBLE = re.compile(rb"(?:\r\n|\n|\r)\.(?:\r\n|\n|\r)")
SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))


class Receiver:
    """Takes any mail and records it as `(sender, recipients, content)`, with the content as it came over the wire, dots still doubled.

    `drops` are bytes it does not see; `seven` takes the eighth bit off all others. Without `eight` it offers neither 8BITMIME
    nor SMTPUTF8, which implies it.
    """

    def __init__(self, end=STRICT, drops=b"", seven=False, eight=True):
        self.end, self.drops, self.table = end, drops, SEVEN_BITS if seven else None
        self.greeting = b"250-receiver\r\n250-PIPELINING\r\n" + (b"250-8BITMIME\r\n250 SMTPUTF8\r\n" if eight else b"250 HELP\r\n")
        self.messages = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.add(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def stop(self):
        self.listener.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def read(self, connection):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError
        return data.translate(self.table, self.drops)

    def serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"220 receiver ESMTP\r\n")
            data, sender, recipients = b"", None, []
            while True:
                line, mark, rest = data.partition(b"\n")
                if not mark:
                    data += self.read(connection)
                    continue
                data = rest
                words = line.strip()
                verb = words.upper()
                if not words:
                    # What is left of an end of data that was taken for one before its last byte came.
                    continue
                if verb.startswith(b"EHLO"):
                    connection.sendall(self.greeting)
                    continue
                if verb.startswith(b"MAIL"):
                    sender, recipients = words, []
                elif verb.startswith(b"RCPT"):
                    recipients.append(words)
                elif verb == b"DATA":
                    connection.sendall(b"354 go\r\n")
                    # The command's own line end may stand before the dot.
                    data = b"\r\n" + data
                    while not (end := self.end.search(data)):
                        data += self.read(connection)
                    self.messages.append((sender, tuple(recipients), data[2:end.start()]))
                    data = data[end.end():]
                elif verb == b"QUIT":
                    connection.sendall(b"221 bye\r\n")
                    return
                connection.sendall(b"250 ok\r\n")
