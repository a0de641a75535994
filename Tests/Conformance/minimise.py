"""Makes a session that differs as short as it can be."""

from sessions import CONTENT


def minimise(session, differs):
    """`differs`: takes candidates and tells for each whether it still shows the difference. All of one round are tried together."""
    while True:
        candidates = [session.without(dropped) for dropped in drops(session)]
        if len(session.flights) < len(session.units()):
            candidates.insert(0, session.one_at_a_time())
        candidates = [candidate for candidate in candidates if candidate.flights]
        smaller = [candidate for candidate, still in zip(candidates, differs(candidates) if candidates else []) if still]
        if not smaller:
            return session
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
