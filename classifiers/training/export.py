"""PyTorch to ONNX, int8: python export.py TASK --encoder DIR --weights FILE --out FILE.onnx. Inputs `ids`, `mask` (and `cases` for pii), each [batch, tokens] int64; output `logits`."""

import argparse
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

import delicate
import pii_texts
from encoder import TextClassifier, TokenClassifier

OPSET = 17


def build(task, encoder):
    if task == "pii":
        return TokenClassifier(encoder, len(pii_texts.TAGS))
    return TextClassifier(encoder, delicate.RISKS if task == "delicate" else 1)


def export(task, encoder, weights, out):
    model = build(task, encoder)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    names = ["ids", "mask"] + (["cases"] if task == "pii" else [])
    example = tuple(torch.ones(2, 9, dtype=torch.long) for _ in names)
    axes = {name: {0: "batch", 1: "tokens"} for name in names}
    axes["logits"] = {0: "batch"} if task != "pii" else {0: "batch", 1: "tokens"}
    with tempfile.TemporaryDirectory() as scratch:
        whole, prepared = Path(scratch) / "whole.onnx", Path(scratch) / "prepared.onnx"
        torch.onnx.export(model, example, whole, input_names=names, output_names=["logits"], dynamic_axes=axes, opset_version=OPSET, dynamo=False)
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        heads = [node.name for node in onnx.load(str(prepared)).graph.node if "head" in node.name]
        # Weights of each output channel have a scale of their own; the head stays float.
        quantize_dynamic(str(prepared), str(out), weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=heads, op_types_to_quantize=["MatMul", "Gemm", "Gather"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("injection", "delicate", "pii"))
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    export(given.task, given.encoder, given.weights, given.out)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
