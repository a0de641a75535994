"""A session that a generator made: what the client sends, in units of one reply each, and playing it over TCP."""

import socket

from dialogue import Connection, whole_reply

LINE, CONTENT, TLS, TAIL = "line", "content", "tls", "tail"


class Unit:
    """What gets one reply: a command line, the chunk of a BDAT with its line, a response of AUTH.

    CONTENT is only sent after 354. TLS is a STARTTLS: the handshake follows a 220. TAIL is the last thing a client says before it closes its
    side: it may get any number of replies.
    """

    def __init__(self, data, kind=LINE):
        self.data, self.kind = data, kind


class Session:
    """Flights of units: those of one flight are sent at once, then their replies are read."""

    def __init__(self, service, flights):
        self.service, self.flights = service, [flight for flight in flights if flight]

    def units(self):
        return [unit for flight in self.flights for unit in flight]

    def without(self, dropped):
        """The session without some of its units (a set of their numbers)."""
        flights, number = [], 0
        for flight in self.flights:
            flights.append([unit for i, unit in enumerate(flight, number) if i not in dropped])
            number += len(flight)
        return Session(self.service, flights)

    def one_at_a_time(self):
        return Session(self.service, [[unit] for unit in self.units()])

    def text(self):
        """The session in the form of a dialogue file, to be filled in by `conformance.py --record`."""
        lines = [f"set {name} = {value}" for name, value in self.service.parameters.items()] + ["S: ?"]
        for flight in self.flights:
            for unit in flight:
                pieces = unit.data.split(b"\r\n")
                lines += ["C: " + escape(piece) for piece in pieces[:-1]]
                lines += ["C: " + escape(pieces[-1]) + "\\c"] if pieces[-1] else []
            lines += ["S: ?"] * len(flight)
            lines += ["tls"] if flight[-1].kind == TLS else []
        return "\n".join(lines) + "\nclose\n"


def escape(data):
    names = {0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}
    return "".join(names.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in data)


def play(session, port, client):
    """[(the unit's number, lines of its reply)]: -1 is the greeting, None what came after the client had closed its side."""
    connection = Connection(port, client=client, timeout=20)
    try:
        heard = [(-1, whole_reply(connection))]
        number = 0
        for flight in session.flights:
            sent = []
            for unit in flight:
                # Content goes alone, and is spoken only when it was asked for.
                if unit.kind != CONTENT or heard[-1][1][-1][:3] == "354":
                    sent.append((number, unit))
                number += 1
            connection.send(b"".join(unit.data for _, unit in sent))
            for i, unit in sent:
                if unit.kind == TAIL or over(heard):
                    break
                heard.append((i, whole_reply(connection)))
                if unit.kind == TLS and heard[-1][1][-1][:3] == "220":
                    connection.start_tls()
            if over(heard):
                return heard
        return heard + [(None, rest(connection))]
    finally:
        connection.close()


def over(heard):
    return heard[-1][1][-1] in ("<EOF>", "<nothing>")


def rest(connection):
    """All that comes once the client has said its last."""
    try:
        connection.half_close()
    except OSError:
        pass
    lines = []
    while (line := connection.line()) not in ("<EOF>", "<nothing>"):
        lines.append(line)
    return [*lines, line]
