#!/bin/sh
# fuzz.sh CARGO SECONDS TARGET...: fuzzes each target for so long, from its corpus in tests/fuzz
# on; what it finds on the way stays in target/fuzz. Fails where an input does.
set -e
cd "$(dirname "$0")/../.."
cargo=$1 seconds=$2
shift 2
export PATH="$PWD/target/tools/bin:$PATH"
if ! command -v cargo-fuzz >/dev/null &&
    ! "$cargo" install --quiet --locked --root target/tools cargo-fuzz@0.13.2; then
    echo "fuzz: cargo-fuzz cannot be had; cargo test --lib fuzz runs the targets over their corpora" >&2
    exit 1
fi
# Without a sanitizer, for nothing here is unsafe, a stable toolchain does.
"$cargo" fuzz build --sanitizer none --fuzz-dir tests/fuzz --target-dir target/fuzz
fuzzer=$(echo "$PWD"/target/fuzz/*/release/fuzzer)
# Where that is in memory: some targets write files for each input.
if [ -z "$TMPDIR" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
failed=
for target; do
    found=target/fuzz/found/$target
    mkdir -p "$found"
    log=$found.log
    if HERMES_GW_FUZZ=$target "$fuzzer" -max_total_time="$seconds" -timeout=60 \
        -dict=tests/fuzz/dictionary -artifact_prefix="$found-" -print_final_stats=1 \
        "$found" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
        # Whoever was not there to compare with.
        grep -a SKIPPED "$log" || :
        inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "$target: $inputs inputs, $(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1) places covered"
    else
        failed="$failed $target"
        grep -a -A 3 -e panicked -e ERROR: "$log" >&2 || tail -n 5 "$log" >&2
        echo "fuzz: once more: HERMES_GW_FUZZ=$target $fuzzer $(sed -n 's/.* written to //p' "$log" | head -n 1)" >&2
    fi
done
[ -z "$failed" ] || { echo "fuzz: FAILED:$failed" >&2; exit 1; }
