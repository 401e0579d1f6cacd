"""Amplitudes, local energies and stochastic reconfiguration of the vision transformer of arXiv:2310.05715, by PyTorch.

    python tests/data/vision_transformer.py           recomputes vit_j1j2_4x4.* and compares them
    python tests/data/vision_transformer.py --write   writes them; weights `param.*` and spins stay

The model is J1-J2 on the periodic 4x4 lattice, J1 = 1, J2 = 0.5. Site x*4 + y has the coordinates (x, y). P = 4 sites
of a patch, T = 4 patches, M = 24 configurations, d = 8 channels, K parameters. Numbers are f64.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch
from compare import differences
from safetensors.numpy import load_file, save_file

FILE = Path(__file__).with_name("vit_j1j2_4x4.safetensors")
SUMMARY = FILE.with_suffix(".json")
SIDE, SITES, PATCH, TILES, WIDTH, HEADS, LAYERS = 4, 16, 2, 2, 8, 2, 2
J1, J2, SHIFT = 1.0, 0.5, 1e-3

torch.set_default_dtype(torch.float64)


def bonds():
    """Each bond once, as (a, b, J)."""
    found = []
    for x, y in itertools.product(range(SIDE), repeat=2):
        for dx, dy, j in ((1, 0, J1), (0, 1, J1), (1, 1, J2), (1, -1, J2)):
            found.append((x * SIDE + y, (x + dx) % SIDE * SIDE + (y + dy) % SIDE, j))
    return found


BONDS = bonds()

# (T, T): index of the displacement from patch i to patch j.
X, Y = torch.arange(4) // TILES, torch.arange(4) % TILES
DISPLACEMENT = (X - X[:, None]) % TILES * TILES + (Y - Y[:, None]) % TILES


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w, name, x):
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    return x / 2 * (1 + ((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)).tanh())


def log_psi(w, spins):
    """log ψ (M) of spins ±1 (M, N)."""
    patches = spins.view(-1, TILES, PATCH, TILES, PATCH).transpose(2, 3).reshape(-1, 4, PATCH * PATCH)
    x = linear(w, "embed", patches)
    for layer in range(LAYERS):
        name = f"layers.{layer}"
        v = linear(w, f"{name}.attn.value", norm(w, f"{name}.norm1", x)).view(-1, 4, HEADS, WIDTH // HEADS)
        # Factored attention: the weights depend on the displacement only.
        heads = torch.einsum("hij,bjhd->bihd", w[f"{name}.attn.relative"][:, DISPLACEMENT], v)
        x = x + linear(w, f"{name}.attn.out", heads.flatten(2))
        x = x + linear(w, f"{name}.mlp.out", gelu(linear(w, f"{name}.mlp.in", norm(w, f"{name}.norm2", x))))
    z = norm(w, "head.norm", x.sum(1))
    u = torch.complex(linear(w, "head.real", z), linear(w, "head.imag", z))
    u = torch.where(u.real < 0, -u, u)
    return (u + (1 + (-2 * u).exp()).log() - np.log(2)).sum(-1)


def local_energies(w, spins, own):
    """Σ J/4 s_a s_b + Σ_{s_a ≠ s_b} J/2 ψ(s')/ψ(s), where s' has s_a and s_b exchanged."""
    energy = torch.zeros_like(own)
    for a, b, j in BONDS:
        exchanged = spins.clone()
        exchanged[:, [a, b]] = spins[:, [b, a]]
        ratio = (log_psi(w, exchanged) - own).exp()
        energy += j / 4 * spins[:, a] * spins[:, b] + torch.where(spins[:, a] != spins[:, b], j / 2 * ratio, 0)
    return energy


def jacobian(w, spins):
    """Gradients of Re log ψ and of Im log ψ, stacked to (2M, K)."""
    own = log_psi(w, spins)
    parts = torch.cat([own.real, own.imag])
    rows = [torch.autograd.grad(part, list(w.values()), retain_graph=True) for part in parts]
    return torch.stack([torch.cat([values.flatten() for values in row]) for row in rows])


def split(w, values):
    parts = values.split([weights.numel() for weights in w.values()])
    return {name: part.view(weights.shape) for (name, weights), part in zip(w.items(), parts)}


def weights_of(stored):
    named = {name.removeprefix("param."): values for name, values in stored.items() if name.startswith("param.")}
    return {name: torch.from_numpy(values).double().requires_grad_() for name, values in named.items()}


def centered(rows, energy):
    """X (2M, K) and f (2M), real parts before imaginary parts: the gradients and -2 E, less their means, over √M."""
    rows, root = rows.view(2, len(energy), -1), len(energy) ** 0.5
    difference = -2 * (energy - energy.mean()) / root
    return ((rows - rows.mean(1, keepdim=True)) / root).flatten(0, 1), torch.cat([difference.real, difference.imag])


def solve_by_samples(x, f):
    """Xᵀ (X Xᵀ + λ)⁻¹ f"""
    return x.T @ torch.linalg.solve(x @ x.T + SHIFT * torch.eye(len(f)), f)


def solve_by_parameters(x, f):
    """(Xᵀ X + λ)⁻¹ Xᵀ f, which is the same."""
    return torch.linalg.solve(x.T @ x + SHIFT * torch.eye(x.shape[1]), x.T @ f)


def tensors(w, own, energy, x, f):
    found = {
        "log_psi_real": own.real,
        "log_psi_imag": own.imag,
        "local_energy_real": energy.real,
        "local_energy_imag": energy.imag,
        "gram": x @ x.T,
    }
    found |= {f"sr.{name}": values for name, values in split(w, solve_by_samples(x, f)).items()}
    found |= {f"grad_energy.{name}": values.float() for name, values in split(w, -x.T @ f).items()}
    return {name: values.numpy() for name, values in found.items()}


def sector(w, spins):
    """Energy of ψ over the 12870 configurations of zero magnetization, and (H ψ)(s) / ψ(s) of `spins`."""
    states = torch.tensor([sum(1 << site for site in up) for up in itertools.combinations(range(SITES), SITES // 2)])
    bits = states[:, None] >> torch.arange(SITES) & 1
    index = torch.zeros(1 << SITES, dtype=torch.long)
    index[states] = torch.arange(len(states))
    log = torch.cat([log_psi(w, chunk) for chunk in (2.0 * bits - 1).split(1024)])
    psi = (log - log.real.max()).exp()
    applied = torch.zeros_like(psi)
    for a, b, j in BONDS:
        flipped = index[states ^ (1 << a | 1 << b)]
        applied += torch.where(bits[:, a] == bits[:, b], j / 4 * psi, j / 2 * psi[flipped] - j / 4 * psi)
    norm = psi.abs().square().sum()
    own = index[((spins > 0).long() << torch.arange(SITES)).sum(1)]
    return ((psi.conj() * applied).sum() / norm).real, (applied / psi)[own]


def summary(w, spins, energy, x, f):
    """Fields of the JSON file; `identity` and `eloc_check` are differences of two ways to compute the same numbers."""
    exact, dense = sector(w, spins)
    return {
        "params": x.shape[1],
        "identity": float((solve_by_parameters(x, f) - solve_by_samples(x, f)).abs().max()),
        "E": str(complex(energy.mean())),
        "lam": SHIFT,
        "M": len(spins),
        "bonds": len(BONDS),
        "eloc_check": float((energy - dense).abs().max()),
        "exact_energy": float(exact),
    }


def summary_differences(stored, found):
    print(SUMMARY.name)
    failures = []
    for name, value in found.items():
        # Differences between two ways are rounding errors, which depend on the libraries.
        difference = value if name in ("identity", "eloc_check") else abs(complex(value) - complex(stored[name]))
        print(f"    {name:28} {value}, difference {difference:.1e}")
        if not difference <= 1e-10:
            failures.append(f"{SUMMARY.name}: {name} differs by {difference:.1e}; more than 1e-10")
    return failures


def main():
    stored = load_file(FILE)
    compared = {name: values for name, values in stored.items() if not name.startswith(("param.", "spins"))}
    w, spins = weights_of(stored), torch.from_numpy(stored["spins"]).double()
    rows = jacobian(w, spins)
    with torch.no_grad():
        own = log_psi(w, spins)
        energy = local_energies(w, spins, own)
        x, f = centered(rows, energy)
        found, fields = tensors(w, own, energy, x, f), summary(w, spins, energy, x, f)
    failures = differences(FILE.name, compared, found)
    failures += summary_differences(json.loads(SUMMARY.read_text()), fields)
    if "--write" in sys.argv:
        save_file(stored | found, FILE)
        SUMMARY.write_text(json.dumps(fields, indent=1) + "\n")
    elif failures:
        sys.exit("\n".join(failures))


main()
