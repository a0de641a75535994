#!/bin/bash
# Runs the fuzz targets under libFuzzer, one process each, one after the other (release build, every room with coverage).
# FUZZ=binary skips the build.
#   Tests/Fuzz/run.sh [SECONDS per target] [TARGET...]      default: 600 seconds, all targets
# New inputs that reach new code go to WORK/corpus/TARGET; a finding goes to Tests/Fuzz/Found/TARGET, where `make test` replays it, and the
# run ends with status 1. `MERGE=1` folds what was learnt into Tests/Fuzz/Corpus, minimised.
set -u
cd "$(dirname "$0")/../.."
seconds=${1:-600}
shift || true
WORK=${WORK:-.build-fuzz/run}
export POSTERN_FUZZ=1 SWIFT_BACKTRACE=enable=no
if [ -z "${FUZZ:-}" ]; then
    swift build -c release --product postern-fuzz --scratch-path .build-fuzz || exit 2
fi
fuzz=${FUZZ:-$PWD/.build-fuzz/release/postern-fuzz}
targets=${*:-$("$fuzz" --list)}
failed=0

# What `make test` replays is a part: of the inputs in the order of their size, as many as it has time for.
keep_some() {
    local all limit=60 i
    mapfile -t all < <(cd "$1" && ls -Sr)
    [ "$target" = session ] && limit=120
    [ "${#all[@]}" = 0 ] && return
    [ "${#all[@]}" -lt "$limit" ] && limit=${#all[@]}
    rm -rf "$2" && mkdir -p "$2"
    for ((i = 0; i < limit; i++)); do cp "$1/${all[i * ${#all[@]} / limit]}" "$2/"; done
}

for target in $targets; do
    mkdir -p "$WORK/corpus/$target" "$WORK/log" "Tests/Fuzz/Found/$target" "Tests/Fuzz/Corpus/$target"
    "$fuzz" "$target" --dictionary >"$WORK/$target.dict"
    n=0
    "$fuzz" "$target" --seeds | while read -r hex; do
        n=$((n + 1))
        printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" >"$WORK/corpus/$target/seed-$n"
    done
    log="$WORK/log/$target.log"
    nice -n 10 "$fuzz" "$target" -max_total_time="$seconds" -max_len=2048 -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=64 -print_final_stats=1 \
        -dict="$WORK/$target.dict" -artifact_prefix="Tests/Fuzz/Found/$target/" \
        "$WORK/corpus/$target" "Tests/Fuzz/Corpus/$target" "Tests/Fuzz/Found/$target" >"$log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    echo "$target: status $status, $(date -u +%H:%M), ${seconds} s asked, ${runs:-?} runs, ${coverage:-cov: ?}, peak ${rss:-?} MB"
    if [ $status != 0 ]; then
        failed=1
        grep -aE 'violation:|ERROR|SUMMARY|Test unit written|Fatal error' "$log" | cut -c1-600
    elif [ -n "${MERGE:-}" ]; then
        rm -rf "$WORK/merged" && mkdir -p "$WORK/merged"
        # libFuzzer starts itself again to merge, by its own name and without our first argument.
        again=$(cd "$WORK" && pwd)/again
        printf '#!/bin/bash\nexec %q %q "$@"\n' "$fuzz" "$target" >"$again" && chmod +x "$again"
        (exec -a "$again" "$fuzz" "$target" -set_cover_merge=1 -max_len=2048 "$WORK/merged" "Tests/Fuzz/Corpus/$target" \
            "$WORK/corpus/$target" >>"$log" 2>&1)
        keep_some "$WORK/merged" "Tests/Fuzz/Corpus/$target"
    fi
    rmdir "Tests/Fuzz/Found/$target" "Tests/Fuzz/Corpus/$target" 2>/dev/null
done
exit $failed
