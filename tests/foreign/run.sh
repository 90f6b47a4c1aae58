#!/bin/sh
# Test suites and clients that nobody of this project wrote, against a broker.
#
#   tests/foreign/run.sh HOST:PORT [WORK_DIR]
#
# The broker must serve guest/guest on virtual host "/". Everything is fetched by package name from PyPI, npm and
# crates.io into WORK_DIR (default target/foreign) and used from there; nothing of it is committed. amqp-tools must be
# installed (apt-get install amqp-tools) or is reported as skipped, and so is node or cargo.
#
# Each suite runs twice: on the broker, and as a control on a port where nothing listens, because many of these tests
# mock their broker. What counts is the number of passes beyond the control. Exit code 1 when a minimum is missed.
# First run: 5 to 10 minutes, most of it downloads and the build of lapin's tests; later runs: about 4 minutes.
# FOREIGN_SUITES chooses among: py-amqp kombu lapin pika aio-pika amqplib amqp-tools (default: all).
set -u
ADDRESS=${1:?usage: run.sh HOST:PORT [WORK_DIR]}
HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${2:-$HERE/../../target/foreign}
SUITES=${FOREIGN_SUITES:-py-amqp kombu lapin pika aio-pika amqplib amqp-tools}
HOST=${ADDRESS%:*}
PORT=${ADDRESS##*:}
# Port 1 (tcpmux) is free everywhere that matters: connections are refused at once.
NOWHERE=1
mkdir -p "$WORK"
FAILED=0

KOMBU=5.7.0
PY_AMQP=5.4.2
LAPIN=4.12.3

wanted() { case " $SUITES " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

report() { # name passes control minimum
    beyond=$(($2 - $3))
    verdict=ok
    if [ "$beyond" -lt "$4" ]; then verdict=MISSED; FAILED=1; fi
    echo "foreign: $1: $2 passed, $3 without a broker, $beyond beyond the control (minimum $4): $verdict"
}

client() { # name command...
    name=$1
    shift
    if timeout 60 "$@" > "$WORK/$name.log" 2>&1; then
        echo "foreign: $name: ok"
    else
        echo "foreign: $name: FAILED"
        tail -n 20 "$WORK/$name.log"
        FAILED=1
    fi
}

python_environment() {
    if [ ! -x "$WORK/venv/bin/pytest" ]; then
        python3 -m venv "$WORK/venv" || exit 1
        "$WORK/venv/bin/pip" -q install "amqp==$PY_AMQP" "kombu==$KOMBU" 'pytest<9' pytest-rerunfailures pytest-timeout \
            pika aio-pika || exit 1
    fi
}

source_package() { # name version
    if [ ! -d "$WORK/$1-$2" ]; then
        "$WORK/venv/bin/pip" -q download --no-deps --no-binary :all: -d "$WORK" "$1==$2" || exit 1
        tar -xzf "$WORK/$1-$2.tar.gz" -C "$WORK" || exit 1
    fi
}

pytest_passes() { # directory port tests...
    directory=$1
    port=$2
    shift 2
    # The suites run a failed test again up to five times, seconds apart, which the control can do without.
    if [ "$port" = "$NOWHERE" ]; then set -- -p no:rerunfailures "$@"; fi
    # The package under test is the installed one: the sdist's own sources would shadow it.
    (cd "$directory" && RABBITMQ_HOST=$HOST RABBITMQ_5672_TCP=$port \
        timeout 240 "$WORK/venv/bin/pytest" -q -p no:cacheprovider --timeout 30 --no-header -rfE "$@" \
        > "$WORK/pytest-$(basename "$directory")-$port.log" 2>&1)
    sed -n 's/.*[^0-9]\([0-9][0-9]*\) passed.*/\1/p; s/^\([0-9][0-9]*\) passed.*/\1/p' \
        "$WORK/pytest-$(basename "$directory")-$port.log" | tail -n 1 | grep . || echo 0
}

case " $SUITES " in *" py-amqp "* | *" kombu "* | *" pika "* | *" aio-pika "*) python_environment ;; esac

if wanted py-amqp; then
    source_package amqp "$PY_AMQP"
    # TLS is out of scope, and its tests are marked by name.
    passes=$(pytest_passes "$WORK/amqp-$PY_AMQP" "$PORT" t/integration -k "not tls and not ssl")
    control=$(pytest_passes "$WORK/amqp-$PY_AMQP" "$NOWHERE" t/integration -k "not tls and not ssl")
    report "py-amqp $PY_AMQP" "$passes" "$control" "${PY_AMQP_MINIMUM:-12}"
fi

if wanted kombu; then
    source_package kombu "$KOMBU"
    passes=$(pytest_passes "$WORK/kombu-$KOMBU" "$PORT" t/integration/test_py_amqp.py)
    control=$(pytest_passes "$WORK/kombu-$KOMBU" "$NOWHERE" t/integration/test_py_amqp.py)
    report "kombu $KOMBU" "$passes" "$control" "${KOMBU_MINIMUM:-40}"
fi

lapin_passes() { # port
    (cd "$WORK/lapin-$LAPIN" && AMQP_ADDR="amqp://guest:guest@$HOST:$1/%2f" timeout 300 cargo test -q --no-fail-fast \
        --target-dir "$WORK/lapin-target" --tests > "$WORK/lapin-$1.log" 2>&1)
    sed -n 's/.*test result: .* \([0-9][0-9]*\) passed.*/\1/p' "$WORK/lapin-$1.log" | awk '{ sum += $1 } END { print sum + 0 }'
}

if wanted lapin; then
    if command -v cargo > /dev/null; then
        if [ ! -d "$WORK/lapin-$LAPIN" ]; then
            # cargo fetches it like any dependency; the copy is made because a registry source is read-only.
            archive=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "lapin-$LAPIN.crate" | head -n 1)
            [ -n "$archive" ] || { echo "foreign: lapin: run 'cargo fetch' first"; exit 1; }
            tar -xzf "$archive" -C "$WORK" || exit 1
        fi
        passes=$(lapin_passes "$PORT")
        control=$(lapin_passes "$NOWHERE")
        report "lapin $LAPIN" "$passes" "$control" "${LAPIN_MINIMUM:-12}"
    else
        echo "foreign: lapin: skipped, no cargo"
    fi
