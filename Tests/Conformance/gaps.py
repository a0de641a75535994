#!/usr/bin/env python3
"""Lists facts of Docs/conformance.md that no dialogue shows, and ids in dialogues that are no facts. Fails if there are any."""

import os
import re
import sys

from conformance import dialogues
from machines import ROOT


def gaps():
    with open(os.path.join(ROOT, "Docs", "conformance.md"), encoding="utf-8") as f:
        facts = set(re.findall(r"^\| (S\d+\.\d+) \|", f.read(), re.M))
    shown = {fact for dialogue in dialogues() for fact in dialogue.shows}
    return [f"{fact}: no dialogue shows it" for fact in sorted(facts - shown)] + [
        f"{fact}: shown by a dialogue, but no fact of Docs/conformance.md" for fact in sorted(shown - facts)]


if __name__ == "__main__":
    found = gaps()
    print("\n".join(found) or "every fact has a dialogue")
    sys.exit(1 if found else 0)
