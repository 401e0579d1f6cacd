#!/usr/bin/env bash
# Runs all measurements of interest on a new GPU, in less than ten minutes, on a Linux machine with a Vulkan driver and
# Rust:
#
#     benches/gpu.sh
#
# The results are written to docs/benchmarks/NAME-OF-CARD. Each section has a time limit. If a section fails, the others
# still run, and it is listed at the end.
set -uo pipefail

usage() {
    cat <<'TEXT'
Usage: benches/gpu.sh [OPTIONS]

Builds ketformer, checks every kernel on this machine's adapter, and measures kernels and training steps; PyTorch's too
where python3 has torch. Results go into docs/benchmarks/NAME-OF-CARD.

  --adapter NAME   adapter by its index or a part of its name, as `ketformer devices` prints them
  --name NAME      folder for the results instead of the card's name
  --out DIR        parent of that folder (default: docs/benchmarks)
  --minutes N      time for everything (default: 10); sections that no longer fit are left out and named
  --limit SECONDS  time for a section at most; the build keeps its own limit
  --runs N         timed runs of each row (default: 20)
  --sites "L ..."  sizes of training steps (default: "16 64 144 256"), 256 samples, width 32
  --python PYTHON  Python with torch (default: python3)
  --no-python      leave PyTorch out
  --peers          compare with burn too: builds it first, which takes minutes
  --help           this

Exit code 0 where every section passed, 1 where one failed, 2 for a wrong option.
TEXT
}

say() { printf '\n==> %s\n' "$*"; }

wrong() {
    echo "gpu.sh: $*; see benches/gpu.sh --help" >&2
    exit 2
}

whole() {
    case "$2" in
    '' | *[!0-9]* | 0) wrong "$1 takes a whole number of at least 1, got \`$2\`" ;;
    esac
}

out=docs/benchmarks name='' minutes=10 limit='' runs=20 sites='16 64 144 256' python=python3 peers=no
while [ $# -gt 0 ]; do
    case "$1" in
    --no-python) python='' ;;
    --peers) peers=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    --adapter | --name | --out | --minutes | --limit | --runs | --sites | --python)
        [ $# -ge 2 ] || wrong "$1 takes a value"
        case "$1" in
        --adapter) export KETFORMER_ADAPTER="$2" ;;
        --name) name="$2" ;;
        --out) out="$2" ;;
        --minutes) whole "$1" "$2" && minutes="$2" ;;
        --limit) whole "$1" "$2" && limit="$2" ;;
        --runs) whole "$1" "$2" && runs="$2" ;;
        --sites) sites="$2" ;;
        --python) python="$2" ;;
        esac
        shift
        ;;
    *) wrong "there is no option \`$1\`" ;;
    esac
    shift
done
for size in $sites; do whole --sites "$size"; done

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)" || exit 1
case "$out" in /*) ;; *) out="$here/$out" ;; esac
cd "$here" || exit 1

command -v cargo >/dev/null || {
    echo "gpu.sh: there is no cargo; install Rust from https://rustup.rs" >&2
    exit 1
}
command -v timeout >/dev/null || {
    echo "gpu.sh: there is no timeout; install coreutils" >&2
    exit 1
}

# The Vulkan loader prints a warning if there is no runtime folder.
scratch="$(mktemp -d)" || exit 1
running=''
trap 'rm -rf "$scratch"' EXIT
trap '[ -z "$running" ] || kill "$running"; exit 130' INT TERM
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$scratch}"

begin=$SECONDS
failures=()
sections=0

# section TITLE SECONDS COMMAND...: runs the command within its limit and within the remaining time.
section() {
    local title="$1" seconds="$2" left=$((60 * minutes - (SECONDS - begin)))
    shift 2
    sections=$((sections + 1))
    if [ "$left" -lt 5 ]; then
        failures+=("$title: not begun, the $minutes minutes are over; give --minutes more")
        say "$title: left out, the time is over"
        return 1
    fi
    [ "$seconds" -le "$left" ] || seconds=$left
    say "$title (at most $seconds s)"
    local start=$SECONDS code=0
    # In the background, so that Ctrl-C does not wait for the section to end.
    timeout --kill-after=10 "$seconds" "$@" &
    running=$!
    wait "$running" || code=$?
    running=''
    case $code in
    0) say "$title: done in $((SECONDS - start)) s" ;;
    124 | 137) failures+=("$title: stopped after $seconds s") ;;
    *) failures+=("$title: failed with exit code $code") ;;
    esac
    [ $code -eq 0 ] || say "${failures[-1]}"
    return $code
}

# The same, with the limit given on the command line.
measured() {
    local title="$1" seconds="$2"
    shift 2
    if [ -n "$limit" ] && [ "$seconds" -gt "$limit" ]; then seconds=$limit; fi
    section "$title" "$seconds" "$@"
}

finish() {
    say "$((SECONDS - begin)) s for $sections sections; the results are in ${folder:-nowhere}"
    [ ${#failures[@]} -eq 0 ] && exit 0
    echo "gpu.sh: ${#failures[@]} of $sections sections failed:" >&2
    printf '  %s\n' "${failures[@]}" >&2
    exit 1
}

section build 360 cargo build --release --locked || finish
target="${CARGO_TARGET_DIR:-target}"
case "$target" in /*) ;; *) target="$here/$target" ;; esac
ketformer="$target/release/ketformer"

kept() { # kept FILE COMMAND...: prints the output of the command and saves it
    local file="$1"
    shift
    "$@" 2>&1 | tee "$file"
    return "${PIPESTATUS[0]}"
}
export -f kept

measured devices 30 bash -c 'kept "$@"' - "$scratch/devices.txt" "$ketformer" devices || finish

# The name of the card is that of the rows, otherwise that of the first adapter: "NVIDIA H200" becomes nvidia-h200.
measured limits 60 "$ketformer" bench limits --runs "$runs" --json "$scratch/limits.json"
if [ -z "$name" ]; then
    adapter=''
    if [ -s "$scratch/limits.json" ]; then
        adapter="$(sed -n 's/^ *"adapter": "\(.*\)",$/\1/p' "$scratch/limits.json" | head -n 1)"
    fi
    [ -n "$adapter" ] || adapter="$(sed -n '1s/^[0-9]* *//p' "$scratch/devices.txt")"
    case "$adapter" in llvmpipe*) adapter=lavapipe ;; esac
    name="$(printf '%s' "$adapter" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//')"
