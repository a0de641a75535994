"""Dialogue files (Tests/Dialogues, format in Tests/PosternTesting/DialogueFile.swift): reading them, and playing one over TCP."""

import re
import socket
import ssl

QUIET = 0.5
QUIETLY = "<nothing>"


class Step:
    def __init__(self, number, kind, value=None):
        self.number, self.kind, self.value = number, kind, value


class Dialogue:
    """One file: parameters, steps, the facts it shows, the listed differences from Postfix it meets."""

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.parameters, self.steps, self.shows, self.differs = {}, [Step(0, "new")], [], []
        # The address that the client has; None for 127.0.0.1.
        self.client = None
        with open(path, encoding="utf-8") as f:
            self.lines = f.read().split("\n")
        for number, line in enumerate(self.lines, 1):
            self.read(number, line)

    def read(self, number, line):
        if line.startswith("# shows:"):
            self.shows += line[8:].split()
        elif line.startswith("# differs:"):
            row, _, pattern = line[10:].strip().partition(" ")
            self.differs.append((row, pattern or "*"))
        elif not line or line.startswith("#"):
            pass
        elif line.startswith("set "):
            name, _, value = line[4:].partition("=")
            self.parameters[name.strip()] = value.strip()
        elif line in ("new", "another", "tls", "close", "S: ..."):
            self.steps.append(Step(number, line if line != "S: ..." else "more"))
        elif line.startswith("C: ") or line == "C:":
            data = unescape(line[3:])
            if self.steps[-1].kind == "C":
                self.steps[-1].value += data
            else:
                self.steps.append(Step(number, "C", data))
        elif line[:3] in ("S: ", "L: ", "M: ") or line == "M:":
            self.steps.append(Step(number, line[0], line[3:]))
        else:
            raise ValueError(f"{self.path}:{number}: not understood: {line}")


def unescape(text):
    out, rest = b"", text.encode()
    while rest:
        head, rest = rest[:1], rest[1:]
        if head != b"\\":
            out += head
            continue
        kind, rest = rest[:1], rest[1:]
        if kind == b"c":
            return out
        if kind == b"x":
            out, rest = out + bytes([int(rest[:2], 16)]), rest[2:]
        else:
            out += {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}[kind]
    return out + b"\r\n"


def matches(text, pattern):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.S) is not None


class Connection:
    """The client's end. Lines come without CRLF; `<EOF>` is the end, `<nothing>` a wait in vain."""

    def __init__(self, port, wrapper=False, timeout=10, client=None):
        server, source = ("::1" if ":" in (client or "") else "127.0.0.1"), (client, 0) if client else None
        self.socket = socket.create_connection((server, port), timeout=timeout, source_address=source)
        self.timeout, self.buffer = timeout, b""
        if wrapper:
            self.start_tls()

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            self.socket = context.wrap_socket(self.socket)
            self.socket.settimeout(self.timeout)
        except OSError:
            # The next line read is <EOF>: the server did not want it.
            self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def line(self, timeout=None):
        while b"\n" not in self.buffer:
            try:
                self.socket.settimeout(timeout or self.timeout)
                more = self.socket.recv(65536)
            except TimeoutError:
                return "<nothing>"
            except OSError:
                more = b""
            if not more:
                return "<EOF>"
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def half_close(self):
        """No more is said. Under TLS that is the end of the connection."""
        self.socket.unwrap() if isinstance(self.socket, ssl.SSLSocket) else self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


def play(dialogue, port):
    """What the server answers, reading as many replies as the file has: [(number of the step's line, line)]."""
    return [(step.number, line) for step, lines in answers(dialogue, port) for line in lines]


def expect(dialogue, port):
    """What does not go as written, and all that was heard."""
    failures, heard, pattern = [], [], []
    for step, lines in answers(dialogue, port):
        heard += [(step.number, line) for line in lines]
        # Lines of one reply: those before the last stand in steps of their own, or are covered by `S: ...`.
        pattern += [s.value if s.kind == "S" else None for s in step.reply]
        if None in pattern:
            tail = len(pattern) - pattern.index(None) - 1
            head = pattern.index(None)
            fits = len(lines) >= head + tail and all(map(matches, lines[:head], pattern[:head])) and all(
                matches(line, p) for line, p in zip(lines[len(lines) - tail:], pattern[head + 1:]))
        else:
            fits = len(lines) == len(pattern) and all(map(matches, lines, pattern))
        if not fits:
            failures.append(f"line {step.number}: expected {pattern}, got {lines}")
        pattern = []
    return failures, heard


def answers(dialogue, port):
    """Sends what the file says and yields each reply, whole, with the step of its last line; `step.reply` are all its steps."""
    connection, others, reply = None, [], []
    wrapper = dialogue.parameters.get("smtpd_tls_wrappermode") == "yes"
    for step in dialogue.steps:
        if step.kind in ("new", "another"):
            if connection:
                others.append(connection) if step.kind == "another" else connection.close()
            connection = Connection(port, wrapper, client=dialogue.client)
        elif step.kind == "close":
            connection.close()
        elif step.kind == "tls":
            connection.start_tls()
        elif step.kind == "C":
            connection.send(step.value)
        elif step.kind == "more" or (step.kind == "S" and step.value[3:4] == "-"):
            reply.append(step)
        elif step.kind == "S":
            step.reply, reply = reply + [step], []
            yield step, list(iter_quiet(connection)) if step.value == "?" else [connection.line(QUIET)] if step.value == QUIETLY else whole_reply(connection)
    for each in [*others, connection]:
        each.close()


def whole_reply(connection):
    lines = [connection.line()]
    while lines[-1][3:4] == "-":
        lines.append(connection.line())
    return lines


def iter_quiet(connection):
    while (line := connection.line(QUIET)) != "<nothing>":
        yield line
        if line == "<EOF>":
            return
