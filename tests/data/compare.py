"""Comparison of recomputed tensors with stored ones; imported by the other scripts of this folder."""

import numpy as np

# Largest difference relative to the largest element of a tensor: rounding errors of f64, and of its conversion to f32.
TOLERANCES = {"float64": 1e-12, "float32": 2e-7}


def kind(name):
    """Name of a tensor; its first part for tensors that exist for each parameter."""
    first = name.split(".")[0]
    return f"{first}.*" if first in ("param", "grad", "grad_energy", "sr") else name


def differences(title, stored, found):
    """Prints the largest relative difference of each kind of tensor. Returns a line for each tensor that differs."""
    failures = [f"{title}: {name} is only stored or only recomputed" for name in sorted(stored.keys() ^ found.keys())]
    worst = {}
    for name in sorted(stored.keys() & found.keys()):
        values, expected = found[name], stored[name]
        if (values.shape, values.dtype) != (expected.shape, expected.dtype):
            failures.append(f"{title}: {name} is {expected.dtype} {expected.shape}, got {values.dtype} {values.shape}")
            continue
        tolerance = TOLERANCES.get(str(expected.dtype), 0.0)
        difference = np.max(np.abs(values.astype(np.float64) - expected)) / np.max(np.abs(expected))
        if not difference <= tolerance:
            failures.append(f"{title}: {name} differs by {difference:.1e}; more than {tolerance}")
        worst[kind(name)] = np.maximum(worst.get(kind(name), 0.0), difference)
    print(title)
    for name, difference in worst.items():
        print(f"    {name:28} largest relative difference {difference:.1e}")
    return failures
