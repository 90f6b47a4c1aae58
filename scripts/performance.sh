#!/bin/sh
# What a CI job does about performance; the same by hand. Compares two commits (or programs) in turns on one broker, then runs a
# workload with the new one, for its page. .github/workflows/performance.yml calls this.
#
#   scripts/performance.sh BASE NEW         e.g. origin/main HEAD
#
#   RESULTS=DIR       where everything goes                                   (default: target/performance)
#   BROKER=…          managed, embedded, or the address of a RabbitMQ         (default: auto)
#   WORKLOAD=…        of the comparison                                       (default: gate)
#   PAGE=…            of the run                                              (default: quickstart)
#   PAIRS=N           pairs of trials                                         (default: 10)
#   BASELINE=FOLDER   a run of PAGE to compare the new one with, made on this machine before; without it that step is left out
#   ORDERSTORM=PATH   the program that does all this                          (default: built from the working tree)
#
# In GitHub Actions both comparisons are added to the summary of the step. Exits with the first of: 4 a regression, 3 a promise
# broken in the run, other failures; all steps are made nonetheless.
set -u

base=${1:?"usage: scripts/performance.sh BASE NEW"}
new=${2:?"usage: scripts/performance.sh BASE NEW"}
results=${RESULTS:-target/performance}
broker=${BROKER:-auto}
if [ -z "${ORDERSTORM:-}" ]; then
    cargo build --release --locked || exit 1
    ORDERSTORM=target/release/orderstorm
fi
code=0
# The first failure decides; what comes after it is made all the same, for there is something to look at.
step() {
    "$@"
    came=$?
    [ "$code" -ne 0 ] || code=$came
}

mkdir -p "$results"
step "$ORDERSTORM" ab "${WORKLOAD:-gate}" --base "$base" --new "$new" --pairs "${PAIRS:-10}" --broker "$broker" --results "$results"
step "$ORDERSTORM" run "${PAGE:-quickstart}" --broker "$broker" --results "$results" --quiet
if [ -n "${BASELINE:-}" ]; then
    step "$ORDERSTORM" compare "$BASELINE" latest --results "$results"
fi
exit "$code"
