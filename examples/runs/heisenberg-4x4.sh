#!/bin/bash
# The Heisenberg model on the periodic 4x4 lattice with Marshall signs, by a restricted Boltzmann machine; exact energy -11.22848.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train K=2048 steps=500 optimizer=sr lr=0.08 schedule=cosine lambda=1e-2 lambda_end=1e-4 clip=0.5 sampling_power=1 \
    --rbm alpha=8 proposal=exchange --heisenberg L=16 periodic=true marshall=true "$@"
