"""Differences that Docs/postfix-differences.md lists, recognised in random sessions. Each predicate is as narrow as the row it stands for."""

import re

BAD_ADDRESS = ("501 5.1.7 Bad sender address syntax", "501 5.1.3 Bad recipient address syntax")
CONTROLS = r"[\x00-\x1f\x7f]"


class Difference:
    """`kind`: reply, log or message; `theirs`, `ours`: lines; `command`: bytes of the unit that a reply is about; `replies`: Postfix's."""

    def __init__(self, kind, theirs, ours, session, replies, command=b""):
        self.kind, self.theirs, self.ours, self.session, self.replies, self.command = kind, theirs, ours, session, replies, command
        self.sent = b"".join(unit.data for unit in session.units())

    def text(self):
        about = f" to {self.command[:200]!r}" if self.command else ""
        theirs, ours = (" / ".join(map(repr, lines)) or "(nothing)" for lines in (self.theirs, self.ours))
        return f"{self.kind}{about}\n      Postfix: {theirs}\n      Postern: {ours}"

    def signature(self):
        """What differences of one cause have in common: the words that are not the client's."""
        masked = [re.sub(r"<[^ ]*>|=\S+|\d+|\"[^\"]*\"", "*", " / ".join(lines))[:160] for lines in (self.theirs, self.ours)]
        return self.kind, self.command.strip()[:4].upper(), *masked

    @property
    def ours_is_bad_address(self):
        # The code is 4xx with soft_bounce, and a footer may follow.
        text = re.sub(r"^4(\d\d) 4", r"5\1 5", self.ours[0]) if self.ours else ""
        return self.kind == "reply" and text.startswith(BAD_ADDRESS)

    def same_but(self, pattern, replacement=""):
        """Whether the two sides are the same once what matches is replaced in both."""
        return [re.sub(pattern, replacement, line) for line in self.theirs] == [re.sub(pattern, replacement, line) for line in self.ours]


def after_brackets(d):
    return d.ours_is_bad_address and re.search(rb"((FROM|TO):.*>[^\s>]|VRFY\s+<.*>\s+\S)", d.command, re.I)


def cr_in_address(d):
    return d.ours_is_bad_address and re.match(rb"\s*(MAIL|RCPT|VRFY)\b.*\r", d.command.rstrip(b"\r\n"), re.I | re.S)


def nul_in_command(d):
    if d.kind == "log":
        return not d.theirs and all("Illegal address syntax from" in line for line in d.ours) and re.search(rb"(MAIL|RCPT)\b[^\n]*\0", d.sent, re.I)
    return d.kind == "reply" and b"\0" in d.command.lstrip()[1:] and not d.command.strip().upper().startswith(b"BDAT")


def not_utf8(d):
    try:
        d.command.decode()
    except UnicodeDecodeError:
        return d.ours_is_bad_address
    return False


def nested_brackets(d):
    return d.ours_is_bad_address and re.search(rb'<<.*[\s"].*>>', d.command)


def long_line(d):
    return d.kind == "reply" and d.ours[0].startswith("500 5.5.2 mx.test.example Error: command too long")


def close_error(d):
    return d.kind == "log" and not d.ours and all("mail_stream_cleanup: close error" in line for line in d.theirs)


def bare_lf_id(d):
    return d.kind == "log" and not d.theirs and all("/cleanup[" in line and "message-id=" in line for line in d.ours)


def size_after_refusal(d):
    return d.kind == "reply" and d.theirs[:1] == ["552 5.3.4 Message size exceeds fixed limit"] and b"SIZE=" not in d.command.upper()


def auth_log(d):
    return d.kind == "log" and len(d.theirs) == len(d.ours) and all(
        re.search(r"improper command pipelining|request longer than|replacing command", ours) and "AUTH" in ours.upper() and ours.endswith("...") for ours in d.ours)


