#!/bin/bash
# nanoGPT's configuration for the characters of Shakespeare, whose published loss on held-out text is 1.4697
# (github.com/karpathy/nanoGPT): 6 layers, 6 heads, width 384, 256 characters, dropout 0.2. For a GPU. The first
# argument is the text, such as input.txt of github.com/karpathy/char-rnn (1.1 MB).
text=$(realpath "${1:?give the file of the text}") && shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && exec cargo run --release -- gpt train data="$text" \
    layers=6 heads=6 width=384 block=256 batch=64 dropout=0.2 steps=5000 lr=1e-3 min_lr=1e-4 warmup=100 beta2=0.99 \
    decay=0.1 clip=1 eval_interval=250 eval_batches=0 "$@"
