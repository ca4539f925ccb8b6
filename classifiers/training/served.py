"""The weights of a model that is served, for `--start`: python served.py TASK --encoder DIR --out FILE. They are as exact as the ONNX file's 8 bits."""

import argparse
import re
from pathlib import Path

import numpy
import onnx
import torch
from onnx import numpy_helper

import export
import rows

BLOCK_ZERO = 128  # what an 8-bit block of `MatMulNBits` has for zero


def weight_of(node, values):
    """[outputs, inputs] float32 of a layer, however it is stored; None when the node multiplies two states."""
    stored = values.get(node.input[1])
    if stored is None:
        return None
    if node.op_type == "MatMulNBits":
        scales = values[node.input[2]].reshape(stored.shape[0], stored.shape[1], 1)
        return ((stored.astype(numpy.float32) - BLOCK_ZERO) * scales).reshape(stored.shape[0], -1)
    if node.op_type == "MatMulInteger":
        return (stored.astype(numpy.float32) * values[node.input[1].removesuffix("_quantized") + "_scale"]).T
    return stored.T if node.op_type == "MatMul" else stored


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("injection", "planted", "delicate", "pii"))
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    graph = onnx.load(str(rows.OURS.parent.parent / given.task / "model.onnx")).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = {name: torch.tensor(value) for name, value in values.items() if re.fullmatch(r"(encoder|head|tokens|cases)\.(.*\.)?(weight|bias)", name)}
    table = "encoder.embeddings.word_embeddings"
    found[f"{table}.weight"] = torch.tensor(values[f"{table}.rows"]).float() * torch.tensor(values[f"{table}.scales"])
    for node in graph.node:
        layer = re.match(r"/(?:encoder/(encoder/layer\.\d+/.*)|(head|tokens))/(?:MatMul|Gemm)", node.name)
        if layer and node.op_type in ("MatMulNBits", "MatMulInteger", "MatMul", "Gemm"):
            weight = weight_of(node, values)
            if weight is not None:
                found[f"encoder.{layer[1].replace('/', '.')}.weight" if layer[1] else f"{layer[2]}.weight"] = torch.tensor(weight)
    model = export.untrained(given.task, given.encoder)
    model.load_state_dict(found)
    torch.save(model.state_dict(), given.out)


if __name__ == "__main__":
    main()
