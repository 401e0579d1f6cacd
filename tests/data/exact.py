"""Ground states by sparse exact diagonalization (SciPy), independent of the crate.

    python tests/data/exact.py           recomputes the fields that tests read and compares them with exact.json
    python tests/data/exact.py --write   writes them into exact.json; other fields of an entry stay

Bit i of a basis state is site i: occupied (Rydberg) or spin up. The sites of a rectangle are x + Lx*y here; the lattices
of the tests are symmetric under the exchange that this means.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import eigsh

FILE = Path(__file__).with_name("exact.json")
TOLERANCE = 1e-9


def occupations(n):
    return (np.arange(1 << n)[:, None] >> np.arange(n)) & 1


def flips(n, masks, amplitudes):
    """Sum of amplitude * |s xor mask><s| over the states where the amplitude is not 0."""
    states = np.arange(1 << n)
    total = csr_matrix((1 << n, 1 << n))
    for mask, amplitude in zip(masks, amplitudes):
        values = np.broadcast_to(amplitude, states.shape)
        held = values != 0
        total += csr_matrix((values[held], (states[held] ^ mask, states[held])), shape=total.shape)
    return total


def ground(diagonal, off):
    hamiltonian = (off + diags(diagonal)).tocsr()
    if hamiltonian.shape[0] <= 64:
        energies, vectors = np.linalg.eigh(hamiltonian.toarray())
    else:
        start = np.random.default_rng(1).random(hamiltonian.shape[0])
        energies, vectors = eigsh(hamiltonian, k=3, which="SA", v0=start, ncv=40, tol=1e-13)
    order = np.argsort(energies)
    return energies[order[0]], vectors[:, order[0]]


def sublattice(lx, ly):
    return np.array([(-1) ** (x + y) for y in range(ly) for x in range(lx)])


def bonds(entry):
    """Nearest and next-nearest neighbors of a chain or of the 4x4 lattice, each bond once."""
    periodic = "pbc" in entry["name"]
    if "chain" in entry["name"]:
        n = entry["N"]
        near = {tuple(sorted((i, (i + 1) % n))) for i in range(n if periodic else n - 1)}
        return sorted(near), []
    near, diagonal = set(), set()
    for y in range(4):
        for x in range(4):
            for dx, dy, into in [(1, 0, near), (0, 1, near), (1, 1, diagonal), (1, -1, diagonal)]:
                a, b = x + dx, y + dy
                if periodic or (0 <= a < 4 and 0 <= b < 4):
                    into.add(tuple(sorted((x + 4 * y, a % 4 + 4 * (b % 4)))))
    return sorted(near), sorted(diagonal)


def rydberg(entry):
    lx, ly, v, delta, omega = (entry[key] for key in ("Lx", "Ly", "V", "delta", "Omega"))
    n, sites = lx * ly, [(x, y) for y in range(ly) for x in range(lx)]
    occupied = occupations(n)
    diagonal = -delta * occupied.sum(1).astype(float)
    for i in range(n):
        for j in range(i):
            r2 = (sites[i][0] - sites[j][0]) ** 2 + (sites[i][1] - sites[j][1]) ** 2
            diagonal += v / r2**3 * occupied[:, i] * occupied[:, j]
    energy, psi = ground(diagonal, flips(n, [1 << i for i in range(n)], [-omega / 2] * n))
    p = psi**2
    staggered = (occupied - 0.5) @ sublattice(lx, ly) / n
    magnetization = 2 * occupied.sum(1) - n
    sigma_x = sum(psi @ psi[np.arange(1 << n) ^ 1 << i] for i in range(n)) / n
    diagonal_energy = p @ diagonal
    return {
        "E": energy,
        "n_mean": p @ occupied.mean(1),
        "n_site": list(p @ occupied),
        "sigma_x_mean": sigma_x,
        "stag_mean": p @ staggered,
        "stag_abs_mean": p @ abs(staggered),
        "stag_sq_mean": p @ staggered**2,
        "mag_mean": p @ magnetization,
        "mag_abs_mean": p @ abs(magnetization),
        "mag_sq_mean": p @ magnetization**2,
        "E_diag": diagonal_energy,
        "E_offdiag": energy - diagonal_energy,
    }


def tfim(entry):
    n, near = entry["N"], bonds(entry)[0]
    spins = 2 * occupations(n) - 1
    diagonal = -entry["J"] * sum(spins[:, a] * spins[:, b] for a, b in near).astype(float)
    energy, psi = ground(diagonal, flips(n, [1 << i for i in range(n)], [-entry["h"]] * n))
    p, mean = psi**2, spins.mean(1)
    sigma_x = sum(psi @ psi[np.arange(1 << n) ^ 1 << i] for i in range(n)) / n
    return {
        "E": energy,
        "nbonds": len(near),
        "sigma_x_mean": sigma_x,
        "mz_sq": p @ mean**2,
        "mz_abs": p @ abs(mean),
    }


def heisenberg(entry):
    n, (near, far) = entry["N"], bonds(entry)
    coupled = [(b, entry["J1"]) for b in near] + [(b, entry["J2"]) for b in far if entry["J2"] != 0]
    up = occupations(n)
    diagonal = sum(j * (up[:, a] - 0.5) * (up[:, b] - 0.5) for (a, b), j in coupled)
    masks = [1 << a | 1 << b for (a, b), _ in coupled]
    energy, psi = ground(diagonal, flips(n, masks, [0.5 * j * (up[:, a] != up[:, b]) for (a, b), j in coupled]))
    p = psi**2
    signs = sublattice(n, 1) if "chain" in entry["name"] else sublattice(4, 4)
    rotated = psi * (-1.0) ** (up @ (signs > 0))
    found = {"E": energy, "nbonds": len(coupled), "marshall_weight": max((rotated[rotated > 0] ** 2).sum(), (rotated[rotated < 0] ** 2).sum())}
    if "chain" not in entry["name"]:
        found["stag_Sz_sq"] = p @ ((up - 0.5) @ signs / n) ** 2
    return found


def main():
    data = json.loads(FILE.read_text())
    worst = 0.0
    for kind, solve in [("rydberg", rydberg), ("tfim", tfim), ("heisenberg", heisenberg)]:
        for entry in data[kind]:
            found = solve(entry)
            errors = [np.max(np.abs(np.array(value) - np.array(entry[key]))) for key, value in found.items()]
            worst = max(worst, *errors)
            print(f"{entry['name']:24} E = {found['E']:.12f}  largest difference {max(errors):.1e}")
            entry.update({key: value if isinstance(value, (int, list)) else float(value) for key, value in found.items()})
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(data, indent=1) + "\n")
    elif worst > TOLERANCE:
        sys.exit(f"exact.json differs by {worst:.1e}; more than {TOLERANCE}")


main()
