#!/bin/bash
# The J1-J2 Heisenberg model at J2 = 0.5 on the periodic 6x6 lattice; exact energy per site -0.503810. About
# three hours on two cores; see the README for how far it comes.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train K=1024 steps=1500 optimizer=sr lr=0.05 schedule=cosine lambda=2e-2 lambda_end=1e-3 momentum=0.9 sampling_power=1 clip=0.5 \
    --vit patch=2x2 d=16 heads=4 layers=2 sweeps=2 --heisenberg L=36 J1=1 J2=0.5 periodic=true marshall=true "$@"