fi

wanted pika && client pika "$WORK/venv/bin/python" "$HERE/pika_client.py" "$HOST" "$PORT"
wanted aio-pika && client aio-pika "$WORK/venv/bin/python" "$HERE/aio_pika_client.py" "$HOST" "$PORT"

if wanted amqplib; then
    if command -v npm > /dev/null; then
        [ -d "$WORK/node_modules/amqplib" ] || npm --silent --prefix "$WORK" install amqplib > /dev/null || exit 1
        client amqplib env NODE_PATH="$WORK/node_modules" node "$HERE/amqplib_client.js" "$HOST" "$PORT"
    else
        echo "foreign: amqplib: skipped, no npm"
    fi
fi

amqp_tools() {
    uri="amqp://guest:guest@$HOST:$PORT/%2f"
    amqp-declare-queue -u "$uri" -q foreign.tools &&
        amqp-publish -u "$uri" -r foreign.tools -b "from the tools" &&
        [ "$(amqp-get -u "$uri" -q foreign.tools)" = "from the tools" ] &&
        amqp-publish -u "$uri" -r foreign.tools -b "consumed" &&
        [ "$(amqp-consume -u "$uri" -q foreign.tools -c 1 cat)" = "consumed" ] &&
        amqp-delete-queue -u "$uri" -q foreign.tools
}

if wanted amqp-tools; then
    if command -v amqp-publish > /dev/null; then
        if amqp_tools > "$WORK/amqp-tools.log" 2>&1; then
            echo "foreign: amqp-tools: ok"
        else
            echo "foreign: amqp-tools: FAILED"
            cat "$WORK/amqp-tools.log"
            FAILED=1
        fi
    else
        echo "foreign: amqp-tools: skipped, not installed"
    fi
fi
exit $FAILED