def nested_mail(d):
    was_nested = any("nested MAIL command" in line for _, reply in d.replies for line in reply)
    return d.kind == "message" and was_nested and (
        d.same_but(r" (SMTPUTF8|RET=\S+|ENVID=\S+|BODY=\S+)") or d.same_but(r"with (UTF8|E)?SMTP(S?A?)", r"with \2"))


def control_in_reply(d):
    # What tables and lists say of a name is shown by Postfix with blanks.
    return d.kind == "reply" and (d.same_but(CONTROLS, "?") or re.search(CONTROLS.encode(), d.command.strip()) and d.same_but(CONTROLS + r"| |\?", "?"))


def orcpt_control(d):
    return d.kind == "message" and d.same_but(r" ORCPT=\S+") and (re.search(rb"(RCPT TO:.*|ORCPT=\S*)([\x01-\x09\x0b-\x1f\x7f]|\+([01][0-9A-F]|7F|[89A-F][0-9A-F]))", d.sent, re.I))


def nul_in_content(d):
    return d.kind == "message" and b"\0" in d.sent and (d.same_but("\0", " ") or len(d.theirs) == len(d.ours) and all(
        o.startswith(t) and re.match(r"[\w-]+:", t) for t, o in zip(d.theirs, d.ours)))


def body_by_header(d):
    return d.kind == "message" and d.same_but(r"^(MAIL FROM:.*) BODY=8BITMIME", r"\1") and b"Content-Transfer-Encoding: 8bit" in d.sent and not any(
        " BODY=" in line for line in d.ours)


def unreadable_header(d):
    """Any number of such headers, their folding included."""
    text = "\n".join(d.ours)
    return d.kind == "message" and re.match(r"(From|To|Cc|Reply-To|Sender|Resent-\w+|Errors-To|Disposition-Notification-To|Return-Receipt-To): ?", text) and (
        text.count('"') % 2 == 1 or text.count("<") != text.count(">") or text.count("(") != text.count(")"))


def stored_size(d):
    sizes = [re.fullmatch(r"250 2\.0\.0 Ok: (\d+) bytes queued as QID", (side or [""])[0]) for side in (d.theirs, d.ours)]
    limit = int(d.session.service["line_length_limit"] or 2048)
    return d.kind == "reply" and all(sizes) and (int(sizes[0][1]) - int(sizes[1][1])) % 2 == 0 and re.search(rb"[^\n]{%d}" % limit, re.sub(rb"BDAT \d+[^\n]*\n", b"", d.sent, flags=re.I))


def second_route(d):
    # Shown in the log and Received, and in replies; what they say of it is the same.
    shown = d.command if d.kind == "reply" else d.sent
    return re.search(rb"@[^:<>\s]*:@[^:<>\s]*:", shown) and d.same_but(r"<(@[^:<>]*:)*|to=<\S+>|from=<\S+>", "<")


def bdat_crash(d):
    refused = any(line.startswith(("552 5.3.4 Chunk exceeds", "551 5.7.1 Null BDAT")) for _, reply in d.replies for line in reply)
    return d.kind == "reply" and d.theirs == ["<EOF>"] and refused


def refused_auth(d):
    return d.kind == "log" and d.same_but(r", sasl_sender=\S+") and re.search(rb"MAIL.*AUTH=", d.sent, re.I) and not any("sasl_sender" in line for line in d.ours)


def trailing_at(d):
    return d.ours_is_bad_address and re.search(rb"[^\s@<]@+[>\s]*(\s|$)", d.command)


def quoted_domain(d):
    return d.kind == "reply" and re.search(rb'"[^"]*@[^"]*"|\[[^\]]*@', d.command) and re.match(rb"\s*(MAIL|RCPT|VRFY)\b", d.command, re.I) and (
        d.ours_is_bad_address or d.theirs[0][1:].startswith(("01 5.1.", "01 4.1.")))


