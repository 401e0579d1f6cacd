"""Outputs, gradients and Adam steps of the autoregressive wave functions of arXiv:2306.03921, by PyTorch in f64.

    python tests/data/autoregressive.py           recomputes the tensors of the files in FILES and compares them
    python tests/data/autoregressive.py --write   writes them; weights `param.*` and configurations `configs` stay

The outputs follow from the stored weights. The layers are written out and do not use the modules of PyTorch, from which
the stored values came. Only the initial weights use them, because they depend on the order of its random numbers. Site
x*4 + y of the 4x4 lattice has the coordinates (x, y). p = 4 sites of a patch, T = 4 patches, B = 32 configurations,
C = 32 channels, V outcomes.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from compare import differences
from safetensors.numpy import load_file, save_file
from torch import nn

SIDE, SITES, PATCH, WIDTH, HEADS, LAYERS = 4, 16, 2, 32, 4, 2
V, DELTA, OMEGA = 7.0, 1.0, 1.0
RATE, BETAS, EPSILON, STEPS = 5e-4, (0.9, 0.999), 1e-8, 5

torch.set_default_dtype(torch.float64)

# Site of element j of patch k, at k*p + j: patches in rows, and rows in a patch.
SITE_OF = torch.arange(SITES).view(2, PATCH, 2, PATCH).transpose(1, 2).flatten()


def positional_encoding():
    """(T, C): sines and cosines of both coordinates on the first 3C/4 channels, as the public code defines them.

    The exponents 2i/n contain the channel i itself.
    """
    n, table = 3 * WIDTH // 4, torch.zeros(4, WIDTH)
    for t in range(4):
        for i in range(0, n, 4):
            for offset, coordinate in ((0, t // 2), (2, t % 2)):
                table[t, i + offset] = np.sin(coordinate / 10000 ** (2 * i / n))
                table[t, i + offset + 1] = np.cos(coordinate / 10000 ** (2 * (i + 1) / n))
    return table


def linear(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w, name, x):
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def previous(x):
    """Inputs of the positions of (B, T, p): the patch before each, and zeros before the first."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


def attention(w, name, x):
    """softmax(q kᵀ / √D) v over the present and earlier positions of x (B, T, C)."""
    batch, length, _ = x.shape
    rows = x @ w[f"{name}.in_proj_weight"].T + w[f"{name}.in_proj_bias"]
    q, k, v = rows.view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
    later = torch.ones(length, length).triu(1).bool()
    mean = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
    return linear(w, f"{name}.out_proj", mean.transpose(1, 2).reshape(batch, length, WIDTH))


def transformer(w, patches):
    """Embedded patches and outputs of each layer, each (B, T, C), for patches (B, T, p)."""
    x = linear(w, "tokenize.0", previous(patches)).tanh() + positional_encoding()
    rows = [x]
    for layer in range(LAYERS):
        name = f"transformer.transformer.layers.{layer}"
        x = norm(w, f"{name}.norm1", x + attention(w, f"{name}.self_attn", x))
        hidden = linear(w, f"{name}.linear1", x).relu()
        x = norm(w, f"{name}.norm2", x + linear(w, f"{name}.linear2", hidden))
        rows.append(x)
    return rows


def gru(w, name, patches, state):
    """States (B, T, C) of a gated recurrent unit (arXiv:1406.1078, with the reset after the product)."""
    states = []
    for x in previous(patches).unbind(1):
        from_input = x @ w[f"{name}.weight_ih_l0"].T + w[f"{name}.bias_ih_l0"]
        from_state = state @ w[f"{name}.weight_hh_l0"].T + w[f"{name}.bias_hh_l0"]
        (r, z, n), (hr, hz, hn) = from_input.chunk(3, -1), from_state.chunk(3, -1)
        z = (z + hz).sigmoid()
        state = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * state
        states.append(state)
    return torch.stack(states, 1)


def log_outcomes(w, name, x):
    """Log-probabilities of the outcomes of a patch (B, T, V)."""
    return linear(w, f"{name}.2", linear(w, f"{name}.0", x).relu()).log_softmax(-1)


def log_p(log_outcomes, patches):
    """Σ_t log P(patch_t | earlier) (B). Site j of a patch is bit j of its outcome."""
    outcome = (patches * 2.0 ** torch.arange(patches.shape[-1])).sum(-1).long()
    return log_outcomes.gather(-1, outcome[..., None]).sum((1, 2))


def ptf(w, configurations):
    patches = configurations[:, SITE_OF].view(-1, 4, 4)
    rows = transformer(w, patches)
    outcomes = log_outcomes(w, "lin", rows[-1])
    # The public code stores positions first.
    rows, probabilities = [x.transpose(0, 1) for x in rows], outcomes.exp().transpose(0, 1)
    activations = {"encoded": rows[0], "layer_out": torch.stack(rows[1:]), "cond_probs": probabilities}
    return log_p(outcomes, patches), activations | {"pe": positional_encoding()}


def rnn(w, configurations):
    patches = configurations[:, SITE_OF].view(-1, 4, 4)
    states = gru(w, "rnn", patches, torch.zeros(len(patches), WIDTH))
    outcomes = log_outcomes(w, "lin", states)
    return log_p(outcomes, patches), {"rnn_out": states, "cond_probs": outcomes.exp()}