fi
folder="$out/${name:-unnamed}"
mkdir -p "$folder" || {
    failures+=("results: $folder cannot be made")
    folder=''
    finish
}
cp "$scratch/devices.txt" "$folder/devices.txt"
[ ! -s "$scratch/limits.json" ] || mv "$scratch/limits.json" "$folder/limits.json"

measured doctor 120 bash -c 'kept "$@"' - "$folder/doctor.txt" "$ketformer" doctor
if "$ketformer" help | grep -q '^ *tune '; then
    measured tune 120 bash -c 'kept "$@"' - "$folder/tune.txt" "$ketformer" tune
fi
for subject in attention matmul norm categorical connected; do
    measured "bench $subject" 60 "$ketformer" bench "$subject" --runs "$runs" --json "$folder/$subject.json"
done
for size in $sites; do
    # The prediction for this card, if its figures are known, next to the measurement.
    if "$ketformer" bench model --shape "${size}x256x32" >"$scratch/model.txt" 2>/dev/null; then
        tee "$folder/model-L$size.txt" <"$scratch/model.txt"
    fi
    measured "bench step L=$size" 90 \
        "$ketformer" bench step --shape "${size}x256x32" --runs "$runs" --json "$folder/step-L$size.json"
done

if [ "$peers" = yes ]; then
    if section "burn build" 360 cargo build --release --locked --manifest-path benches/peers/Cargo.toml; then
        compare="${CARGO_TARGET_DIR:-benches/peers/target}/release/ketformer-peers"
        adapter=()
        [ -z "${KETFORMER_ADAPTER:-}" ] || adapter=(--adapter "$KETFORMER_ADAPTER")
        measured burn 180 "$compare" --runs "$runs" "${adapter[@]}" --json "$folder/burn.json"
    fi
fi

if [ -z "$python" ]; then
    say "PyTorch: left out as requested"
elif ! "$python" -c 'import torch' 2>/dev/null; then
    say "PyTorch: $python has no torch; left out (pip install torch numpy, or --python PYTHON)"
else
    device="$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')"
    # Full flips cost the square of the number of sites: they run only on the first lattice.
    first="${sites%% *}" others=()
    for size in ${sites#"$first"}; do others+=(--step "${size}x256x32"); done
    measured "PyTorch on $device" 120 "$python" benches/peers/pytorch.py --device "$device" --runs "$runs" \
        --step "${first}x256x32" --json "$folder/pytorch-$device.json"
    if [ ${#others[@]} -gt 0 ]; then
        measured "PyTorch on $device, other steps" 120 "$python" benches/peers/pytorch.py step --device "$device" \
            --runs "$runs" --no-full "${others[@]}" --json "$folder/pytorch-$device-steps.json"
    fi
fi

finish
