#!/bin/bash
# The J1-J2 Heisenberg model at J2 = 0.5 on the periodic 4x4 lattice, without Marshall signs; exact energy -8.45792.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train K=512 steps=400 optimizer=sr lr=0.05 schedule=cosine lambda=1e-3 lambda_end=1e-4 clip=1 \
    --vit patch=2x2 d=24 heads=6 layers=2 --heisenberg L=16 J1=1 J2=0.5 periodic=true "$@"
