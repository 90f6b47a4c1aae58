#!/usr/bin/env bash
# Holds plans against what happens: for service times from 2 to 50 ms a work queue is measured at five loads, a burst is planned
# for, and the plan's own workload is run. Fails if utilisation, drain time or sustainable rate are off by more than 15 %.
#
#   scripts/plan-quality.sh [BROKER] [SERVICE_MS...]      embedded and 2 5 10 20 50 if nothing is said
#
# On another broker than the embedded one the errors are printed and nothing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

broker=${1:-embedded}
[ $# -gt 0 ] && shift
times=("$@")
[ ${#times[@]} -gt 0 ] || times=(2 5 10 20 50)
program=${ORDERSTORM:-target/release/orderstorm}
[ -x "$program" ] || cargo build --release --bin orderstorm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# A run that cannot be told (5: the driver did not keep up somewhere) still has its other trials.
run() { "$program" run "$@" --broker "$broker" --quiet --report tables || [ $? -eq 5 ]; }

for ms in "${times[@]}"; do
    folder=$work/$ms
    mkdir -p "$folder"
    # Four workers take 4000/ms jobs a second.
    full=$((4000 / ms))
    cat >"$folder/rates.toml" <<TOML
# How do $ms ms jobs behave on four workers, from a third of their capacity to nearly all of it?
pipeline = "work-queue"
seed = 42
[load]
arrival = "poisson"
rate = ["$((full * 30 / 100))/s", "$((full * 50 / 100))/s", "$((full * 65 / 100))/s", "$((full * 75 / 100))/s", "$((full * 85 / 100))/s"]
warm_up = "1s"
duration = "8s"
[stage.worker]
consumers = 4
prefetch = 5
service_time = "${ms}ms"
TOML
    echo "service time $ms ms"
    run "$folder/rates.toml" --results "$folder/measured" >"$folder/measured.txt"
    # Three times the capacity for a minute, gone within two: shortened to 24 s.
    if ! "$program" plan latest --results "$folder/measured" --rate "$((full * 60 / 100))/s" --burst "$((full * 3))/s for 1m" --drain 2m \
        --workload-time 24s --out "$folder/plan" >"$folder/plan.txt"; then
        echo "  NO PLAN"
        failed=1
        continue
    fi
    run "$folder/plan/plan.toml" --results "$folder/tried" >"$folder/tried.txt"
    sed -n '/^Error of the model/,/^$/{/^ /p}' "$folder/plan.txt"
    grep '^invalid:' "$folder/tried.txt" || true
    table=$(echo "$folder"/tried/*/prediction.csv)
    awk -F, 'NR > 1 { printf "  foretold %-18s %10.3f  measured %10s  error %s\n", $2, $5, ($6 == "" ? "n/a" : sprintf("%.3f", $6)), ($7 == "" ? "n/a" : sprintf("%+.1f %%", $7 * 100)) }' "$table"
    if [ "$broker" = embedded ]; then
        awk -F, 'NR > 1 && $2 != "backlog_max" { seen++; if ($7 == "" || $7 > 0.15 || $7 < -0.15) bad++ } END { exit (seen < 3 || bad > 0) }' "$table" ||
            { echo "  MORE THAN 15 % OFF"; failed=1; }
    fi
done
exit $failed