def vrfy_open(d):
    command = (d.command if d.kind == "reply" else d.sent).replace(b"\\\\", b"")
    is_open = command.count(b"<") != command.count(b">") or command.count(b'"') % 2 == 1 or b"\\>" in command or b'\\"' in command
    if d.kind == "log":
        return re.search(rb"VRFY", command, re.I) and all(": VRFY from " in line for line in d.theirs) and d.same_but(r" to=<\S*>")
    return d.kind == "reply" and re.match(rb"\s*VRFY\b", command, re.I) and is_open


def sharp_s(d):
    return d.ours_is_bad_address and "\u00df".encode() in d.command


def xclient_partly(d):
    """The client's name, and what it may do, after an XCLIENT that was refused for its second value or a later one."""
    refused = any(line.startswith(("501 5.5.4 Bad ", "501 5.5.4 Error: attribute")) for _, reply in d.replies for line in reply)
    theirs, ours = ([line for line in lines if not re.match(r"250.X(VERP|CLIENT|FORWARD)\b", line)] for lines in (d.theirs, d.ours))
    return refused and re.search(rb"XCLIENT\s+\S+=\S+\s+\S", d.sent, re.I) and (theirs == ours or d.same_but(r"\S+\[[^\]]*\]", "*"))


def lost_between_chunks(d):
    return d.kind == "log" and not d.ours and all(": message-id=" in line for line in d.theirs) and re.search(rb"BDAT \d+\r\n", d.sent) and not any(
        "queued as" in line for line in d.replies[-1][1])


def bdat_blank(d):
    return d.kind == "message" and not d.theirs and d.ours == [""] and re.search(rb"BDAT \d+( LAST)?\r\n[ \t]", d.sent, re.I)


def double_bounce(d):
    if b"<double-bounce@" not in d.sent.lower():
        return False
    return (d.kind == "log" and not d.ours and all("(undeliverable postmaster notification discarded)" in line for line in d.theirs)) or (
        d.kind == "message" and (d.theirs == ["(not delivered)"] or not d.theirs and all(line.lower().startswith("rcpt to:<double-bounce@") for line in d.ours)))


def empty_local_part(d):
    return re.search(rb'(""|[@\\]|<@[^:<>]*)@\[ipv6:', d.command if d.kind == "reply" else d.sent, re.I)


ROWS = {
    "after-brackets": after_brackets,
    "CR inside an envelope address": cr_in_address,
    "nul-in-command": nul_in_command,
    "not-utf8": not_utf8,
    "nested-brackets": nested_brackets,
    "long-line": long_line,
    "close-error": close_error,
    "MAIL without SIZE after a MAIL that was refused for its SIZE": size_after_refusal,
    "auth-log": auth_log,
    "nested-mail": nested_mail,
    "control-in-reply": control_in_reply,
    "orcpt-control": orcpt_control,
    "nul-content": nul_in_content,
    "body-by-header": body_by_header,
    "a header that is no list of addresses": unreadable_header,
    "the size in `Ok: N bytes queued as`": stored_size,
    "second-route": second_route,
    "bdat-crash": bdat_crash,
    "refused-auth": refused_auth,
    "trailing-at": trailing_at,
    "quoted-domain": quoted_domain,
    "vrfy-open": vrfy_open,
    "sharp-s": sharp_s,
    "xclient-partly": xclient_partly,
    "lost-between-chunks": lost_between_chunks,
    "bdat-blank": bdat_blank,
    "double-bounce": double_bounce,
    "empty-local-part": empty_local_part,
}
# Rows that are true of some services only.
BY_SERVICE = {"bare": {"bare-lf-id": bare_lf_id}}


def unlisted(document):
    """Rows that predicates stand for and the document does not have."""
    rows = [row for table in (ROWS, *BY_SERVICE.values()) for row in table]
    return [row for row in rows if f"| [{row}] " not in document and f"| {row}" not in document]


def row_of(difference):
    rows = {**ROWS, **BY_SERVICE.get(difference.session.service.name, {})}
    return next((row for row, predicate in rows.items() if predicate(difference)), None)
