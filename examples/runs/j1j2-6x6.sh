#!/bin/bash
# The J1-J2 Heisenberg model at J2 = 0.5 on the periodic 6x6 lattice; exact energy per site -0.503810.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train K=1024 steps=800 optimizer=sr lr=0.03 schedule=cosine lambda=1e-3 lambda_end=1e-4 clip=1 \
    --vit patch=2x2 d=36 heads=12 layers=4 --heisenberg L=36 J1=1 J2=0.5 periodic=true "$@"
