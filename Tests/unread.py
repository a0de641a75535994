#!/usr/bin/env python3
"""Lists parameters that the table calls honoured and that no code reads: a parameter that is parsed and ignored is a lie to the administrator."""

import glob
import re
import sys

# Read by expansion only: other values refer to them.
BY_EXPANSION = {"mail_release_date", "mail_version", "multi_instance_name"}

table = "".join(open(path).read() for path in glob.glob("Sources/Settings/Table/*.swift"))
honoured = set(re.findall(r'\.init\(\s*"([a-z0-9_]+)",[^"]*?\.honoured', table))
code = "\n".join(open(path).read() for path in glob.glob("Sources/**/*.swift", recursive=True) if "/Table/" not in path)
literals = set(re.findall(r'"([^"\n]*)"', code))


def pattern(literal):
    """What a literal with interpolations can become; None where hardly a letter is fixed."""
    parts = re.split(r"\\\([^)]*\)", literal)
    return ".+".join(map(re.escape, parts)) if len(parts) > 1 and len("".join(parts)) > 3 else None


patterns = [re.compile(p) for p in map(pattern, literals) if p]


def is_read(name):
    # The relay's client reads smtp_* and lmtp_* by the part behind the prefix.
    suffix = re.sub(r"^(smtp|lmtp)_", "", name)
    return name in literals or suffix in literals or any(p.fullmatch(name) for p in patterns)


unread = sorted(name for name in honoured - BY_EXPANSION if not is_read(name))
for name in unread:
    print(f"{name} is called honoured, but nothing reads it")
sys.exit(1 if unread else 0)
