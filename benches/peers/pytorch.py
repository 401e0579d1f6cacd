#!/usr/bin/env python3
"""PyTorch benchmarks at the shapes of the comparison with burn: attention, matrix products, and the same training step.

The training step is that of `ketformer train`, reimplemented in PyTorch from the same mathematics: a patched
transformer P(patch | earlier patches), Psi = sqrt(P), sampled with a cache of keys and values, the local energy of a
Rydberg array over all single flips, the gradient of <E>, Adam. Flips are computed in two ways, timed as two rows:

* `shared prefix`: a flip in patch i changes neither the earlier patches nor the logits of patch i. Only the later
  patches are recomputed, with the sample's cached keys and values. This is what `ketformer` does.
* `in full`: every flipped configuration goes through the whole transformer, as in the public code of arXiv:2306.03921.

Samples are not deduplicated. All arithmetic is in 32-bit floats; PyTorch's default leaves TF32 off for products.

Everything is checked before it is timed. Attention and products are compared with 64-bit floats. For the training step,
the checks are: probabilities sum to one; the probabilities of the sampler are those of the forward pass; both ways of
flipping agree with brute force; local energies are those of the Hamiltonian as a matrix; the gradient is that of the
exact energy.

The JSON file is one of `ketformer bench`, for `ketformer bench report`.

    python3 pytorch.py --device cpu --runs 10 --json pytorch.json
    python3 pytorch.py --suite short --suite standard --threads 2
    python3 pytorch.py step --step 64x256x32 --device cuda
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
except ImportError:
    sys.exit("pytorch.py: PyTorch is not installed for this Python; `pip install torch numpy`, best in a venv")

MATMUL = [(512, 512, 512), (4096, 128, 512), (16384, 32, 2048), (16384, 2048, 32)]
STEP = [(16, 256, 32)]

RUN_MS = 50.0
"""Minimum duration of a timed run in milliseconds, so that the wait at its end is a small part."""

MOST_CALLS = 256
"""Maximum number of calls per run."""

TOLERANCE = 1e-4
"""Maximum error of attention and products, relative to the largest magnitude."""

REPEATS = 10
"""Number of runs with the same inputs whose bits are compared."""

REFERENCE_WORK = 2e9
"""Multiply-adds of references of attention in 64-bit floats; at least one group of heads is compared."""

FLIP_ELEMENTS = 1 << 27
"""Maximum number of elements of the widest activation in a batch of flips; samples are processed in chunks."""


# Problems


@dataclass(frozen=True)
class Problem:
    """Attention of queries (B, H, S, D) over keys and values (B, HK, SK, D)."""

    b: int
    h: int
    hk: int
    s: int
    sk: int
    d: int
    mask: str = "causal"

    @property
    def pairs(self) -> float:
        """Pairs of a query and a key that it sees; the last query is at the last key."""
        seen = self.s * (self.sk - self.s + (self.s + 1) / 2) if self.mask == "causal" else self.s * self.sk
        return self.b * self.h * seen

    def __str__(self) -> str:
        heads = f"{self.h}" if self.h == self.hk else f"{self.h}/{self.hk}"
        positions = f"{self.s}" if self.s == self.sk else f"{self.s}:{self.sk}"
        return f"{self.b}x{heads}x{positions}x{self.d}"


def square(b: int, h: int, s: int, d: int, mask: str = "causal") -> Problem:
    """As many queries as keys, and as many heads of them."""
    return Problem(b, h, h, s, s, d, mask)


SUITES = {
    "short": [
        square(2048, 4, 16, 16),
        square(1024, 8, 16, 16),
        square(512, 8, 36, 16),
        square(256, 8, 64, 16),
        square(64, 8, 144, 32),
    ],
    "standard": [
        square(8, 12, 128, 64, "full"),
        square(1, 4, 512, 64),
        square(4, 12, 1024, 64),
        square(1, 8, 512, 80),
        square(1, 8, 512, 96),
        square(1, 8, 512, 128),
        square(1, 4, 512, 256),
    ],
    "long": [Problem(1, 32, 8, 2048, 2048, 128), square(1, 8, 4096, 64)],
    "decode": [
        Problem(1, 32, 8, 1, 1024, 128, "full"),
        Problem(1, 32, 8, 1, 4096, 128, "full"),
        Problem(1, 32, 8, 1, 16384, 128, "full"),
        Problem(8, 12, 12, 1, 1024, 64, "full"),
        Problem(8, 12, 12, 1, 4096, 64, "full"),
    ],
}
"""Shapes of attention, those of the comparison with burn."""


# The wave function


@dataclass(frozen=True)
class Lattice:
    """Square lattice divided into blocks of px x py sites; site s = x * side + y."""

    side: int
    px: int = 2
    py: int = 2

    @property
    def sites(self) -> int:
        return self.side * self.side

    @property
    def patches(self) -> int:
        """T, the number of patches."""
        return self.sites // (self.px * self.py)

    @property
    def sites_per_patch(self) -> int:
        """P, the number of sites per patch."""
        return self.px * self.py

    def site_of(self) -> list[list[int]]:
        """Site of element j of patch t, both in row-major order."""
        columns = self.side // self.py
        return [
            [
                (t // columns * self.px + j // self.py) * self.side + t % columns * self.py + j % self.py
                for j in range(self.sites_per_patch)
            ]
            for t in range(self.patches)
        ]

    def position_table(self, width: int) -> Tensor:
        """Positional encoding (T, C) of the public code of arXiv:2306.03921: sines and cosines of both coordinates in
        the first three quarters of the channels, with the exponents of that code."""
        n = 3 * width // 4
        table = torch.zeros(self.patches, width, dtype=torch.float64)
        for t in range(self.patches):
            for offset, coordinate in ((0, t // (self.side // self.py)), (2, t % (self.side // self.py))):
                for i in range(0, n, 4):
                    table[t, i + offset] = math.sin(coordinate / 10000 ** (2 * i / n))
                    table[t, i + offset + 1] = math.cos(coordinate / 10000 ** (2 * (i + 1) / n))
        return table


class Layer(nn.Module):
    """Causal attention and a feed-forward part, each followed by a residual connection and normalization."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm2 = nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of rows (B, n, C), each (B, H, n, D)."""
        b, n, width = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def close(self, x: Tensor, attended: Tensor) -> Tensor:
        """Rest of the layer after attention; x (B, n, C), attended (B, H, n, D)."""
        x = self.norm1(x + self.out(attended.transpose(1, 2).reshape(x.shape)))
        return self.norm2(x + self.down(F.relu(self.up(x))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Output rows (B, T, C) of the layer with their keys and values (B, H, T, D)."""
        q, k, v = self.split(x)
        return self.close(x, F.scaled_dot_product_attention(q, k, v, is_causal=True)), k, v


Cache = list[tuple[Tensor, Tensor]]
"""Keys and values (B, H, T, D) of each layer."""


class Ptf(nn.Module):
    """P(outcome of patch t | outcomes of the earlier patches); a token is an outcome, whose bit j is element j."""

    def __init__(self, lattice: Lattice, width: int, heads: int = 8, hidden: int = 2048, layers: int = 2) -> None:
        super().__init__()
        self.lattice = lattice
        outcomes = 1 << lattice.sites_per_patch
        self.embed = nn.Linear(lattice.sites_per_patch, width)
        self.layers = nn.ModuleList(Layer(width, heads, hidden) for _ in range(layers))
        # All layers are initialized as copies of the first.
        for layer in self.layers[1:]:
            layer.load_state_dict(self.layers[0].state_dict())
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outcomes))
        bits = torch.tensor([[token >> j & 1 for j in range(lattice.sites_per_patch)] for token in range(outcomes)])
        self.register_buffer("bits", bits.float())
        self.register_buffer("position", lattice.position_table(width).float())
        self.register_buffer("site_of", torch.tensor(lattice.site_of()))

    def inputs(self, before: Tensor, first: int = 0) -> Tensor:
        """Embedded rows (B, n, C) of the previous tokens (B, n), at the positions starting at `first`."""
        return torch.tanh(self.embed(self.bits[before])) + self.position[first : first + before.shape[1]]

    @staticmethod
    def shifted(tokens: Tensor) -> Tensor:
        """Previous token of each position; the empty patch for the first."""
        return F.pad(tokens[:, :-1], (1, 0))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Cache]:
        """Logits (B, T, V) of all patches of tokens (B, T), and the cache."""
        x = self.inputs(self.shifted(tokens))
        cache: Cache = []
        for layer in self.layers:
            x, k, v = layer(x)
            cache.append((k, v))
        return self.head(x), cache

    def log_prob(self, tokens: Tensor) -> Tensor:
        """log P (B) of tokens (B, T)."""
        return chosen(self.forward(tokens)[0], tokens).sum(1)

    @torch.no_grad()
    def sample(self, samples: int) -> tuple[Tensor, Tensor, Tensor, Cache]:
        """Tokens (B, T), log P (B), logits (B, T, V) and the cache, drawn patch by patch with that cache."""
        t, device, dtype = self.lattice.patches, self.position.device, self.position.dtype
        tokens = torch.zeros(samples, t, dtype=torch.long, device=device)
        logits = torch.empty(samples, t, len(self.bits), device=device, dtype=dtype)
        width = self.position.shape[1]
        heads = self.layers[0].heads
        empty = lambda: torch.empty(samples, heads, t, width // heads, device=device, dtype=dtype)  # noqa: E731
        cache: Cache = [(empty(), empty()) for _ in self.layers]
        before = torch.zeros(samples, 1, dtype=torch.long, device=device)
        for i in range(t):
            x = self.inputs(before, i)
            for layer, (keys, values) in zip(self.layers, cache):
                q, k, v = layer.split(x)
                keys[:, :, i : i + 1], values[:, :, i : i + 1] = k, v
                x = layer.close(x, F.scaled_dot_product_attention(q, keys[:, :, : i + 1], values[:, :, : i + 1]))
            logits[:, i] = self.head(x[:, 0])
            before = torch.multinomial(logits[:, i].softmax(-1), 1)
            tokens[:, i : i + 1] = before
        return tokens, chosen(logits, tokens).sum(1), logits, cache

    def config(self, tokens: Tensor) -> Tensor:
        """Occupations (B, N) in site order."""
        values = torch.empty(len(tokens), self.lattice.sites, device=tokens.device, dtype=self.position.dtype)
        values[:, self.site_of.flatten()] = self.bits[tokens].flatten(1)
        return values


def chosen(logits: Tensor, tokens: Tensor) -> Tensor:
    """log P of each token (B, n) under its logits (B, n, V)."""
    return logits.log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)


# Flips: log P(flipped) - log P, (B, T, P)


def flipped(model: Ptf, tokens: Tensor, patch: int) -> Tensor:
    """Tokens (B, P) of `patch` with each of its elements flipped."""
    return tokens[:, patch, None] ^ (1 << torch.arange(model.lattice.sites_per_patch, device=tokens.device))


def chunks(model: Ptf, tokens: Tensor, rows: int) -> range:
    """Index of the first sample of each chunk, if a sample has `rows` rows of the widest activation."""
    hidden = model.layers[0].up.out_features
    each = max(1, FLIP_ELEMENTS // (rows * hidden))
    return range(0, len(tokens), each)


@torch.no_grad()
def flips_in_full(model: Ptf, tokens: Tensor) -> Tensor:
    """Evaluates every flipped configuration with the whole transformer."""
    t, p = model.lattice.patches, model.lattice.sites_per_patch
    parts = []
    starts = chunks(model, tokens, t * p * t)
    for start in starts:
        part = tokens[start : start + starts.step]
        all_flips = part[:, None, None].repeat(1, t, p, 1)
        for patch in range(t):
            all_flips[:, patch, :, patch] = flipped(model, part, patch)
        parts.append(model.log_prob(all_flips.view(-1, t)).view(-1, t, p) - model.log_prob(part)[:, None, None])
    return torch.cat(parts)


@torch.no_grad()
def flips_shared(model: Ptf, tokens: Tensor, logits: Tensor, cache: Cache) -> Tensor:
    """Recomputes only the rows that a flip changes, with the sample's cache: those after patch i, for all its flips."""
    t, p = model.lattice.patches, model.lattice.sites_per_patch
    base = chosen(logits, tokens)
    ratios = torch.empty(len(tokens), t, p, device=tokens.device, dtype=logits.dtype)
    for patch in range(t):
        first, n = patch + 1, t - patch - 1
        # Key j of a changed row at position i: from the sample if j <= patch, from the flip if patch < j <= i.
        sees = torch.ones(n, t, dtype=torch.bool, device=tokens.device).tril(diagonal=first)
        starts = chunks(model, tokens, p * max(n, 1))
        for start in starts:
            part = slice(start, start + starts.step)
            own = flipped(model, tokens[part], patch)
            # Same logits, different outcome.
            same = logits[part, patch].log_softmax(-1)
            ratio = same.gather(-1, own) - base[part, patch, None]
            if n:
                after = tokens[part, None, first:].expand(-1, p, -1)
                before = torch.cat([own.unsqueeze(-1), after[:, :, :-1]], -1).reshape(-1, n)
                x = model.inputs(before, first)
                for layer, (keys, values) in zip(model.layers, cache):
                    q, k, v = layer.split(x)
                    prefix = lambda kept: kept[part, :, :first].repeat_interleave(p, 0)  # noqa: B023, E731
                    k, v = torch.cat([prefix(keys), k], 2), torch.cat([prefix(values), v], 2)
                    x = layer.close(x, F.scaled_dot_product_attention(q, k, v, attn_mask=sees))
                changed = chosen(model.head(x), after.reshape(-1, n)).view(-1, p, n)
                ratio = ratio + (changed - base[part, None, first:]).sum(-1)
            ratios[part, patch] = ratio
    return ratios


# The energy and the step


class Rydberg:
    """H = -Omega/2 sum sigma_x - delta sum n + sum_{i<j} V / r^6 n n, open boundaries."""

    def __init__(self, lattice: Lattice, v: float = 7.0, delta: float = 1.0, omega: float = 1.0) -> None:
        self.delta, self.omega = delta, omega
        place = [divmod(site, lattice.side) for site in range(lattice.sites)]
        pairs = torch.zeros(lattice.sites, lattice.sites, dtype=torch.float64)
        for i, (xi, yi) in enumerate(place):
            for j, (xj, yj) in enumerate(place[:i]):
                pairs[i, j] = v / ((xi - xj) ** 2 + (yi - yj) ** 2) ** 3
        self.pairs = pairs

    def diagonal(self, config: Tensor) -> Tensor:
        """Diagonal energy (B) of occupations (B, N)."""
        pairs = self.pairs.to(config.device, config.dtype)
        return ((config @ pairs) * config).sum(1) - self.delta * config.sum(1)

    def local(self, config: Tensor, log_ratios: Tensor) -> Tensor:
        """Local energies (B) from log P(flipped) - log P (B, ...)."""
        return self.diagonal(config) - self.omega / 2 * (log_ratios / 2).exp().flatten(1).sum(1)


def local_energies(model: Ptf, hamiltonian: Rydberg, samples: int, shared: bool) -> tuple[Tensor, Tensor]:
    """New samples (B, T) with their local energies (B)."""
    tokens, _, logits, cache = model.sample(samples)
    ratios = flips_shared(model, tokens, logits, cache) if shared else flips_in_full(model, tokens)
    return tokens, hamiltonian.local(model.config(tokens), ratios)


def loss(model: Ptf, tokens: Tensor, energies: Tensor, weights: Tensor | None = None) -> Tensor:
    """Scalar whose gradient is that of <E>: the mean of log P (E - mean E), because 2 d log Psi = d log P. The
    `weights` (B) sum to one; without them all samples have the same weight."""
    weights = torch.full_like(energies, 1 / len(energies)) if weights is None else weights
    return (weights * model.log_prob(tokens) * (energies - (weights * energies).sum())).sum()


def train_step(
    model: Ptf, hamiltonian: Rydberg, adam: torch.optim.Optimizer, samples: int, shared: bool
) -> tuple[Tensor, Tensor]:
    """One training step. Returns the mean and the variance of the local energies, still on the device."""
    with torch.no_grad():
        tokens, energies = local_energies(model, hamiltonian, samples, shared)
    adam.zero_grad(set_to_none=True)
    loss(model, tokens, energies).backward()
    adam.step()
    return energies.mean(), energies.var()


# Checks


class Wrong(Exception):
    """Failed check."""


def near(name: str, got: Tensor, expected: Tensor, tolerance: float) -> float:
    """Returns the largest error divided by the largest magnitude; raises `Wrong` above the tolerance."""
    if got.shape != expected.shape:
        raise Wrong(f"{name}: sizes {tuple(got.shape)}, expected {tuple(expected.shape)}")
    got, expected = got.detach().double(), expected.detach().double()
    error = float((got - expected).abs().max() / expected.abs().max())
    if not error <= tolerance:
        raise Wrong(f"{name}: error {error:.1e}, tolerance {tolerance:.0e}")
    return error


def all_tokens(lattice: Lattice, device: torch.device) -> Tensor:
    """All configurations, as tokens."""
    outcomes = torch.arange(1 << lattice.sites_per_patch, device=device)
    return torch.cartesian_prod(*[outcomes] * lattice.patches).view(-1, lattice.patches)


def small_model(lattice: Lattice, device: torch.device) -> Ptf:
    """Model in 64-bit floats that is far from uniform."""
    torch.manual_seed(1)
    model = Ptf(lattice, width=8, heads=2, hidden=16).double().to(device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


def check_step(device: torch.device) -> dict[str, float]:
    """Checks the step in 64-bit floats on lattices small enough for a full sum. Returns the errors."""
    found: dict[str, float] = {}
    one = torch.ones((), dtype=torch.float64, device=device)

    # 2x2 lattice with 1x2 patches: two patches, and the Hamiltonian as a matrix.
    lattice = Lattice(2, 1, 2)
    model, hamiltonian = small_model(lattice, device), Rydberg(lattice)
    tokens = all_tokens(lattice, device)
    found["sum of P, 2x2"] = near("sum of P", model.log_prob(tokens).exp().sum(), one, 1e-12)
    config = model.config(tokens)
    index = (config @ (2.0 ** torch.arange(4, device=device, dtype=config.dtype))).long()
    matrix = torch.zeros(16, 16, dtype=torch.float64, device=device)
    matrix[index, index] = hamiltonian.diagonal(config)
    for site in range(4):
        matrix[index, index ^ (1 << site)] = -hamiltonian.omega / 2
    psi = torch.zeros(16, dtype=torch.float64, device=device)
    psi[index] = (model.log_prob(tokens) / 2).exp()
    logits, cache = model(tokens)
    with torch.no_grad():
        local = hamiltonian.local(config, flips_shared(model, tokens, logits, cache))
        found["local energy"] = near("local energy", local, ((matrix @ psi) / psi)[index].detach(), 1e-10)
    # Gradient of the loss with all configurations weighted by their probabilities, and that of the exact energy.
    weights = model.log_prob(tokens).exp().detach()
    exact = torch.autograd.grad(psi @ matrix @ psi / (psi @ psi), list(model.parameters()))
    estimated = torch.autograd.grad(loss(model, tokens, local, weights), list(model.parameters()))
    flat = lambda gradients: torch.cat([gradient.flatten() for gradient in gradients])  # noqa: E731
    found["gradient"] = near("gradient of the energy", flat(estimated), flat(exact), 1e-10)

    # 4x4 lattice with 2x2 patches, as in training.
    lattice = Lattice(4)
    model = small_model(lattice, device)
    with torch.no_grad():
        total = sum(model.log_prob(part).exp().sum() for part in all_tokens(lattice, device).split(8192))
        found["sum of P, 4x4"] = near("sum of P", total, one, 1e-12)
        tokens, log_p, logits, cache = model.sample(64)
        found["sampler"] = near("the sampler's log P", log_p, model.log_prob(tokens), 1e-12)
        shared, full = flips_shared(model, tokens, logits, cache), flips_in_full(model, tokens)
        found["flips"] = near("flips with a shared prefix", shared, full, 1e-10)
        site, config = 6, model.config(tokens)
        config[:, site] = 1 - config[:, site]
        patch, element = divmod(int((model.site_of.flatten() == site).nonzero()), lattice.sites_per_patch)
        powers = 1 << torch.arange(lattice.sites_per_patch, device=device)
        other = (config[:, model.site_of].long() * powers).sum(-1)
        brute = model.log_prob(other) - log_p
        found["a flipped site"] = near("flips of one site", full[:, patch, element], brute, 1e-10)
    return found


# Times


def synchronize(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(call: Callable[[], Any], device: torch.device, runs: int, warmup: int) -> tuple[list[float], int]:
    """Milliseconds per call of each run, and the number of calls per run."""

    def run(calls: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize(device)
        return (time.perf_counter() - start) * 1e3 / calls

    run(1)
    usual = statistics.median(run(1) for _ in range(max(1, warmup)))
    calls = min(MOST_CALLS, max(1, math.ceil(RUN_MS / usual)))
    run(calls)
    return [run(calls) for _ in range(runs)], calls


def row(subject: str, form: str, sizes: dict[str, Any], name: str, **found: Any) -> dict[str, Any]:
    """Row of the table."""
    line: dict[str, Any] = {"form": form, "subject": subject} | sizes | {"pass": name}
    line |= {"dtype": "f32", "status": "PASSED", "error": None, "ms": None, "q1": None, "q3": None, "gflops": None}
    return line | {"max_error": None, "deterministic": None, "calls": None, "rounds": None} | found


def same_bits(call: Callable[[], Any], device: torch.device) -> bool:
    """Whether repeated runs with the same inputs have the same bits."""

    def bits() -> list[Tensor]:
        made = call()
        synchronize(device)
        return [x.detach().contiguous().view(torch.int32) for x in ([made] if isinstance(made, Tensor) else made)]

    first = bits()
    return all(all(torch.equal(a, b) for a, b in zip(first, bits())) for _ in range(REPEATS - 1))


def measured(
    line: dict[str, Any],
    flops: float | None,
    call: Callable[[], Any],
    check: Callable[[], float],
    device: torch.device,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Checks, then times. A benchmark that is wrong or does not fit into memory has an error and no time."""
    print(f"{line['subject']}, {line['pass']}, {shape_of(line)}", file=sys.stderr)
    try:
        max_error = check()
        runs, calls = timed(call, device, arguments.runs, arguments.warmup)
    except (Wrong, torch.OutOfMemoryError) as error:
        status = "INCORRECT_NUMERICAL" if isinstance(error, Wrong) else "RUNTIME_ERROR"
        return line | {"status": status, "error": str(error).splitlines()[0]}
    median = statistics.median(runs)
    quartiles = statistics.quantiles(runs, n=4, method="inclusive") if len(runs) > 1 else [median] * 3
    # Steps change their weights.
    deterministic = None if line["subject"] == "step" else same_bits(call, device)
    return line | {
        "ms": median,
        "q1": quartiles[0],
        "q3": quartiles[2],
        "gflops": flops / median / 1e6 if flops else None,
        "max_error": max_error,
        "deterministic": deterministic,
        "calls": calls,
        "rounds": len(runs),
    }


def attention_rows(s: Problem, device: torch.device, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Attention forward, and with the gradients of q, k and v for d_out = 1."""
    generator = torch.Generator().manual_seed(arguments.seed)
    random = lambda *sizes: (3 * (2 * torch.rand(*sizes, generator=generator) - 1)).to(device)  # noqa: E731
    q, k, v = random(s.b, s.h, s.s, s.d), random(s.b, s.hk, s.sk, s.d), random(s.b, s.hk, s.sk, s.d)
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    ones = torch.ones_like(q)
    # PyTorch's causal mask puts the first query at the first key, which is the same for as many queries as keys.
    unseen = torch.ones(s.s, s.sk, dtype=torch.bool).triu(1 + s.sk - s.s) if s.mask == "causal" else None
    options: dict[str, Any] = {"enable_gqa": s.h != s.hk, "is_causal": s.mask == "causal" and s.s == s.sk}
    if unseen is not None and s.s != s.sk:
        options["attn_mask"] = ~unseen.to(device)

    def gradient() -> list[Tensor]:
        out = F.scaled_dot_product_attention(*leaves, **options)
        return [out, *torch.autograd.grad(out, leaves, ones)]

    def check(made: list[Tensor]) -> float:
        # Groups of heads from the first to the last, computed directly in 64-bit floats.
        groups, group = s.b * s.hk, s.h // s.hk
        picks = max(1, min(8, groups, int(REFERENCE_WORK * groups / (14 * s.pairs * s.d))))
        picked = torch.linspace(0, groups - 1, picks).long().to(device)

        def heads(x: Tensor) -> Tensor:
            return x.detach().reshape(groups, -1, *x.shape[2:])[picked].double().cpu()

        ends = [heads(x).requires_grad_() for x in (q, k, v)]
        scores = ends[0] @ ends[1].mT / math.sqrt(s.d)
        if unseen is not None:
            scores = scores.masked_fill(unseen, -math.inf)
        out = scores.softmax(-1) @ ends[2]
        assert out.shape[1] == group
        expected = [out, *torch.autograd.grad(out.sum(), ends)]
        names = ["out", "d_q", "d_k", "d_v"]
        return max(near(name, heads(x), e, TOLERANCE) for name, x, e in zip(names, made, expected))

    def forward() -> Tensor:
        with torch.no_grad():
            return F.scaled_dot_product_attention(q, k, v, **options)

    flops = 4 * s.pairs * s.d
    line = lambda name: row("attention", "scaled_dot_product_attention", asdict(s), name)  # noqa: E731
    rows = [measured(line("forward"), flops, forward, lambda: check([forward()]), device, arguments)]
    if s.s > 1:
        both = line("forward-backward")
        rows.append(measured(both, 3.5 * flops, gradient, lambda: check(gradient()), device, arguments))
    return rows


def matmul_rows(shape: tuple[int, ...], device: torch.device, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """y = x W^T and its two gradients, with weights in the layout of `nn.Linear`."""
    rows, inner, columns = shape
    generator = torch.Generator().manual_seed(arguments.seed)
    random = lambda *sizes: (2 * torch.rand(*sizes, generator=generator) - 1).to(device)  # noqa: E731
    x, weight, d_y = random(rows, inner), random(columns, inner), random(rows, columns)
    wide_x, wide_weight, wide_d_y = (m.double().cpu() for m in (x, weight, d_y))
    some = torch.linspace(0, rows - 1, min(rows, 64)).long()
    few = torch.linspace(0, columns - 1, min(columns, 16)).long()

    def weight_gradient() -> tuple[Tensor, Tensor]:
        return d_y.mT @ x, d_y.sum(0)

    def check_weight() -> float:
        d_weight, d_bias = weight_gradient()
        worst = near("d_W", d_weight.cpu()[few], wide_d_y[:, few].mT @ wide_x, TOLERANCE)
        return max(worst, near("d_b", d_bias.cpu(), wide_d_y.sum(0), TOLERANCE))

    flops = 2.0 * rows * inner * columns
    products: list[tuple[str, Callable[[], Any], Callable[[], float]]] = [
        (
            "y",
            lambda: x @ weight.mT,
            lambda: near("y", (x @ weight.mT).cpu()[some], wide_x[some] @ wide_weight.mT, TOLERANCE),
        ),
        (
            "d_x",
            lambda: d_y @ weight,
            lambda: near("d_x", (d_y @ weight).cpu()[some], wide_d_y[some] @ wide_weight, TOLERANCE),
        ),
        ("d_w-d_b", weight_gradient, check_weight),
    ]
    layer = {"rows": rows, "inner": inner, "columns": columns}
    line = lambda name: row("matmul", "@", layer, name)  # noqa: E731
    with torch.no_grad():
        return [measured(line(name), flops, call, check, device, arguments) for name, call, check in products]


def step_rows(shape: tuple[int, ...], device: torch.device, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Training steps and their parts at (sites, samples, width)."""
    sites, samples, width = shape
    lattice = Lattice(math.isqrt(sites))
    torch.manual_seed(arguments.seed)
    model, hamiltonian = Ptf(lattice, width).to(device), Rydberg(lattice)
    adam = torch.optim.Adam(model.parameters(), lr=5e-4, fused=device.type == "cuda")
    tokens, _, logits, cache = model.sample(samples)

    # Both ways of flipping some samples, before the steps change the weights.
    first = tokens[:16]
    kept = [(k[:16], v[:16]) for k, v in cache]
    flips = (flips_shared(model, first, logits[:16], kept), flips_in_full(model, first))

    def whole(shared: bool) -> Callable[[], Any]:
        return lambda: [float(x) for x in train_step(model, hamiltonian, adam, samples, shared)]

    def gradient() -> None:
        adam.zero_grad(set_to_none=True)
        loss(model, tokens, energies).backward()

    energies = hamiltonian.local(model.config(tokens), flips_shared(model, tokens, logits, cache))
    lines: list[tuple[str, Callable[[], Any]]] = [
        ("step, flips with a shared prefix", whole(True)),
        ("step, flips in full", whole(False)),
        ("sample, with a cache", lambda: model.sample(samples)),
        ("flips with a shared prefix", lambda: flips_shared(model, tokens, logits, cache)),
        ("flips in full", lambda: flips_in_full(model, tokens)),
        ("forward and backward", gradient),
    ]
    if not arguments.full:
        lines = [(name, call) for name, call in lines if "in full" not in name]
    check = lambda: near("flips", *flips, 1e-3)  # noqa: E731
    step = {"sites": sites, "samples": samples, "width": width}
    line = lambda name: row("step", "reimplemented", step, name)  # noqa: E731
    return [measured(line(name), None, call, check, device, arguments) for name, call in lines]


# The command line


def sizes(count: int) -> Callable[[str], tuple[int, ...]]:
    """Parser of `count` sizes separated by x."""

    def parse(text: str) -> tuple[int, ...]:
        try:
            parsed = tuple(int(word) for word in text.split("x"))
        except ValueError:
            parsed = ()
        if len(parsed) != count or min(parsed, default=0) < 1:
            raise argparse.ArgumentTypeError(f"`{text}` is not {count} sizes of at least 1 separated by x")
        return parsed

    return parse


def problem(text: str) -> Problem:
    """Parser of BxHxSxD, BxH/HKxSxD and BxH/HKxS:SKxD."""
    found = re.fullmatch(r"(\d+)x(\d+)(?:/(\d+))?x(\d+)(?::(\d+))?x(\d+)", text)
    if found:
        b, h, hk, s, sk, d = (None if word is None else int(word) for word in found.groups())
        shape = Problem(b, h, hk or h, s, sk or s, d)
        if min(shape.b, shape.h, shape.s, shape.d) >= 1 and shape.h % shape.hk == 0 and shape.s <= shape.sk:
            return shape
    raise argparse.ArgumentTypeError(f"`{text}` is not a shape of attention; give BxHxSxD or BxH/HKxS:SKxD")


def step_sizes(text: str) -> tuple[int, ...]:
    """Parser of the sizes of a valid step."""
    shape = sizes(3)(text)
    side = math.isqrt(shape[0])
    if side * side != shape[0] or side % 2 or shape[1] < 2 or shape[2] % 8:
        raise argparse.ArgumentTypeError(
            f"`{text}`: sites must be the square of an even number, samples at least 2, the width a multiple of 8"
        )
    return shape


def parsed() -> argparse.Namespace:
    """Parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="*", metavar="attention|matmul|step", help="what to time (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each benchmark (default: 10)")
    parser.add_argument("--warmup", type=int, default=3, help="runs before them (default: 3)")
    parser.add_argument("--threads", type=int, help="threads on the CPU (default: PyTorch's choice)")
    parser.add_argument("--seed", type=int, default=0, help="seed of inputs, weights and samples (default: 0)")
    parser.add_argument(
        "--suite", choices=SUITES, action="append", help="shapes of attention, which alone is timed (default: short)"
    )
    parser.add_argument(
        "--attention", type=problem, action="append", metavar="BxH/HKxS:SKxD", help="other shapes of causal attention"
    )
    parser.add_argument(
        "--matmul", type=sizes(3), action="append", metavar="ROWSxINNERxCOLUMNS", help="other shapes of products"
    )
    parser.add_argument(
        "--step", type=step_sizes, action="append", metavar="LxKxNh", help="sites, samples, width of other steps"
    )
    parser.add_argument("--no-full", dest="full", action="store_false", help="leave out flips in full, which are slow")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.subjects) - {"attention", "matmul", "step"}:
        parser.error(f"unknown subject `{unknown.pop()}`; give attention, matmul or step")
    if arguments.runs < 1:
        parser.error("a time needs at least one run; give --runs 1 or more")
    if arguments.suite and arguments.attention:
        parser.error("--suite and --attention are both shapes of attention; give one of them")
    if not arguments.subjects:
        arguments.subjects = ["attention"] if arguments.suite else ["attention", "matmul", "step"]
    return arguments


def shape_of(line: dict[str, Any]) -> str:
    """Sizes of a row, as on the command line."""
    if line["subject"] == "attention":
        return str(Problem(**{name: line[name] for name in Problem.__dataclass_fields__}))
    names = ("rows", "inner", "columns") if line["subject"] == "matmul" else ("sites", "samples", "width")
    return "x".join(str(line[name]) for name in names)


def first_processor() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor; elsewhere its name alone."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            pairs = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        pairs = []
    found = {name.strip(): value.strip() for name, value in reversed(pairs)}
    return {"model name": platform.processor() or platform.machine()} | found


def processor(device: torch.device) -> str:
    """Name of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else first_processor()["model name"]


def host() -> str:
    """Processor with family and model, and its threads, as `ketformer bench` names it."""
    found = first_processor()
    names = [found["model name"]]
    if "cpu family" in found and "model" in found:
        names.append(f"family {found['cpu family']} model {found['model']}")
    return ", ".join([*names, f"{os.cpu_count()} threads"])


def benchmark(report: dict[str, Any]) -> dict[str, Any]:
    """The report as a file of `ketformer bench` (docs/benchmark.schema.json)."""
    environment = {
        "adapter": report["device"],
        "backend": f"PyTorch {report['device_type']}",
        "driver": f"torch {report['torch']}" + (f", {report['threads']} threads" if report["threads"] else ""),
        "software": report["device_type"] == "cpu",
        "os": platform.platform(),
        "arch": platform.machine(),
        "cpu": host(),
        "date": report["date"],
    }

    def converted(line: dict[str, Any]) -> dict[str, Any]:
        attention = line["subject"] == "attention"
        # One query at the last key sees all keys, whatever the mask.
        mask = ("causal" if line["s"] == 1 else line["mask"]) if attention else None
        ms = line["ms"]
        return environment | {
            "kernel": "PyTorch" if attention else f"PyTorch {line['subject']}",
            "variant": f"{line['pass']} {mask}" if attention else f"{line['pass']} {line['form']}",
            "shape": shape_of(line),
            "dtype": line["dtype"],
            "mask": mask,
            "pass": line["pass"] if attention else None,
            "status": line["status"],
            "error": line["error"],
            "median_ms": ms,
            "quartiles_ms": None if ms is None else [line["q1"], line["q3"]],
            "spread": None if ms is None else (line["q3"] - line["q1"]) / ms,
            "runs": line["rounds"] or 0,
            "launches_per_run": line["calls"] or 0,
            "clock": None if ms is None else "host",
            "flops": None if line["gflops"] is None else line["gflops"] * ms * 1e6,
            "gflops": line["gflops"],
            "max_error": line["max_error"],
            "tolerance": TOLERANCE,
            "deterministic": line["deterministic"],
            "repeats": 0 if line["deterministic"] is None else REPEATS,
            "launched": line["form"],
        }

    none = {"gflops": 0.0, "gbytes_per_s": 0.0, "launch_us": 0.0, "host_launch_us": 0.0, "submit_us": 0.0}
    load = "load {} before, {} after".format(*report["load"])
    notes = [f"matmul precision {report['matmul_precision']}; Python {report['python']}; {load}"]
    notes += [f"checked: {name}, error {error:.1e}" for name, error in report["checks"].items()]
    return {"limits": none, "rows": [converted(line) for line in report["rows"]], "notes": notes}


def table(rows: list[dict[str, Any]]) -> str:
    """Formats the rows as a Markdown table."""
    number = lambda value, form: "-" if value is None else format(value, form)  # noqa: E731
    half = lambda line: None if line["ms"] is None else 50 * (line["q3"] - line["q1"]) / line["ms"]  # noqa: E731
    header = ("work", "shape", "ms", "± %", "GFLOP/s", "error", "bits repeat")
    lines = [header] + [
        (
            " ".join(word for word in (line.get("mask"), line["subject"]) if word) + ", " + line["pass"],
            shape_of(line),
            number(line["ms"], ".3f"),
            number(half(line), ".0f"),
            number(line["gflops"], ".1f"),
            line["error"] or number(line["max_error"], ".0e"),
            {True: "yes", False: "no", None: "-"}[line["deterministic"]],
        )
        for line in rows
    ]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 1) + ("-" if i < 2 else ":") for i, width in enumerate(widths)) + "|")
    return "\n".join(text)


def main() -> int:
    """Checks, times and prints. Returns 1 if anything is wrong."""
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        device = torch.device(arguments.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        print(f"pytorch.py: --device {arguments.device}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    wanted = arguments.subjects
    load = lambda: os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # noqa: E731
    report: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": processor(device),
        "device_type": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "runs": arguments.runs,
        "load": [load(), None],
        "checks": {},
        "rows": [],
    }
    if "step" in wanted:
        # mps has no 64-bit floats; the same code is checked on the CPU.
        where = torch.device("cpu") if device.type == "mps" else device
        try:
            report["checks"] = check_step(where)
        except Wrong as error:
            print(f"pytorch.py: the training step is wrong, nothing is timed: {error}", file=sys.stderr)
            return 1
        print("the training step is right: " + ", ".join(report["checks"]), file=sys.stderr)
    if "attention" in wanted:
        suites = [shape for suite in arguments.suite or ["short"] for shape in SUITES[suite]]
        for shape in arguments.attention or suites:
            report["rows"] += attention_rows(shape, device, arguments)
    if "matmul" in wanted:
        for shape in arguments.matmul or MATMUL:
            report["rows"] += matmul_rows(shape, device, arguments)
    if "step" in wanted:
        for shape in arguments.step or STEP:
            report["rows"] += step_rows(shape, device, arguments)
    report["load"][1] = load()
    print(table(report["rows"]))
    threads = f", {report['threads']} threads" if report["threads"] else ""
    print(f"\n{report['device']}{threads}; torch {report['torch']}; {report['date']}; {arguments.runs} runs per row")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(benchmark(report), file, indent=2)
            file.write("\n")
    return int(any(line["error"] for line in report["rows"]))


if __name__ == "__main__":
    sys.exit(main())
