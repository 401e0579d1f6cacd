#!/bin/bash
# The periodic Heisenberg chain of 16 sites without Marshall signs, by a complex autoregressive transformer; exact -7.14230.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- train L=16 K=256 steps=200 optimizer=sr lr=0.1 schedule=cosine \
    lambda=1e-3 lambda_end=1e-4 --ptf patch=4 Nh=32 nhead=4 ffn=64 phase=true sector=zero \
    --heisenberg Lx=16 Ly=1 periodic=true "$@"
