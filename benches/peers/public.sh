#!/bin/bash
# Seconds per training step of ketformer and of the public PyTorch code of arXiv:2306.03921, alternating.
#
#   public.sh KETFORMER PYTHON CHECKOUT [SHORT LONG [COMMAND...]]
#
# KETFORMER   the program, such as ../../target/release/ketformer
# PYTHON      a Python with torch and numpy
# CHECKOUT    a clone of https://github.com/APRIQuOt/VMC_with_LPTFs
# SHORT LONG  numbers of steps of two runs; the difference of their times counts: 5 45
# COMMAND     rest of the command line, the same for both programs:
#             L=16 NLOOPS=1 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=1 Omega=1
#
# Prints wall seconds and CPU seconds (user and system) per step, and the peak memory, of each program, in two rounds.
# PyTorch runs with one and with two threads. CPU names are vague: the family and model of `lscpu` are printed first.
set -euo pipefail

[ $# -ge 3 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
ketformer=$(realpath "$1") python=$2 checkout=$(realpath "$3")
short=${4:-5} long=${5:-45}
command=("${@:6}")
[ ${#command[@]} -gt 0 ] || command=(L=16 NLOOPS=1 --ptf patch=2x2 Nh=32 nhead=8 --rydberg V=7 delta=1 Omega=1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$folder}

lscpu | grep -E '^(Vendor ID|CPU family|Model|Thread|Core|CPU\(s\)):' | tr -s ' ' | paste -sd ';'

# Arguments: NAME, then the command without steps=. Prints its time per step from both numbers of steps.
measure() {
    local name=$1
    shift
    for steps in "$short" "$long"; do
        /usr/bin/time -o "$folder/time-$steps" -f '%e %U %S %M' "$@" "steps=$steps" "${command[@]}" >"$folder/log" 2>&1 || {
            tail -5 "$folder/log" >&2
            exit 1
        }
    done
    paste -d ' ' "$folder/time-$short" "$folder/time-$long" | awk -v name="$name" -v steps=$((long - short)) '{
        printf "%-22s %7.3f s wall, %7.3f s CPU a step; peak %d MB\n", name, ($5-$1)/steps, ($6+$7-$2-$3)/steps, $8/1024
    }'
}

for round in 1 2; do
    (cd "$folder" && measure ketformer "$ketformer" train --quiet)
    for threads in 1 2; do
        (cd "$checkout" && measure "public, $threads threads" env OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads \
            "$python" train.py --train "dir=$folder/public-$round-$threads")
    done
done
