"""Energies of a recurrent wave function on Rydberg lattices whose sides differ, in two orders of the sites, by NumPy.

    python tests/data/site_order.py        prints the table of `the_order_of_the_public_code_is_a_patch`

The public code (https://github.com/APRIQuOt/VMC_with_LPTFs) numbers the sites of its Rydberg lattice y*Lx + x, and draws
patches of consecutive sites. The weights are those of prnn_gru_L16_p2x2_Nh32.safetensors: a recurrent network does not
depend on the number of sites. All 2^12 configurations are summed in f64.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SITES, PATCH, V, DELTA, OMEGA = 12, 4, 7.0, 1.0, 1.0

file = load_file(Path(__file__).parent / "prnn_gru_L16_p2x2_Nh32.safetensors")
w = {name.removeprefix("param."): value.astype(float) for name, value in file.items() if name.startswith("param.")}
index = np.arange(1 << SITES)
n = (index[:, None] >> np.arange(SITES) & 1).astype(float)  # bit i of the index is site number i of the wave function


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_p():
    state, total, before = np.zeros((len(n), 32)), np.zeros(len(n)), np.zeros((len(n), PATCH))
    for t in range(SITES // PATCH):
        a = before @ w["rnn.weight_ih_l0"].T + w["rnn.bias_ih_l0"]
        b = state @ w["rnn.weight_hh_l0"].T + w["rnn.bias_hh_l0"]
        (r, z, c), (hr, hz, hc) = np.split(a, 3, 1), np.split(b, 3, 1)
        z = sigmoid(z + hz)
        state = (1 - z) * np.tanh(c + sigmoid(r + hr) * hc) + z * state
        x = np.maximum(state @ w["lin.0.weight"].T + w["lin.0.bias"], 0) @ w["lin.2.weight"].T + w["lin.2.bias"]
        x -= np.log(np.exp(x).sum(1, keepdims=True))
        before = n[:, t * PATCH : (t + 1) * PATCH]
        total += x[index, (before @ 2 ** np.arange(PATCH)).astype(int)]
    return total


def energy(psi, position):
    diagonal = -DELTA * n.sum(1)
    for i in range(SITES):
        for j in range(i):
            r = np.subtract(position(i), position(j))
            diagonal += V / (r @ r) ** 3 * n[:, i] * n[:, j]
    flipped = sum(psi[index ^ 1 << i] for i in range(SITES))
    return psi @ (diagonal * psi - OMEGA / 2 * flipped)


psi = np.exp(log_p() / 2)
print(f"norm {psi @ psi:.12f}")
for lx, ly in [(2, 6), (6, 2), (3, 4), (4, 3), (12, 1)]:
    own, public = energy(psi, lambda s: (s // ly, s % ly)), energy(psi, lambda s: (s % lx, s // lx))
    print(f"[{lx}, {ly}]: x*Ly + y {own:.6f}, y*Lx + x {public:.6f}")
