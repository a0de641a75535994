"""A name server on loopback with the records of a table, for tests in which two programs must hear the same answers.

It has port 53 of an address of its own, for the C library asks no other port, and so needs root.
"""

import random
import socket
import socketserver
import struct
import threading

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
SERVFAIL, NXDOMAIN, SILENCE = "SERVFAIL", "NXDOMAIN", "SILENCE"


def reverse(address):
    """The name that has the PTR record of an address."""
    if ":" in address:
        return ".".join(reversed(socket.inet_pton(socket.AF_INET6, address).hex())) + ".ip6.arpa"
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def wire(name):
    """A name in wire format; a label may be bytes of any kind."""
    labels = name if isinstance(name, (list, tuple)) else [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class Zone(dict):
    """name -> [(type, value)], or what happens instead of an answer; other names do not exist. A CNAME is followed."""

    def answer(self, question):
        (length, name) = 12, []
        while size := question[length]:
            name.append(question[length + 1:length + 1 + size].decode("latin-1"))
            length += 1 + size
        (kind, _) = struct.unpack("!HH", question[length + 1:length + 5])
        asked, found, code = ".".join(name).lower(), [], 0
        owner = wire(asked)
        while True:
            records = self.get(asked, NXDOMAIN)
            if records == SILENCE:
                return None
            if isinstance(records, str):
                code = {SERVFAIL: 2, NXDOMAIN: 3}[records]
                break
            alias = next((value for t, value in records if t == "CNAME"), None)
            found += [(owner, t, value) for t, value in records if TYPES[t] == kind or t == "CNAME"]
            if alias is None:
                break
            asked, owner = alias.lower(), wire(alias)
        header = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return header + question[12:length + 5] + b"".join(self.record(*each) for each in found)

    @staticmethod
    def record(owner, kind, value):
        if kind == "A":
            data = socket.inet_aton(value)
        elif kind == "AAAA":
            data = socket.inet_pton(socket.AF_INET6, value)
        elif kind == "TXT":
            data = bytes([len(value)]) + value.encode()
        elif kind == "MX":
            data = struct.pack("!H", 10) + wire(value)
        else:
            data = wire(value)
        return owner + struct.pack("!HHIH", TYPES[kind], 1, 60, len(data)) + data


class OverUDP(socketserver.BaseRequestHandler):
    def handle(self):
        data, socket = self.request
        answer = self.server.zone.answer(data)
        if answer is not None:
            # What does not fit is asked for again over TCP.
            whole = len(answer) <= 512
            socket.sendto(answer if whole else answer[:2] + bytes([answer[2] | 2]) + answer[3:4] + data[4:6] + bytes(6) + data[12:], self.client_address)


class OverTCP(socketserver.StreamRequestHandler):
    def handle(self):
        while len(size := self.rfile.read(2)) == 2:
            answer = self.server.zone.answer(self.rfile.read(struct.unpack("!H", size)[0]))
            if answer is None:
                return
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


class NameServer:
    """Serves `zone` until `remove`."""

    def __init__(self, zone):
        self.zone = zone
        while True:
            self.address = "127." + ".".join(str(random.randrange(64, 250)) for _ in range(3))
            try:
                udp = socketserver.ThreadingUDPServer((self.address, 53), OverUDP)
            except OSError as error:
                if error.errno != 98:
                    raise
                continue
            try:
                tcp = socketserver.ThreadingTCPServer((self.address, 53), OverTCP)
                break
            except OSError:
                udp.server_close()
        self.servers = [udp, tcp]
        for server in self.servers:
            server.zone, server.daemon_threads = zone, True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def remove(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
