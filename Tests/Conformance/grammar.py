"""A seeded generator of SMTP sessions: mostly sensible ones, with something wrong here and there."""

import base64
import random

import words
from sessions import CONTENT, LINE, TAIL, TLS, Session, Unit

# How often each verb is chosen, and what a service's words add to that.
VERBS = {"hello": 4, "mail": 12, "rcpt": 16, "data": 8, "bdat": 4, "rset": 3, "noop": 2, "unknown": 2, "vrfy": 2, "etrn": 1, "auth": 1, "xclient": 0.4, "xforward": 0.4, "starttls": 0.2, "quit": 0.3, "transaction": 6}
MORE = {"helo": {"hello": 4}, "verbs": {"unknown": 4, "vrfy": 3, "etrn": 3, "noop": 3, "bdat": 3}, "peers": {"xclient": 6, "xforward": 5}, "auth": {"auth": 10}, "tls": {"starttls": 3},
        "limits": {"rcpt": 15, "unknown": 3}, "content": {"data": 8, "bdat": 6, "transaction": 6}, "headers": {"transaction": 14}, "addresses": {"rcpt": 10, "mail": 6, "vrfy": 2}, "access": {"rcpt": 6, "etrn": 1}}
ACTION_KEYS = ("ok permit number reject rejecttext rejectdsn defer defertext ifpermit ifreject code450 code550 code521 code421 code554 dunno warn info discard prepend list class nested "
               "warnif empty upper").split()


