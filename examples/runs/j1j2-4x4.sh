#!/bin/bash
# The J1-J2 Heisenberg model at J2 = 0.5 on the periodic 4x4 lattice, without Marshall signs; exact energy -8.45792. An hour on
# two cores: 1200 steps to 1e-3, and 150 more with a smaller shift.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
train() {
    cargo run --release -- train K=1024 optimizer=sr schedule=cosine lambda_end=1e-3 momentum=0.9 sampling_power=1 clip=0.5 "$@" \
        --vit patch=2x2 d=16 heads=4 layers=2 --heisenberg L=16 J1=1 J2=0.5 periodic=true
}
train steps=1200 lr=0.05 lambda=2e-2 --out out/j1j2-4x4
train steps=150 lr=0.03 lambda=2e-3 --out out/j1j2-4x4-more --weights out/j1j2-4x4/model.safetensors
