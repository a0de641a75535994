"""Makes a session that differs as short as it can be."""

from sessions import CONTENT, LINE, Session, Unit


def minimise(session, differs):
    """`differs`: takes candidates and tells for each whether it still shows the difference. All of one round are tried together."""
    while True:
        candidates = [session.without(dropped) for dropped in drops(session)]
        if len(session.flights) < len(session.units()):
            candidates.insert(0, session.one_at_a_time())
        candidates = [candidate for candidate in candidates if candidate.flights]
        smaller = [candidate for candidate, still in zip(candidates, differs(candidates) if candidates else []) if still]
        if not smaller:
            return shorter_lines(session, differs)
        session = min(smaller, key=lambda candidate: (len(candidate.units()), -len(candidate.flights)))


def drops(session):
    """Sets of units that go together: halves, then each alone. Content goes with the DATA that asks for it."""
    units = session.units()
    groups = []
    for number, unit in enumerate(units):
        if unit.kind == CONTENT and groups:
            groups[-1].add(number)
        else:
            groups.append({number})
    half = len(groups) // 2
    together = [set().union(*groups[:half]), set().union(*groups[half:])] if half > 1 else []
    return together + groups


def shorter_lines(session, differs):
    """The same with words of command lines left out."""
    number = 0
    while number < len(session.units()):
        unit = session.units()[number]
        words = unit.data.split(b" ") if unit.kind == LINE and unit.data.count(b"\n") == 1 else []
        candidates = [with_line(session, number, b" ".join(words[:i] + words[i + 1:])) for i in range(1, len(words) - 1)]
        candidates += [with_line(session, number, b" ".join(words[:-1]) + b"\r\n")] if len(words) > 2 else []
        session, before = next((c for c, still in zip(candidates, differs(candidates) if candidates else []) if still), session), session
        number += session is before
    return session


def with_line(session, number, data):
    units = iter(range(len(session.units())))
    return Session(session.service, [[Unit(data) if next(units) == number else unit for unit in flight] for flight in session.flights])
