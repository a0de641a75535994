"""Many connections at once, and what happens at each limit: a 421 or 452, and a log line. POSTERN_CONNECTIONS=20000 is the long form."""

import os
import resource
import select
import socket
import unittest

from postern import Case, wait_for



def possible(count):
    """As many as this process may have descriptors for; a server started by it has the same hard limit, unless it may raise it."""
    for limit in (count + 300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
            return min(count, limit - 300)
        except ValueError:
            continue


CONNECTIONS = possible(int(os.environ.get("POSTERN_CONNECTIONS", "2000")))


class Crowd:
    """Many clients on one epoll; source addresses 127.0.1.x, so that ports do not run out."""

    def __init__(self, port, count):
        self.poll = select.epoll()
        self.clients = {}
        self.replies = {}
        for number in range(count):
            client = socket.socket()
            client.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            client.bind((f"127.0.1.{1 + number // 10000}", 0))
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            self.clients[client.fileno()] = client
            self.replies[client.fileno()] = b""
            self.poll.register(client, select.EPOLLIN)

    def wait(self, done, seconds=300):
        """Reads until every client's replies satisfy `done`, or it is closed."""
        waiting = {number for number in self.clients if not done(self.replies[number])}
        def turn():
            for number, _ in self.poll.poll(0.2):
                try:
                    data = self.clients[number].recv(4096)
                except ConnectionResetError:
                    data = b""
                self.replies[number] += data
                if not data or done(self.replies[number]):
                    waiting.discard(number)
                if not data:
                    self.poll.unregister(number)
            return not waiting
        wait_for(turn, seconds, f"replies to {len(waiting)} clients")

    def say(self, numbers, data):
        for number in numbers:
            client = self.clients[number]
            client.setblocking(True)
            client.sendall(data)
            client.setblocking(False)

    def ask(self, numbers, data, lines=1):
        """The last replies to `data`, which makes for so many final reply lines each."""
        for number in numbers:
            self.replies[number] = b""
        for number in self.clients:
            if number not in numbers:
                self.replies[number] = b"000 \r\n" * lines
        self.say(numbers, data)
        self.wait(lambda text: sum(line[3:4] == b" " for line in text.split(b"\r\n")) >= lines)
        return [self.replies[number] for number in numbers]

    def close(self):
        self.poll.close()
        for client in self.clients.values():
            client.close()


def resident(pid):
    """MiB of memory that belong to the process alone."""
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("RssAnon")).split()[1]) / 1024


MANY = "smtpd_client_connection_count_limit = 0\n"


class Connections(Case):
    def crowd(self, server, count=CONNECTIONS):
        crowd = Crowd(server.plain, count)
        self.addCleanup(crowd.close)
        return crowd

    def test_all_are_served(self):
        """Descriptors do not run out: the supervisor has raised the limit."""
        server = self.server(MANY, sink=self.sink())
        smtpd = server.roles()["smtpd"]
        before = resident(smtpd)
        crowd = self.crowd(server)
        crowd.wait(lambda text: text.endswith(b"\r\n"))
        self.assertEqual({text[:4] for text in crowd.replies.values()}, {b"220 "})
        print(f"[{CONNECTIONS} connections: {(resident(smtpd) - before) * 1024 / CONNECTIONS:.1f} KiB each]", end=" ", flush=True)
        everybody = list(crowd.clients)
        self.assertEqual({text[:3] for text in crowd.ask(everybody, b"NOOP\r\n")}, {b"250"})
        self.assertEqual({text[:3] for text in crowd.ask(everybody, b"QUIT\r\n")}, {b"221"})
        wait_for(lambda: server.log().count("disconnect from") >= CONNECTIONS, 120, "the ends of all sessions in the log")
        self.assertEqual(server.log().count(": connect from"), server.log().count("disconnect from"))
        self.assertEqual(server.roles()["smtpd"], smtpd)

    def test_connection_limit(self):
        limit = CONNECTIONS * 3 // 4
        server = self.server(MANY + f"smtpd_connection_limit = {limit}\n", sink=self.sink())
        wait_for(lambda: server.log().count("disconnect from") >= server.log().count(": connect from"), what="the harness's own connections to end")
        crowd = self.crowd(server)
        crowd.wait(lambda text: text.endswith(b"\r\n"))
        served = [number for number, text in crowd.replies.items() if text.startswith(b"220 ")]
        refused = [text for text in crowd.replies.values() if not text.startswith(b"220 ")]
        self.assertEqual(len(served), limit)
        self.assertEqual(set(refused), {b"421 4.3.2 mx.example.com Error: too many connections\r\n"})
        wait_for(lambda: server.log().count("smtpd_connection_limit reached: turning unknown[127.0.1.") == CONNECTIONS - limit, 60, "a log line for each")
        # Those who are in can work, and a place that becomes free is taken.
        self.assertEqual({text[:3] for text in crowd.ask(served, b"NOOP\r\n")}, {b"250"})
        leaving = served[:10]
        crowd.ask(leaving, b"QUIT\r\n")
        def greeted():
            with socket.create_connection(("127.0.0.1", server.plain)) as s:
                return s.recv(100).startswith(b"220 ")
        wait_for(greeted, what="a free place")

    def test_content_in_memory_is_capped(self):
        """Each of many clients is in the middle of a message; together they would take more than the cap of 64 MiB."""
        sink = self.sink()
        server = self.server(MANY, sink=sink)
        smtpd = server.roles()["smtpd"]
        count, size = 1400, 60_000
        crowd = self.crowd(server, count)
        crowd.wait(lambda text: text.endswith(b"\r\n"))
        everybody = list(crowd.clients)
        crowd.ask(everybody, b"EHLO c\r\n")
        replies = crowd.ask(everybody, b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n", lines=3)
        begun = [number for number, text in zip(everybody, replies) if b"\r\n354 " in text]
        self.assertEqual(len(begun), count)
        before = resident(smtpd)
        line = b"x" * 98 + b"\r\n"
        for number in begun:
            crowd.say([number], b"Subject: large\r\n\r\n" + line * (size // len(line)))
        content = f"{server.directory}/spool/content"
        # Beyond the cap content goes to the disk as it comes.
        wait_for(lambda: len(os.listdir(content)) > 0, 120, "content on the disk")
        wait_for(lambda: sum(e.stat().st_size for e in os.scandir(content)) > count * size - (80 << 20), 120, "what is beyond the cap on the disk")
        grown = resident(smtpd) - before
        print(f"[{count * size / 2**20:.0f} MiB of content: {grown:.0f} MiB of memory]", end=" ", flush=True)
        self.assertLess(grown, 64 * 2)
        replies = crowd.ask(begun, b".\r\n")
        self.assertEqual({text[:3] for text in replies}, {b"250"})


if __name__ == "__main__":
    unittest.main()
