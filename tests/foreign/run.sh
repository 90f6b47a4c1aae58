#!/bin/sh
# Test suites and clients that nobody of this project wrote, against a broker.
#
#   tests/foreign/run.sh HOST:PORT [WORK_DIR]
#
# The broker must serve guest/guest on virtual host "/", and be fresh: the suites leave queues behind. Everything is
# fetched by package name from PyPI, npm and crates.io into WORK_DIR (default target/foreign) and used from there; nothing
# of it is committed. The Go client and amqp-tools are Debian's (golang-go, golang-github-rabbitmq-amqp091-go-dev,
# amqp-tools). What a missing tool keeps from running is reported as skipped, or fails with FOREIGN_REQUIRED=1.
#
# Each suite runs twice: on the broker, and at the same time as a control on a port where nothing listens, because many of
# these tests mock their broker. What counts is the number of passes beyond the control; a client must fail there.
# Exit code 1 when a suite passes fewer tests than it does on RabbitMQ, or a client fails.
#
# First run: about 3 minutes on two idle cores, a good part of it the build of lapin's tests; later runs: one.
# FOREIGN_SUITES chooses among: py-amqp kombu lapin pika aio-pika amqplib amqp091-go amqp-tools (default: all).
set -u
ADDRESS=${1:?usage: run.sh HOST:PORT [WORK_DIR]}
HERE=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${2:-$HERE/../../target/foreign}"
WORK=$(cd "${2:-$HERE/../../target/foreign}" && pwd)
SUITES=${FOREIGN_SUITES:-py-amqp kombu lapin pika aio-pika amqplib amqp091-go amqp-tools}
HOST=${ADDRESS%:*}
PORT=${ADDRESS##*:}
# Port 1 (tcpmux) is free everywhere that matters: connections are refused at once.
NOWHERE=1
FAILED=0

PY_AMQP=5.4.2
KOMBU=5.7.0
LAPIN=4.12.3
AMQPLIB=2.3.1
# Where Debian puts the sources of Go packages.
GO_SOURCES=/usr/share/gocode

wanted() { case " $SUITES " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

fail() {
    echo "foreign: $1"
    FAILED=1
}

skip() { # name what-is-missing
    if [ "${FOREIGN_REQUIRED:-0}" = 1 ]; then fail "$1: FAILED: no $2"; else echo "foreign: $1: skipped, no $2"; fi
}

# ── suites ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

report() { # name passes passes-on-RabbitMQ control beyond-at-least
    beyond=$(($2 - $4))
    line="$1: $2 of $3 passed, $4 without a broker, $beyond beyond the control (at least $5)"
    if [ "$2" -lt "$3" ] || [ "$beyond" -lt "$5" ]; then
        fail "$line: MISSED"
        return 1
    fi
    echo "foreign: $line: ok"
}

python_environment() {
    [ -x "$WORK/venv/bin/pytest" ] && [ -e "$WORK/venv/complete" ] && return
    python3 -m venv "$WORK/venv" &&
        "$WORK/venv/bin/pip" -q install "amqp==$PY_AMQP" "kombu==$KOMBU" pytest==8.4.2 pytest-rerunfailures==16.7 \
            pytest-timeout==2.4.0 pytest-xdist==3.8.0 pika==1.4.4 aio-pika==10.2.1 &&
        touch "$WORK/venv/complete"
}

source_package() { # name version
    [ -d "$WORK/$1-$2" ] && return
    "$WORK/venv/bin/pip" -q download --no-deps --no-binary "$1" -d "$WORK" "$1==$2" &&
        tar -xzf "$WORK/$1-$2.tar.gz" -C "$WORK"
}

run_pytest() { # directory port options...
    directory=$1
    port=$2
    shift 2
    # The package under test is the installed one: the source package's own files would shadow it.
    cd "$WORK/$directory" && RABBITMQ_HOST=$HOST RABBITMQ_5672_TCP=$port timeout 240 "$WORK/venv/bin/pytest" -q \
        -p no:cacheprovider --timeout 30 --no-header -rfE "$@" > "$WORK/$directory-$port.log" 2>&1
}

pytest_passes() { # directory port
    sed -n 's/.*[^0-9]\([0-9][0-9]*\) passed.*/\1/p; s/^\([0-9][0-9]*\) passed.*/\1/p' "$WORK/$1-$2.log" | tail -n 1 | grep . ||
        echo 0
}

python_suite() { # name version passes-on-RabbitMQ beyond-at-least options...
    name=$1 version=$2 most=$3 least=$4
    shift 4
    if ! source_package "$name" "$version"; then
        fail "$name: FAILED: its source package could not be had"
        return
    fi
    # A failed test takes its time-outs, and the suites repeat it, seconds apart: the control is spread and does not.
    (run_pytest "$name-$version" "$NOWHERE" -p no:rerunfailures -n 10 "$@") &
    (run_pytest "$name-$version" "$PORT" -p no:xdist "$@")
    wait $!
    report "$name $version" "$(pytest_passes "$name-$version" "$PORT")" "$most" \
        "$(pytest_passes "$name-$version" "$NOWHERE")" "$least" || tail -n 20 "$WORK/$name-$version-$PORT.log"
}

lapin_source() {
    [ -d "$WORK/lapin-$LAPIN" ] && return
    # cargo fetches it like any dependency; the copy is made because a registry's sources are read-only.
    archive=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "lapin-$LAPIN.crate" 2> /dev/null | head -n 1)
    [ -n "$archive" ] && tar -xzf "$archive" -C "$WORK"
}

# Without TLS, which is out of scope, and without debug information, to be built sooner.
lapin_tests() { # options...
    cd "$WORK/lapin-$LAPIN" && CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 timeout 1200 cargo test -q --no-fail-fast \
        --no-default-features --features tokio --target-dir "$WORK/lapin-target" --tests "$@"
}

lapin_passes() { # port
    (AMQP_ADDR="amqp://guest:guest@$HOST:$1/%2f" lapin_tests > "$WORK/lapin-$1.log" 2>&1)
    sed -n 's/.*test result: .* \([0-9][0-9]*\) passed.*/\1/p' "$WORK/lapin-$1.log" | awk '{ sum += $1 } END { print sum + 0 }'
}

# Building takes both processors for a minute, in which the Python suites mostly sleep.
lapin_build() {
    lapin_source || echo "no lapin-$LAPIN.crate among cargo's; run 'cargo fetch'"
    lapin_tests --no-run
}

lapin_suite() {
    if ! command -v cargo > /dev/null; then
        skip lapin cargo
    elif ! wait "$LAPIN_BUILD"; then
        fail "lapin: FAILED: its tests do not build"
        tail -n 20 "$WORK/lapin-build.log"
    else
        report "lapin $LAPIN" "$(lapin_passes "$PORT")" 34 "$(lapin_passes "$NOWHERE")" 12 ||
            tail -n 20 "$WORK/lapin-$PORT.log"
    fi
}

# ── clients ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

client() { # name command... ; HOST and PORT are added
    name=$1
    shift
    if ! timeout 60 "$@" "$HOST" "$PORT" > "$WORK/$name.log" 2>&1; then
        fail "$name: FAILED"
        tail -n 20 "$WORK/$name.log"
    elif timeout 5 "$@" "$HOST" "$NOWHERE" > "$WORK/$name-$NOWHERE.log" 2>&1; then
        fail "$name: FAILED: it also passes without a broker"
    else
        echo "foreign: $name: ok"
    fi
}

amqplib_client() {
    if ! command -v npm > /dev/null; then
        skip amqplib npm
    elif [ ! -d "$WORK/node_modules/amqplib" ] &&
        ! npm --silent --prefix "$WORK" install "amqplib@$AMQPLIB" > "$WORK/npm.log" 2>&1; then
        fail "amqplib: FAILED: it could not be had"
        tail -n 20 "$WORK/npm.log"
    else
        client amqplib env NODE_PATH="$WORK/node_modules" node "$HERE/amqplib_client.js"
    fi
}

go_client() {
    if ! command -v go > /dev/null; then
        skip amqp091-go go
    elif [ ! -d "$GO_SOURCES/src/github.com/rabbitmq/amqp091-go" ]; then
        skip amqp091-go golang-github-rabbitmq-amqp091-go-dev
    elif ! GO111MODULE=off GOFLAGS= GOPATH=$GO_SOURCES go build -o "$WORK/amqp091_client" "$HERE/amqp091_client.go" \
        > "$WORK/go.log" 2>&1; then
        fail "amqp091-go: FAILED: it does not build"
        tail -n 20 "$WORK/go.log"
    else
        client amqp091-go "$WORK/amqp091_client"
    fi
}

tools_client() {
    if command -v amqp-publish > /dev/null; then client amqp-tools sh "$HERE/amqp_tools_client.sh"; else skip amqp-tools amqp-tools; fi
}

if wanted lapin; then
    (lapin_build > "$WORK/lapin-build.log" 2>&1) &
    LAPIN_BUILD=$!
fi
case " $SUITES " in
*" py-amqp "* | *" kombu "* | *" pika "* | *" aio-pika "*)
    python_environment || {
        fail "python: FAILED: the packages could not be installed"
        exit 1
    }
    ;;
esac
# TLS is out of scope, and its tests are marked by name.
wanted py-amqp && python_suite amqp "$PY_AMQP" 48 12 t/integration -k "not tls and not ssl"
wanted kombu && python_suite kombu "$KOMBU" 51 40 t/integration/test_py_amqp.py
wanted lapin && lapin_suite
wanted pika && client pika "$WORK/venv/bin/python" "$HERE/pika_client.py"
wanted aio-pika && client aio-pika "$WORK/venv/bin/python" "$HERE/aio_pika_client.py"
wanted amqplib && amqplib_client
wanted amqp091-go && go_client
wanted amqp-tools && tools_client
exit $FAILED
