#!/usr/bin/env python3
"""Seconds per training step of a GPT in PyTorch, at a shape of `ketformer gpt train`.

The model is that of nanoGPT (https://github.com/karpathy/nanoGPT) without dropout, reimplemented: learned positions,
pre-norm blocks, causal attention by `scaled_dot_product_attention`, GELU in its tanh form, the projection to the
vocabulary tied to the token embedding. A step draws random windows of a text, computes the mean cross-entropy of the next
token and its gradient, clips the gradient to norm 1, and updates by AdamW with decoupled decay of matrices. The loss of
each step is read back by the host. All arithmetic is in 32-bit floats.

    python3 gpt.py                                     # random tokens, 4 layers, 4 heads, width 128, block 64, batch 12
    python3 gpt.py --text input.txt --steps 2000       # characters of a text; trains and prints the loss of held-out text
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
except ImportError:
    sys.exit("gpt.py: PyTorch is not installed for this Python; `pip install torch numpy`, best in a venv")

BETAS, DECAY, CLIP = (0.9, 0.99), 0.1, 1.0
HELD_OUT = 0.1


@dataclass
class Shape:
    """Sizes of the model and of a batch."""

    layers: int
    heads: int
    width: int
    block: int
    batch: int
    vocabulary: int


class Block(nn.Module):
    """Attention and feed-forward layer, each of a norm of x and added to x."""

    def __init__(self, shape: Shape, bias: bool):
        super().__init__()
        self.heads = shape.heads
        self.ln_1 = nn.LayerNorm(shape.width, bias=bias)
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=bias)
        self.out = nn.Linear(shape.width, shape.width, bias=bias)
        self.ln_2 = nn.LayerNorm(shape.width, bias=bias)
        self.fc = nn.Linear(shape.width, 4 * shape.width, bias=bias)
        self.proj = nn.Linear(4 * shape.width, shape.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.ln_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Logits (B, T, V) of tokens (B, T)."""

    def __init__(self, shape: Shape, bias: bool):
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.block, shape.width)
        self.blocks = nn.ModuleList(Block(shape, bias) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=bias)
        # Initial values of GPT-2: 0.02, smaller for layers whose output is added to x.
        residual = 0.02 / (2 * shape.layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=residual if name.endswith(("out.weight", "proj.weight")) else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def windows(text: Tensor, starts: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) from `starts` on, and the token after each."""
    rows = text[starts[:, None] + torch.arange(block + 1, device=text.device)]
    return rows[:, :-1], rows[:, 1:]


def loss_of(model: Gpt, tokens: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


@torch.no_grad()
def held_out_loss(model: Gpt, text: Tensor, shape: Shape) -> float:
    """Mean over consecutive whole windows."""
    starts = torch.arange(0, len(text) - shape.block - 1, shape.block, device=text.device)
    losses = [loss_of(model, *windows(text, part, shape.block)).item() * len(part) for part in starts.split(64)]
    return sum(losses) / len(starts)


def rate(step: int, arguments: argparse.Namespace) -> float:
    """Linear warm-up, then a cosine to a tenth at the end of the run."""
    if step < arguments.warmup:
        return arguments.lr * (step + 1) / (arguments.warmup + 1)
    done = torch.tensor((step - arguments.warmup) / max(1, arguments.steps - arguments.warmup))
    return arguments.lr * (0.1 + 0.45 * (1 + torch.cos(torch.pi * done).item()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, size in (("layers", 4), ("heads", 4), ("width", 128), ("block", 64), ("batch", 12), ("vocabulary", 65)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--steps", type=int, default=200, help="number of steps that are timed (default 200)")
    parser.add_argument("--untimed", type=int, default=20, help="steps before them (default 20)")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--bias", action="store_true", help="biases, as in GPT-2")
    parser.add_argument("--text", type=Path, help="file of text; its characters are the vocabulary")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--json", type=Path, help="write the result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    shape = Shape(**{name: getattr(arguments, name) for name in Shape.__annotations__})

    if arguments.text:
        characters = arguments.text.read_text(encoding="utf-8")
        alphabet = {character: token for token, character in enumerate(sorted(set(characters)))}
        shape.vocabulary = len(alphabet)
        text = torch.tensor([alphabet[character] for character in characters], device=arguments.device)
    else:
        text = torch.randint(shape.vocabulary, (1_000_000,), device=arguments.device)
    training, held_out = text.split([int(len(text) * (1 - HELD_OUT)), len(text) - int(len(text) * (1 - HELD_OUT))])

    model = Gpt(shape, arguments.bias).to(arguments.device)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.lr, betas=BETAS, fused=True)

    times, losses = [], []
    # With a text, all steps are part of one training run, and the first ones are not timed.
    total = arguments.steps if arguments.text else arguments.untimed + arguments.steps
    for step in range(total):
        start = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = rate(step, arguments)
        starts = torch.randint(len(training) - shape.block, (shape.batch,), device=arguments.device)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model, *windows(training, starts, shape.block))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
        if step >= arguments.untimed:
            times.append(time.perf_counter() - start)

    quartiles = statistics.quantiles(times, n=4)
    result = vars(shape) | {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": len(times),
        "seconds_per_step": quartiles[1],
        "quartiles": [quartiles[0], quartiles[2]],
        "mean_seconds_per_step": statistics.fmean(times),
        "tokens_per_second": shape.batch * shape.block / quartiles[1],
        "last_loss": losses[-1],
        "held_out_loss": held_out_loss(model, held_out, shape) if arguments.text else None,
        "threads": torch.get_num_threads(),
        "device": arguments.device,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    print(
        f"PyTorch {torch.__version__}, {result['threads']} threads, {result['parameters']} parameters: "
        f"median {1e3 * quartiles[1]:.1f} ms per step (quartiles {1e3 * quartiles[0]:.1f} to {1e3 * quartiles[2]:.1f}), "
        f"{result['tokens_per_second']:.0f} tokens/s, last loss {losses[-1]:.3f}"
        + (f", held-out loss {result['held_out_loss']:.4f}" if arguments.text else "")
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
