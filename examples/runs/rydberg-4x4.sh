#!/bin/bash
# 4x4 Rydberg atoms (V = 7, delta = Omega = 1) by stochastic reconfiguration; exact energy -7.25461.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train L=16 K=4096 steps=150 optimizer=sr lr=0.1 schedule=cosine lambda=1e-2 lambda_end=1e-4 clip=0.3 \
    --ptf patch=2x2 Nh=32 nhead=4 ffn=64 --rydberg V=7 delta=1 Omega=1 "$@"
