#!/bin/sh
# How good is `orderstorm ab`? RUNS times an A/A and RUNS times a service time that is a tenth longer, in turns, each with a seed
# of its own. At most 1 of 20 A/A may call anything better or worse; the slower side must be called worse in at least 18 of 20.
#
#   scripts/ab-quality.sh [BROKER [RUNS [PROGRAM]]]      defaults: embedded 20 target/release/orderstorm
#
# Half a minute each. Exits with 1 if it is not as good as that. docs/METHOD.md has figures that were measured with it.
set -eu

broker=${1:-embedded}
runs=${2:-20}
program=${3:-target/release/orderstorm}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT INT TERM
unset GITHUB_STEP_SUMMARY

# one NAME SEED ARGUMENTS…: what was called better or worse, by measure.
one() {
    seed=$1
    shift
    code=0
    "$program" ab workloads/gate.toml --broker "$broker" --results "$results" --set seed="$seed" --format csv --quiet "$@" \
        >"$results/found.csv" 2>"$results/said" || code=$?
    case $code in
    0 | 4) ;;
    *)
        cat "$results/said" >&2
        exit 1
        ;;
    esac
    # Measure and verdict: the seventh and the last column, once commas inside of quotes are gone.
    sed 's/"[^"]*"/text/g' "$results/found.csv" |
        awk -F, 'NR > 1 && ($NF == "worse" || $NF == "better") { printf "%s%s %s", sep, $7, $NF; sep = ", " }'
}

alarms=0
found=0
run=1
while [ "$run" -le "$runs" ]; do
    same=$(one "$((run * 1000))")
    slow=$(one "$((run * 1000 + 500))" --new-set stage.worker.service_time=165ms)
    [ -z "$same" ] || alarms=$((alarms + 1))
    case $slow in
    *worse*) found=$((found + 1)) ;;
    esac
    echo "$run: A/A ${same:-nothing}; 10 % slower: ${slow:-nothing}"
    run=$((run + 1))
done
echo "$broker: $alarms false alarms in $runs A/A; a tenth more service time found in $found of $runs"
[ $((alarms * 20)) -le "$runs" ] && [ $((found * 20)) -ge $((runs * 18)) ]
