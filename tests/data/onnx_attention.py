"""Writes ONNX's test cases of attention nodes as JSON to standard output. Needs the package onnx 1.23.

A tensor is its type, its shape and its values as the bits of float32, so that infinities and NaN survive.
"""

import json
import sys
import warnings

import numpy as np
import onnx

warnings.simplefilter("ignore")
np.random.seed(0)  # the values of most cases are drawn when they are collected
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

OPERATORS = ("Attention", "FlexAttention", "LinearAttention")


def tensor(array):
    if array is None or isinstance(array, list):
        return None
    array = np.asarray(array)
    wide = array.astype(np.float32)
    return {"type": str(array.dtype), "shape": list(array.shape), "bits": wide.ravel().view(np.uint32).tolist()}


def attribute(given):
    value = onnx.helper.get_attribute_value(given)
    if isinstance(value, onnx.GraphProto):
        constants = [float(onnx.numpy_helper.to_array(t).ravel()[0]) for t in value.initializer]
        return {"graph": value.name, "constants": [c if np.isfinite(c) else None for c in constants]}
    return value.decode() if isinstance(value, bytes) else value


cases = []
for case in collect_testcases(None):
    nodes = case.model.graph.node
    # Cases called `_expanded` are the same ones in terms of other operators.
    if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or "_expanded" in case.name:
        continue
    node = nodes[0]
    inputs, outputs = case.data_sets[0]
    given, made = iter(inputs), iter(outputs)
    cases.append(
        {
            "name": case.name,
            "operator": node.op_type,
            "attributes": {a.name: attribute(a) for a in node.attribute},
            "inputs": {str(at): tensor(next(given)) for at, name in enumerate(node.input) if name},
            "outputs": {str(at): tensor(next(made)) for at, name in enumerate(node.output) if name},
        }
    )
json.dump(cases, sys.stdout)
