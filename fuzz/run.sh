#!/bin/sh
# Fuzzes the embedded broker with libFuzzer on stable Rust: the instrumentation that cargo-fuzz asks nightly for is in every
# compiler; only the address sanitizer is not, and the code under test has no unsafe to look for.
#
#   fuzz/run.sh SECONDS [libFuzzer options]
#
# New inputs go to target/fuzz/corpus, findings to target/fuzz/artifacts. The committed corpus is read, not written; to renew
# it: fuzz/run.sh 0 -merge=1, which leaves in target/fuzz/merged what a smaller corpus needs.
set -eu
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/run.sh SECONDS [libFuzzer options]}
shift
out=$(pwd)/../target/fuzz
mkdir -p "$out/corpus" "$out/artifacts" "$out/merged"
host=$(rustc -vV | sed -n 's/^host: //p')

# With --target the flags reach the code, and not the build scripts.
RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --quiet --release --target "$host" --target-dir "$out/target" --bin embedded_bytes

case " $* " in
*" -merge=1 "*) directories="$out/merged $out/corpus corpus/embedded_bytes" ;;
*) directories="$out/corpus corpus/embedded_bytes" ;;
esac
# shellcheck disable=SC2086 # several directories
exec "$out/target/$host/release/embedded_bytes" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$out/artifacts/" -print_final_stats=1 "$@" $directories
