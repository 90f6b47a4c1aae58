#!/bin/sh
# Makes results/baseline/ anew: the reference run that is committed. A release build, the embedded broker, a machine with nothing
# else to do. What is large and can be made again is left out: `orderstorm report results/baseline` draws the other charts, the PNGs and the page.
set -eu
cd "$(dirname "$0")/.."

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT INT TERM
cargo build --release --locked
target/release/orderstorm run quickstart --broker embedded --results "$made" --quiet
run=$(echo "$made"/quickstart-*/)
rm -f "$run"/latency.hlog "$run"/report.html "$run"/manifest.json "$run"/charts/*.png
# Of the charts those stay that the README shows.
for chart in "$run"/charts/*.svg; do
    grep -q "results/baseline/charts/$(basename "$chart")" README.md || rm "$chart"
done
rm -rf results/baseline
mv "$run" results/baseline
du -sh results/baseline
