"""PyTorch to ONNX, int8: python export.py TASK --encoder DIR --weights FILE --out FILE.onnx. Inputs `ids`, `mask` (and `cases` for pii), each [batch, tokens] int64; output `logits`."""

import argparse
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

import delicate
import pii_texts
from encoder import TextClassifier, TokenClassifier

OPSET = 17


class RowInt8Embedding(nn.Module):
    """An embedding table in int8 with a scale of its own for each row: a quarter of the size, and next to no shift, where one scale for the table shifts every score."""

    def __init__(self, table):
        super().__init__()
        scales = table.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
        self.register_buffer("rows", (table / scales).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, ids):
        return self.rows[ids].float() * self.scales[ids]


def build(task, encoder, weights):
    model = TokenClassifier(encoder, len(pii_texts.TAGS)) if task == "pii" else TextClassifier(encoder, delicate.LOGITS if task == "delicate" else 1)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def export(task, model, out, float_parts=()):
    """Writes `model` to `out`. The head, and the nodes with one of `float_parts` in their name, stay in float."""
    embeddings = model.encoder.embeddings
    embeddings.word_embeddings = RowInt8Embedding(embeddings.word_embeddings.weight.detach())
    names = ["ids", "mask"] + (["cases"] if task == "pii" else [])
    example = tuple(torch.ones(2, 9, dtype=torch.long) for _ in names)
    axes = {name: {0: "batch", 1: "tokens"} for name in names}
    axes["logits"] = {0: "batch"} if task != "pii" else {0: "batch", 1: "tokens"}
    with tempfile.TemporaryDirectory() as scratch:
        whole, prepared = Path(scratch) / "whole.onnx", Path(scratch) / "prepared.onnx"
        torch.onnx.export(model, example, whole, input_names=names, output_names=["logits"], dynamic_axes=axes, opset_version=OPSET, dynamo=False)
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        kept = [node.name for node in onnx.load(str(prepared)).graph.node if any(part in node.name for part in ("head", *float_parts))]
        quantize_dynamic(str(prepared), str(out), weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=kept, op_types_to_quantize=["MatMul", "Gemm"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("injection", "delicate", "pii"))
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float", default="", help="comma-separated parts of the names of nodes that stay in float")
    given = parser.parse_args()
    export(given.task, build(given.task, given.encoder, given.weights), given.out, [part for part in given.float.split(",") if part])
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
