#!/bin/bash
# The laws of the house that the compiler does not check (Docs/design.md, sections 3 and 4). Prints every breach; exits 1 if there is one.
set -u
cd "$(dirname "$0")/.."
failed=0
breach() { echo "$1"; failed=1; }

swift format lint --strict -r -p Sources Tests Package.swift || breach "format: run make format"

swift build --explicit-target-dependency-import-check error >/tmp/postern-lint.$$ 2>&1 || { grep -E 'error' /tmp/postern-lint.$$; breach "imports: a room imports what its row in Package.swift does not name"; }
rm -f /tmp/postern-lint.$$

# unsafe only where Docs/unsafe.md says so, and nothing listed there that is not so any more.
listed=$(sed -n 's/^| \(Sources\/[^ ]*\) |.*/\1/p' Docs/unsafe.md | sort)
used=$(grep -rlE '(^|[^A-Za-z"`])unsafe [^a-z]*[A-Za-z_$&{(]' Sources --include='*.swift' | while read -r f; do
    sed 's://.*$::' "$f" | grep -qE '(^|[^A-Za-z"`])unsafe ' && echo "$f"; done | sort)
missing=$(comm -13 <(echo "$listed") <(echo "$used"))
stale=$(comm -23 <(echo "$listed") <(echo "$used"))
[ -z "$missing" ] || breach "unsafe, but not listed in Docs/unsafe.md:"$'\n'"$missing"
[ -z "$stale" ] || breach "listed in Docs/unsafe.md, but not unsafe:"$'\n'"$stale"

tasks=$(grep -rnE '(^|[^A-Za-z.])Task *\{|Task\.detached|Task\.init|Task\.immediate' Sources --include='*.swift' | grep -v '^Sources/LoopTask/' | grep -vE ':[0-9]+: *///?')
[ -z "$tasks" ] || breach "tasks are started by startLoopTask only:"$'\n'"$tasks"

# While work waits for a thread of libdispatch's pool it reads /proc, and a role that cannot ends in a trap. (Queues of one thread are no part of
# that pool; Sink is confined by nobody.)
pool=$(grep -rnE 'Task\.sleep|DispatchQueue\.global|syncShutdownGracefully|shutdownGracefully\(\)|attributes: *\[?\.concurrent' Sources --include='*.swift' | grep -vE '^Sources/(Sink/|postern/|LoopTask/Pause)' | grep -vE ':[0-9]+: *///?')
[ -z "$pool" ] || breach "libdispatch's pool is not for roles: pause(), ThreadEnd and WorkerPool:"$'\n'"$pool"

foundation=$(grep -rnE '^ *(package |public |internal )?import Foundation' Sources --include='*.swift')
[ -z "$foundation" ] || breach "Foundation stays out:"$'\n'"$foundation"

marks=$(grep -rnE 'TODO|FIXME|XXX|fatalError\(|try!|not built yet' Sources --include='*.swift')
[ -z "$marks" ] || breach "marks of unfinished work:"$'\n'"$marks"

unread=$(python3 Tests/unread.py) || breach "$unread"

long=$(find Sources Tests -name '*.swift' ! -path '*/Table/*' -exec wc -l {} + | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines"}')
[ -z "$long" ] || breach "files over 600 lines:"$'\n'"$long"

# The trusted part: every line of the running supervisor, and, so that nothing is moved out of its room for the look of it, its code together
# with the files of System that it calls, without comments and blank lines.
room=$(cat Sources/PosternDaemon/Supervisor/*.swift | wc -l)
[ "$room" -lt 1500 ] || breach "Sources/PosternDaemon/Supervisor has $room lines: under 1,500 are wanted"
trusted="ControlChannel UnixSocket ServiceManager SignalDescriptor PIDFile ChildProcess SystemError Clock Hexadecimal CStrings Records FileIdentity"
code=$( (cat Sources/PosternDaemon/Supervisor/*.swift; for name in $trusted; do cat Sources/PosternDaemon/System/$name.swift; done) | grep -cvE '^[[:space:]]*(//.*)?$')
[ "$code" -lt 1600 ] || breach "the supervisor and what it calls in System have $code lines of code: under 1,600 are wanted"

exit $failed
