#!/bin/bash
# The periodic Heisenberg chain of 16 sites without Marshall signs, by a vision transformer; exact -7.14230.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train K=512 steps=80 optimizer=sr lr=0.05 schedule=cosine lambda=2e-2 lambda_end=1e-3 momentum=0.9 sampling_power=1 clip=0.5 \
    --vit patch=2 d=16 heads=4 layers=2 --heisenberg Lx=16 Ly=1 periodic=true "$@"
