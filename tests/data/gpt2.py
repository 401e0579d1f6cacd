"""Logits, loss and gradient of a small GPT-2 with random weights, by Hugging Face's transformers in f64.

    python tests/data/gpt2.py           recomputes gpt2_small.safetensors and compares it
    python tests/data/gpt2.py --write   writes it; weights `param.*`, `inputs` and `targets` stay, if there is a file

Weights `param.*` and gradients `grad.*` are in f32 under the names and in the orientation of `GPT2LMHeadModel`: linear
layers are (inputs, outputs), the projection to the vocabulary is the embedding. `inputs` (B, T) and `targets` (B, T) are
tokens in f32; a target of -1 is ignored. `logits` (B, T, V) and `loss`, the mean cross-entropy over positions that have a
target, are in f32. B = 3 sequences, T = 24 positions, V = 97 tokens, C = 32 channels, 4 heads, 2 layers.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from compare import differences
from safetensors.numpy import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

FILE = Path(__file__).with_name("gpt2_small.safetensors")
BATCH, SEED = 3, 1

torch.set_default_dtype(torch.float64)


def gpt2():
    """The model without dropout."""
    sizes = {"vocab_size": 97, "n_positions": 24, "n_embd": 32, "n_head": 4, "n_layer": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes, attn_implementation="eager", bos_token_id=None, eos_token_id=None)).eval()


def inputs(model):
    """Random weights, so large that every layer changes the logits visibly, and random tokens."""
    random = torch.Generator().manual_seed(SEED)
    given = {}
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        # Gains around 1, biases around 0, embeddings of size 0.5, outputs of linear layers of size 1.
        scale = 0.3 if parameter.dim() == 1 else 0.5 if "wte" in name or "wpe" in name else parameter.shape[0] ** -0.5
        center = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
        given[f"param.{name}"] = (center + scale * noise).float().numpy()
    tokens = torch.randint(model.config.vocab_size, (BATCH, model.config.n_positions + 1), generator=random)
    targets = tokens[:, 1:].clone()
    targets[1, :7] = -1
    targets[2, -1] = -1
    return given | {"inputs": tokens[:, :-1].float().numpy(), "targets": targets.float().numpy()}


def results(model, given):
    """The tensors that follow from `given`."""
    weights = {name.removeprefix("param."): torch.from_numpy(values).double() for name, values in given.items()}
    tokens, targets = weights.pop("inputs").long(), weights.pop("targets").long()
    unknown = set(model.load_state_dict(weights, strict=False).missing_keys) - {"lm_head.weight"}
    assert not unknown, unknown
    model.tie_weights()
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    loss.backward()
    found = {f"grad.{name}": parameter.grad.float().numpy() for name, parameter in model.named_parameters()}
    return found | {"logits": logits.detach().float().numpy(), "loss": np.array([loss.item()], np.float32)}


def main():
    model = gpt2()
    stored = load_file(FILE) if FILE.exists() else {}
    fixed = ("inputs", "targets")
    given = {name: values for name, values in stored.items() if name.startswith("param.") or name in fixed}
    given = given or inputs(model)
    found = given | results(model, given)
    if "--write" in sys.argv:
        save_file(found, FILE)
        return
    if failures := differences(FILE.name, stored, found):
        sys.exit("\n".join(failures))


main()
