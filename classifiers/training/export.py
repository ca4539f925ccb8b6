"""PyTorch to ONNX, int8. Inputs `ids`, `mask` (and `cases` for pii), each [batch, tokens] int64; output `logits`."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.quantization.quant_utils import QuantFormat
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

import delicate
import pii_texts
from encoder import PlantedClassifier, TextClassifier, TokenClassifier

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


def untrained(task, encoder):
    if task == "pii":
        return TokenClassifier(encoder, len(pii_texts.TAGS))
    return PlantedClassifier(encoder) if task == "planted" else TextClassifier(encoder, delicate.LOGITS if task == "delicate" else 1)


def build(task, encoder, weights):
    model = untrained(task, encoder)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def export(task, model, out, blocks):
    """Writes `model` to `out` in int8, but for the head. `blocks`: weights by blocks of 32 and activations by row (`MatMulNBits`), nearer to float and about
    half as fast, instead of weights by channel and activations by tensor (`MatMulInteger`)."""
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
        heads = [node.name for node in onnx.load(str(prepared)).graph.node if node.name.startswith(("/head/", "/tokens/"))]
        if blocks:
            config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, quant_format=QuantFormat.QOperator, op_types_to_quantize=("MatMul",), bits=8)
            quantizer = MatMulNBitsQuantizer(onnx.load(str(prepared)), nodes_to_exclude=heads, algo_config=config)
            quantizer.process()
            quantizer.model.save_model_to_file(str(out))
            return
        kept = heads + [f"{name}_MatMul" for name in heads]  # what the quantizer makes of a `Gemm`
        quantize_dynamic(str(prepared), str(out), weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=kept, op_types_to_quantize=["MatMul", "Gemm"])


def session_of(onnx_file):
    """Computes as `../onnx/worker.ts` does: without VNNI the runtime would cut large 8-bit products off."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(onnx_file), options, providers=["CPUExecutionProvider"])