class Generator:
    def __init__(self, service, seed):
        self.service, self.random = service, random.Random(seed)
        weights = dict(VERBS)
        for word in service.words:
            for verb, more in MORE.get(word, {}).items():
                weights[verb] += more
        self.verbs, self.weights = list(weights), list(weights.values())
        # How much goes wrong in this session.
        self.wildness = self.random.choice([0.02, 0.05, 0.1, 0.25])

    def chance(self, p):
        return self.random.random() < p

    def wild(self, factor=1.0):
        return self.chance(self.wildness * factor)

    def pick(self, usual, rare):
        return self.random.choice(rare if self.wild(1.5) else usual)

    def session(self):
        flights, length = [], self.random.choice([3, 6, 6, 10, 10, 16])
        if not self.chance(0.1):
            flights.append([Unit(self.line(b"EHLO client.example"))])
        while len(flights) < length:
            verb = self.random.choices(self.verbs, self.weights)[0]
            flights += getattr(self, verb)()
        flights = self.in_flights(flights) if self.chance(0.8 if "flights" in self.service.words else 0.2) else flights
        return Session(self.service, flights + self.end())

    def in_flights(self, flights):
        """Neighbours joined, as far as their replies can be counted."""
        joined = []
        for flight in flights:
            alone = any(unit.kind != LINE for unit in flight)
            if joined and not alone and not self.loose(joined[-1]) and self.chance(0.6):
                joined[-1] = joined[-1] + flight
            else:
                joined.append(list(flight))
        return joined

    def loose(self, flight):
        """Nothing may follow in the same flight: content, a handshake, or (in most sessions) a command that has to be the last of its group."""
        last = flight[-1]
        return last.kind != LINE or last.data[:4].upper() == b"DATA" or (self.chance(0.9) and last.data.strip()[:4].upper() in (b"EHLO", b"HELO", b"NOOP", b"VRFY"))

    def end(self):
        tails = [[], [[Unit(self.line(b"QUIT"))]], [[Unit(self.line(b"QUIT"))]], [[Unit(self.line(b"QUIT"))]], [[Unit(self.tail(), TAIL)]]]
        return self.random.choice(tails)

    def tail(self):
        """The last words of a client that does not wait for replies."""
        return self.random.choice([
            b"MAIL FR", b"DATA\r\nSubject: x\r\n\r\nhalf a mess", b"NOOP\r\nNOOP\r\nQUIT\r\n", b"RSET\r\nMAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\nx: y\r\n\r\nbody\r\n.\r\nQUIT\r\n",
            b"DATA\r\n.\r\nQUIT\r\n", b"BDAT 100\r\nonly a few", b"BDAT 5 LAST\r\nhelloQUIT\r\n", b"QUIT\r\nNOOP\r\n", b"QUIT", b"EHLO x\r\nMAIL FROM:<a@d.example>\r\n", b"DATA\r\nx: y\r\n\r\nb\n.\r\nQUIT\r\n",
            b"DATA\r\nx: y\r\n\r\nb\r\n.\nQUIT\r\n", b"DATA\r\nx: y\r\n\r\nb\n.\nQUIT\r\n", b"DATA\r\nx: y\r\n\r\nb\r.\rQUIT\r\n.\r\n", b"DATA\r\nx\r\n.\r\nMAIL FROM:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\ny\r\n.\r\n",
            b"AUTH PLAIN\r\n*\r\nQUIT\r\n", b"NOOP " + b"x" * self.random.choice([1900, 2030, 2100, 4000]) + b"\r\nQUIT\r\n", b"\r\n\r\n\r\n", b"HELO\r\nNOOP\r\n", b"VRFY a@d.example\r\nNOOP\r\n", b"QUIT\n",
        ])

    # Commands

    def line(self, text):
        """A command line as some clients write it."""
        if self.wild(0.7):
            head, _, tail = text.partition(b" ")
            head = self.random.choice([head.lower(), head.capitalize(), head.swapcase(), b" " + head, b"\t" + head])
            text = head + (b" " + tail if tail else b"")
        if self.wild(0.4):
            text = self.random.choice([text.replace(b" ", b"  "), text.replace(b" ", b"\t", 1), text + b" ", text + b"\t", text + b"   ", text.replace(b":", b": "), text.replace(b":", b" :"), text.replace(b" ", b"", 1)])
        if self.wild(0.15):
            at = self.random.randrange(len(text) + 1)
            text = text[:at] + self.random.choice([b"\0", b"\x01", b"\r", b"\x7f", b"\x80", b"\xc3\xbc", b"\"", b"<", b">", b"\\", b"(", b")", b"@", b" ", b",", b":", b";"]) + text[at:]
        if self.wild(0.05):
            text = text[:self.random.randrange(len(text) + 1)]
        text = text.replace(b"\n", b"")
        return text + (b"\n" if self.wild(0.3) else b"\r\r\n" if self.wild(0.05) else b"\r\n")

    def lines(self, *texts):
        return [[Unit(self.line(text))] for text in texts]

    def hello(self):
        verb = self.random.choice([b"EHLO", b"EHLO", b"EHLO", b"HELO"])
        return self.lines((verb + b" " + self.random.choice(words.HELO_NAMES)) if not self.wild(0.2) else verb)

    def address(self):
        if "access" in self.service.words and self.chance(0.4):
            return self.random.choice(ACTION_KEYS).encode() + b"@act.example"
        if self.wild(0.4):
            return self.pick(words.LOCALS, words.RARE_LOCALS)
        return (b"a" if self.chance(0.3) else self.pick(words.LOCALS, words.RARE_LOCALS)) + b"@" + self.pick(words.DOMAINS, words.RARE_DOMAINS)

    def path(self):
        form = self.pick(words.FORMS, words.RARE_FORMS)
        return form.replace(b"%s2", b"x@y.example").replace(b"%s", self.address())

    def parameters(self, usual, rare):
        chosen = []
        while self.chance(0.25) and len(chosen) < 4:
            chosen.append(self.pick(usual, rare))
        return b"".join((b"  " if self.wild(0.1) else b" ") + word for word in chosen)

    def mail(self):
        sender = b"<>" if self.chance(0.1) else self.path()
        if any(byte > 127 for byte in sender) and self.chance(0.7):
            sender += b" SMTPUTF8"
        return self.lines(b"MAIL FROM:" + sender + self.parameters(words.MAIL_PARAMETERS, words.RARE_MAIL_PARAMETERS))

    def rcpt(self):
        return self.lines(b"RCPT TO:" + self.path() + self.parameters(words.RCPT_PARAMETERS, words.RARE_RCPT_PARAMETERS))

    def transaction(self):
        flights = self.mail()
        for _ in range(self.random.choice([1, 1, 1, 2, 4])):
            flights += self.rcpt()
        return flights + (self.bdat() if self.chance(0.25) else self.data())

    def data(self):
        text = b"DATA" if not self.wild(0.2) else self.random.choice([b"DATA x", b"data", b"DATA  ", b"DATA <", b"DATA \"a b\""])
        return [[Unit(self.line(text))], [Unit(self.dotted(self.content()), CONTENT)]]

    def dotted(self, content):
        """The content with its end; a line that would end it earlier is given another dot."""
        dotted = b"\r\n".join(b"." + text if text.rstrip(b"\r") == b"." else text for text in content.split(b"\r\n"))
        return dotted + b"\r\n.\r\n" if dotted else b".\r\n"

    def content(self):
        if self.wild(0.3):
            return self.random.choice([b"", b"\r\n", b"no header", b" x", b"From me\r\nSubject: x", b">From me", b"x: y", b"\r\n\r\n", b"\tx: y\r\n", b"x: y\r\nFrom z"])
        headers = [self.pick(words.HEADERS, words.RARE_HEADERS) for _ in range(self.random.choice([0, 1, 2, 4, 8]))]
        bodies = [self.pick(words.BODIES, words.RARE_BODIES) for _ in range(self.random.choice([0, 1, 2, 5]))]
        content = b"\r\n".join(headers + [b""] + bodies) if headers else b"\r\n".join(bodies)
        if self.wild(0.4) and b"\r\n" in content:
            # A bare LF, never next to a line of dots: what ends a message is for the tails, which may get any number of replies.
            pieces = content.split(b"\r\n")
            at = self.random.randrange(1, len(pieces))
            if not pieces[at].startswith(b".") and not pieces[at - 1].startswith(b"."):
                content = b"\r\n".join(pieces[:at]) + b"\n" + b"\r\n".join(pieces[at:])
        return content

    def bdat(self):
        if self.wild(0.3):
            # Malformed: answered with 521, which ends the session.
            return self.lines(self.random.choice([b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 5 FIRST", b"BDAT 99999999999999999999", b"BDAT 0", b"BDAT 0 LAST x", b"BDAT +0 LAST", b"BDAT 0x0", b"BDAT <0> LAST", b"BDAT 0 \"LAST\""]))
        content, flights = self.content(), []
        while content and self.chance(0.5):
            size = self.random.randrange(1, len(content) + 1)
            flights.append([self.chunk(content[:size], b"")])
            content = content[size:]
        if not self.wild(0.5):
            flights.append([self.chunk(content, self.random.choice([b" LAST", b" LAST", b" last", b" Last"]))])
        return flights

    def chunk(self, data, last):
        if not data and not last:
            return Unit(b"BDAT 0\r\n")
        return Unit(b"BDAT %d%s\r\n" % (len(data), last) + data)

    def rset(self):
        return self.lines(b"RSET" if not self.wild(0.5) else self.random.choice([b"RSET x", b"RSET ", b"RSET <", b"RSET \"\""]))

    def noop(self):
        return self.lines(self.random.choice([b"NOOP", b"NOOP", b"NOOP hello", b"NOOP <", b"NOOP \"x", b"NOOP a:b", b"noop x y z"]))

    def quit(self):
        return self.lines(self.random.choice([b"QUIT", b"QUIT now", b"quit", b"QUIT <"]))

    def unknown(self):
        return self.lines(self.random.choice(words.RARE_UNKNOWN if self.wild(1) else words.UNKNOWN))

    def vrfy(self):
        more = self.random.choice([b"", b"", b"", b" SMTPUTF8", b" smtputf8", b" x", b" SMTPUTF8 x"])
        return self.lines(b"VRFY " + self.path() + more if not self.wild(0.2) else b"VRFY")

    def etrn(self):
        return self.lines((b"ETRN " + self.random.choice(words.ETRN)) if not self.wild(0.2) else b"ETRN")

    def attributes(self, verb, usual, rare):
        chosen = [self.pick(usual, rare) for _ in range(self.random.choice([1, 1, 2, 3]))]
        return self.lines(verb + b" " + b" ".join(chosen) if not self.wild(0.1) else verb)

    def xclient(self):
        return self.attributes(b"XCLIENT", words.XCLIENT, words.RARE_XCLIENT)

    def xforward(self):
        return self.attributes(b"XFORWARD", words.XFORWARD, words.RARE_XFORWARD)

    def starttls(self):
        if self.wild(1):
            return self.lines(b"STARTTLS x")
        return [[Unit(b"STARTTLS\r\n", TLS)]] + (self.lines(b"EHLO client.example") if self.chance(0.7) else [])

    def auth(self):
        encode = base64.b64encode
        user, password = self.random.choice([b"alice", b"alice", b"alice@mx.test.example", b"bob", b"", b"al(ice", b"x" * 300]), self.random.choice([b"wonderland", b"wonderland", b"wrong", b""])
        plain = encode(self.random.choice([b"", b"", b"", b"alice", b"bob"]) + b"\0" + user + b"\0" + password)
        broken = self.random.choice([b"!!!!", b"!!!", b"=", b"====", b"*", b"", b"AGFsaWNl", plain[:-1], plain + b"=", plain[:5] + b" " + plain[5:], encode(b"\0"), encode(b"a\0b"), encode(b"\xff\0\xff\0\xff"), b"AA==x", b"\0", b"A", b"+", encode(b"\0alice\0wonderland\0x")])
        plain = broken if self.wild(2) else plain
        mechanism = self.random.choice([b"PLAIN", b"PLAIN", b"PLAIN", b"plain", b"Plain"])
        wrong = [(b"AUTH",), (b"AUTH ",), (b"AUTH FOO",), (b"AUTH CRAM-MD5",), (b"AUTH EXTERNAL =",), (b"AUTH PLAIN a b",), (b"AUTH ANONYMOUS YQ==",), (b"AUTH PLAIN=",), (b"AUTH <",), (b"AUTH LOGIN", b"*"), (b"AUTH PLAIN", b"*"),
                 ("AUTH Ü".encode(),), (b"AUTH " + b"M" * 30,), (b"AUTH PLAIN LOGIN",), (b"AUTH LOGIN", encode(user), b"*"), (b"AUTH \"PLAIN\" " + plain,), (b"AUTH PLAIN", b"AUTH PLAIN"), (b"AUTH LOGIN", b"", b"")]
        right = [(b"AUTH " + mechanism + b" " + plain,), (b"AUTH " + mechanism, plain), (b"AUTH LOGIN", encode(user), encode(password)), (b"AUTH LOGIN " + encode(user), encode(password)),
                 (b"AUTH LOGIN", broken if self.wild(2) else encode(user), broken if self.wild(2) else encode(password))]
        first, *responses = self.random.choice(wrong if self.wild(2) else right)
        return self.lines(first) + [[Unit(response + b"\r\n")] for response in responses]
