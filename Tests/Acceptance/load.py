"""Both ends of a server under test: clients that know which of their messages were acknowledged, and a downstream that knows which arrived.

Every message has a number, and content that follows from it, so that a half or mixed-up one is noticed.
"""

import hashlib
import random
import re
import socket
import socketserver
import threading
import time


def body(number, size):
    line = f"This is a line of message {number}.".encode().ljust(70, b".") + b"\r\n"
    return line * max(1, size // len(line))


def message(number, size):
    return f"From: <a@example.org>\r\nSubject: m-{number}\r\nX-Number: {number}\r\nX-Size: {size}\r\n\r\n".encode() + body(number, size)


class Downstream:
    """An SMTP server on a thread for each connection. `mode`: "up"; "slow", a pause before each answer to content; "deferring" and "refusing",
    4xx or 5xx to each recipient, except for mail from the null sender, so that bounces arrive."""

    PAUSE = 0.2

    def __init__(self, port=0):
        self.mode = "up"
        self.lock = threading.Lock()
        self.arrivals = {}  # number -> [monotonic time, ...]
        self.bounces = {}  # number -> [monotonic time, ...]
        self.wrong = []  # what was not as it had been sent
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    outer.converse(self.request)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            request_queue_size = 200

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def converse(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer, sender, recipients = bytearray(), None, 0
        connection.sendall(b"220 downstream.example.net ESMTP\r\n")

        def more():
            part = connection.recv(1 << 18)
            if not part:
                raise OSError("closed")
            buffer.extend(part)

        while True:
            while (end := buffer.find(b"\r\n")) < 0:
                more()
            line = bytes(buffer[:end]).decode("latin-1")
            del buffer[:end + 2]
            verb = line[:4].upper()
            if verb == "EHLO":
                connection.sendall(b"250-downstream.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000\r\n")
            elif verb == "MAIL":
                sender, recipients = re.match(r"MAIL FROM:<([^>]*)>", line, re.I).group(1), 0
                connection.sendall(b"250 2.1.0 Ok\r\n")
            elif verb == "RCPT" and sender and self.mode in ("deferring", "refusing"):
                connection.sendall(b"451 4.2.1 Not now\r\n" if self.mode == "deferring" else b"550 5.1.1 Nobody of that name\r\n")
            elif verb == "RCPT":
                recipients += 1
                connection.sendall(b"250 2.1.5 Ok\r\n")
            elif verb == "DATA" and not recipients:
                connection.sendall(b"554 5.5.1 No valid recipients\r\n")
            elif verb == "DATA":
                # Content follows at once only after a 354, so what is here already belongs to it.
                connection.sendall(b"354 Go on\r\n")
                looked = 0
                while (end := buffer.find(b"\r\n.\r\n", looked)) < 0:
                    looked = max(0, len(buffer) - 4)
                    more()
                content = bytes(buffer[:end + 2])
                del buffer[:end + 5]
                self.note(sender, content)
                if self.mode == "slow":
                    time.sleep(self.PAUSE)
                connection.sendall(b"250 2.0.0 Ok\r\n")
            elif verb == "QUIT":
                connection.sendall(b"221 2.0.0 Bye\r\n")
                return
            else:
                connection.sendall(b"250 2.0.0 Ok\r\n")

    def note(self, sender, content):
        """Before the answer: a message whose answer gets lost has arrived all the same."""
        found = re.search(rb"^X-Number: (\d+)\r$", content, re.M)
        if not found:
            # Content without a number starts where the message was cut.
            with self.lock:
                self.wrong.append(("no number", content[:300]))
            return
        number = int(found.group(1))
        with self.lock:
            (self.arrivals if sender else self.bounces).setdefault(number, []).append(time.monotonic())
        if sender:
            size = int(re.search(rb"^X-Size: (\d+)\r$", content, re.M).group(1))
            at = content.index(b"\r\n\r\n") + 4
            if hashlib.sha1(content[at:]).digest() != hashlib.sha1(body(number, size)).digest():
                with self.lock:
                    self.wrong.append((number, f"{len(content) - at} bytes", content[-200:]))

    def served(self, until=None):
        """Numbers of the messages that had arrived, or whose bounce had, by then."""
        with self.lock:
            return {n for kind in (self.arrivals, self.bounces) for n, times in kind.items() if until is None or times[0] <= until}

    def duplicates(self):
        with self.lock:
            return {n: times for n, times in self.arrivals.items() if len(times) > 1}


class Load:
    """Clients that send until they are stopped, over kept connections. `sizes`: the content's size for the n-th message of a client."""

    numbers = iter(range(1, 1 << 40))
    numbers_lock = threading.Lock()

    def __init__(self, port, clients=4, sizes=lambda n: 300, pause=0.0):
        self.port, self.sizes, self.pause = port, sizes, pause
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.acknowledged = {}  # number -> (queue id, monotonic time)
        self.ids = set()
        self.refusals = []
        self.errors = []
        self.threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self, client):
        connection, count = None, client
        while not self.stopped.is_set():
            try:
                connection = connection or Connection(self.port)
                with Load.numbers_lock:
                    number = next(Load.numbers)
                code, text = connection.send(number, self.sizes(count))
                count += 1
                with self.lock:
                    if code == 250:
                        id = re.search(r"queued as (\w+)", text).group(1)
                        if id in self.ids:
                            self.errors.append(f"queue id {id} was used twice")
                        self.ids.add(id)
                        self.acknowledged[number] = (id, time.monotonic())
                    else:
                        self.refusals.append((code, text))
                if code == 421:
                    raise OSError("421")
                if self.pause or code != 250:
                    time.sleep(self.pause or 0.05)
            except (OSError, ValueError):
                if connection:
                    connection.close()
                connection = None
                self.stopped.wait(0.02 + random.random() * 0.05)
        if connection:
            connection.close()

    def wait_for(self, count, seconds=60):
        """Until that many messages have been acknowledged."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if len(self.acknowledged) >= count:
                return
            time.sleep(0.01)
        raise AssertionError(f"{len(self.acknowledged)} messages acknowledged, {count} wanted within {seconds} s; {self.refusals[-3:]}")

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(t.is_alive() for t in self.threads), "a client hangs"
        return self.acknowledged


class Connection:
    """One SMTP client connection, for as long as it lasts."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.command(b"EHLO client.example.org\r\n")

    def reply(self):
        while True:
            line = self.file.readline()
            if len(line) < 4:
                raise OSError("closed")
            if line[3:4] != b"-":
                return int(line[:3]), line[4:].decode().strip()

    def command(self, line):
        self.socket.sendall(line)
        return self.reply()

    def send(self, number, size):
        """The reply that decided about the message."""
        self.socket.sendall(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
        replies = [self.reply(), self.reply(), self.reply()]
        if replies[2][0] != 354:
            self.command(b"RSET\r\n")
            return next(r for r in replies if r[0] != 250)
        return self.command(message(number, size) + b".\r\n")

    def close(self):
        self.file.close()
        self.socket.close()
