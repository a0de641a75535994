"""Differences that Docs/postfix-differences.md lists, recognised in random sessions. Each predicate is as narrow as the row it stands for."""

import re

# A session with a reply that differs as listed goes on in another state at each server: nothing behind it can be compared.
CUT = object()


class Difference:
    """`kind`: reply, log or message; `theirs`, `ours`: lines; `command`: bytes of the unit that a reply is about."""

    def __init__(self, kind, theirs, ours, command=b""):
        self.kind, self.theirs, self.ours, self.command = kind, theirs, ours, command

    def text(self):
        about = f" to {self.command[:200]!r}" if self.command else ""
        return f"{self.kind}{about}\n      Postfix: " + " / ".join(self.theirs) + "\n      Postern: " + " / ".join(self.ours)

    def signature(self):
        """What differences of one cause have in common: the words that are not the client's."""
        masked = [re.sub(r"<[^ ]*>|=\S+|\d+|\"[^\"]*\"", "*", " / ".join(lines))[:160] for lines in (self.theirs, self.ours)]
        return self.kind, self.command[:4].upper(), *masked


def after_brackets(d):
    return d.kind == "reply" and re.search(rb"(FROM|TO):.*>[^\s>]", d.command, re.I) and d.ours[:1] in (
        ["501 5.1.7 Bad sender address syntax"], ["501 5.1.3 Bad recipient address syntax"])


def control_in_address(d):
    return d.kind == "reply" and re.match(rb"\s*(MAIL|RCPT|VRFY)\b.*[\r\0]", d.command.rstrip(b"\r\n"), re.I | re.S) and d.ours[:1] in (
        ["501 5.1.7 Bad sender address syntax"], ["501 5.1.3 Bad recipient address syntax"])


def long_line(d):
    return d.kind == "reply" and d.ours[:1] == ["500 5.5.2 mx.test.example Error: command too long"]


def close_error(d):
    return d.kind == "log" and not d.ours and all(line.endswith("warning: mail_stream_cleanup: close error") or "mail_stream_cleanup: close error" in line for line in d.theirs)


def bare_lf_id(d):
    return d.kind == "log" and not d.theirs and all("/cleanup[" in line and "message-id=" in line for line in d.ours)


def size_after_refusal(d):
    return d.kind == "reply" and d.theirs[:1] == ["552 5.3.4 Message size exceeds fixed limit"] and b"SIZE=" not in d.command.upper()


def auth_log(d):
    return d.kind == "log" and len(d.theirs) == len(d.ours) and all(
        re.search(r"improper command pipelining|request longer than|replacing command", ours) and "AUTH" in ours.upper() and ours.endswith("...") for ours in d.ours)


ROWS = {
    "after-brackets": after_brackets,
    "CR or NUL inside an envelope address": control_in_address,
    "long-line": long_line,
    "close-error": close_error,
    "MAIL without SIZE after a MAIL that was refused for its SIZE": size_after_refusal,
    "auth-log": auth_log,
}
# Rows that are true of some services only.
BY_SERVICE = {"bare": {"bare-lf-id": bare_lf_id}}


def row_of(difference, service):
    rows = {**ROWS, **BY_SERVICE.get(service.name, {})}
    return next((row for row, predicate in rows.items() if predicate(difference)), None)