def lptf(w, configurations):
    """Each patch is two pairs of sites for a recurrent network, whose initial state is the transformer's output."""
    patches = configurations[:, SITE_OF].view(-1, 4, 4)
    rows = transformer(w, patches)
    pairs = patches.reshape(-1, 2, 2)
    outcomes = log_outcomes(w, "subsampler.lin", gru(w, "subsampler.rnn", pairs, rows[-1].reshape(-1, WIDTH)))
    rows = [x.transpose(0, 1) for x in rows]
    activations = {"encoded": rows[0], "layer_out": torch.stack(rows[1:]), "pe": positional_encoding()}
    return log_p(outcomes, pairs).view(-1, 4).sum(1), activations


def tokenizer():
    return nn.Sequential(nn.Linear(4, WIDTH), nn.Tanh())


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS), LAYERS, enable_nested_tensor=False)


def head(outcomes):
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outcomes))


def ptf_modules():
    return {"tokenize": tokenizer(), "transformer.transformer": encoder(), "lin": head(16)}


def rnn_modules():
    return {"rnn": nn.GRU(4, WIDTH), "lin": head(16)}


def lptf_modules():
    """The public code creates the sub-sampler first and lists it last."""
    subsampler = {"subsampler.rnn": nn.GRU(2, WIDTH), "subsampler.lin": head(4)}
    return {"tokenize": tokenizer(), "transformer.transformer": encoder()} | subsampler


def initial(modules, seed):
    """Weights: default initialization of PyTorch in f32, and 0.05 · N(0, 1) added to each."""
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(seed)
    parameters = [(f"param.{part}.{name}", p) for part, m in modules().items() for name, p in m.named_parameters()]
    weights = {name: (p + 0.05 * torch.randn_like(p)).detach().numpy() for name, p in parameters}
    torch.set_default_dtype(torch.float64)
    return weights


def diagonal(configurations):
    """Σ_{i<j} V n_i n_j / r⁶ − δ Σ n_i (B)."""
    x, y = torch.arange(SITES) // SIDE, torch.arange(SITES) % SIDE
    r2 = (x[:, None] - x).square() + (y[:, None] - y).square()
    pairs = torch.where(r2 > 0, V / r2.double().pow(3), 0.0).triu()
    return ((configurations @ pairs) * configurations).sum(1) - DELTA * configurations.sum(1)


FILES = [
    ("ptf_L16_p2x2_Nh32_h4.safetensors", ptf, ptf_modules, 1),
    ("prnn_gru_L16_p2x2_Nh32.safetensors", rnn, rnn_modules, 5),
    ("lptf_L16_p2x2_Nh32_h4_gru_L4_p2.safetensors", lptf, lptf_modules, 3),
]


def recompute(wave_function, stored):
    named = {name.removeprefix("param."): values for name, values in stored.items() if name.startswith("param.")}
    weights = {name: torch.from_numpy(values).double().requires_grad_() for name, values in named.items()}
    configurations = torch.from_numpy(stored["configs"]).double()
    value, activations = wave_function(weights, configurations)
    flipped = (configurations[:, None] - torch.eye(SITES)).abs().view(-1, SITES)
    flips = wave_function(weights, flipped)[0].view(-1, SITES)
    mean = flips.mean(1) / 2
    summed = (flips / 2 - mean[:, None]).exp().sum(1)
    energy = (diagonal(configurations) - OMEGA / 2 * (mean - value / 2).exp() * summed).detach()
    share = (energy - energy.mean()) / len(energy)
    found = {
        "logp": value,
        "off_diag_labels_site": flips,
        "off_diag_labels_patched": flips[:, SITE_OF],
        "logsqrtp": mean,
        "sumsqrtp": summed,
        "eloc_diag": diagonal(configurations),
        "eloc": energy,
        "loss": (value @ share)[None],
    }
    # Adam (arXiv:1412.6980) with constant energies.
    m, v = ({name: torch.zeros_like(values) for name, values in weights.items()} for _ in range(2))
    after = []
    for step in range(1, STEPS + 1):
        loss = wave_function(weights, configurations)[0] @ share
        gradient = dict(zip(weights, torch.autograd.grad(loss, list(weights.values()))))
        if step == 1:
            activations |= {f"grad.{name}": values for name, values in gradient.items()}
        with torch.no_grad():
            for name, g in gradient.items():
                m[name] = BETAS[0] * m[name] + (1 - BETAS[0]) * g
                v[name] = BETAS[1] * v[name] + (1 - BETAS[1]) * g.square()
                corrected = m[name] / (1 - BETAS[0] ** step), v[name] / (1 - BETAS[1] ** step)
                weights[name] -= RATE * corrected[0] / (corrected[1].sqrt() + EPSILON)
            after.append(wave_function(weights, configurations)[0])
    found["logp_after_adam"] = torch.stack(after)
    found |= {f"{name}.f64": values for name, values in found.items()} | activations
    found = {name: values.detach().numpy() for name, values in found.items()}
    found = {name: values if name.endswith(".f64") else values.astype(np.float32) for name, values in found.items()}
    return found | {"patch_to_site": SITE_OF.int().numpy()}


def main():
    failures = []
    for file, wave_function, modules, seed in FILES:
        path = Path(__file__).with_name(file)
        stored = load_file(path)
        found = recompute(wave_function, stored)
        compared = {name: values for name, values in stored.items() if name != "configs"}
        failures += differences(file, compared, initial(modules, seed) | found)
        if "--write" in sys.argv:
            save_file(stored | found, path)
    if failures and "--write" not in sys.argv:
        sys.exit("\n".join(failures))


main()
