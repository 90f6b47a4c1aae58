#!/bin/sh
# Does a capacity that is found twice agree with itself? RUNS searches of the same workload, each with a seed of its own; every two of
# their intervals must overlap.
#
#   scripts/capacity-repeat.sh [BROKER [RUNS [PROGRAM [BUDGET]]]]     defaults: embedded 5 target/release/orderstorm 3m
#
# Exits with 1 if two intervals have nothing in common, with 5 if a search found none. docs/CAPACITY.md has figures that were measured with it.
set -eu
cd "$(dirname "$0")/.."

broker=${1:-embedded}
runs=${2:-5}
program=${3:-target/release/orderstorm}
budget=${4:-3m}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT INT TERM

cat >"$results/workers.toml" <<'END'
# How many jobs of 10 ms, at random, do four workers carry?
pipeline = "work-queue"
[load]
arrival = "poisson"
rate = "100/s"
warm_up = "1s"
duration = "8s"
[sample]
interval = "50ms"
[stage.worker]
consumers = 4
prefetch = 4
service_time = { exponential = "10ms" }
END

run=1
while [ "$run" -le "$runs" ]; do
    code=0
    "$program" capacity "$results/workers.toml" --broker "$broker" --objective 'end_to_end_p99<=500ms' --budget "$budget" --curve 0 \
        --set seed="$((run * 1000))" --results "$results/$run" --report tables --quiet >"$results/said" 2>&1 || code=$?
    case $code in
    0 | 5) ;;
    *)
        cat "$results/said" >&2
        exit 1
        ;;
    esac
    # The first two columns: nothing is varied.
    edges=$(awk -F, 'NR == 2 { print $1, $2 }' "$results/$run"/*/capacity.csv)
    case $edges in
    [0-9]*' '[0-9]*) ;;
    *)
        echo "search $run found no interval: $edges" >&2
        cat "$results/said" >&2
        exit 5
        ;;
    esac
    echo "$run: $edges"
    echo "$edges" >>"$results/edges"
    run=$((run + 1))
done
# Every two overlap if the highest lower edge is not above the lowest upper edge.
awk -v broker="$broker" '
    NR == 1 || $1 > low { low = $1 }
    NR == 1 || $2 < high { high = $2 }
    END {
        printf "%s: %d searches, all %s: %s/s to %s/s is common to them\n", broker, NR, (low <= high ? "agree" : "do NOT agree"), low, high
        exit low > high
    }' "$results/edges"
