"""The encoder as it is, for embeddings: python embedding.py --encoder DIR. Writes `../embedding/model.onnx`, `model.json` and `reference.jsonl`, and fails when ONNX and PyTorch part."""

import argparse
import base64
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy
import torch
from transformers import AutoModel, AutoTokenizer

import export
import rows
from words import Splitter

TOKENS_MAX = 256  # what the encoder was made for, special tokens included
COSINE_MIN = 0.99
REFERENCES = 200
SELF_TEST = {
    "text": "How do I cancel my subscription?",
    "alike": "I would like to end my membership.",
    "other": "The glacier carved this valley over ten thousand years.",
}


class Embedding(torch.nn.Module):
    """Mean of the token states, not yet of length one: windows of a long text are averaged first. `ids`, `mask`: [batch, tokens] int64; answers [batch, width]."""

    def __init__(self, folder):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")

    def forward(self, ids, mask):
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def references(tokenizer):
    """Rows of ours that fit one window, as (where the row lies, its text)."""
    found = []
    for path in sorted(rows.OURS.glob("*_w*.jsonl")) + sorted(rows.OURS.glob("injection_*.jsonl")):
        found += [({"file": path.name, "line": line}, row["text"]) for line, row in enumerate(rows.jsonl(path)) if isinstance(row.get("text"), str)]
    random.Random(5).shuffle(found)
    return [one for one in found if len(tokenizer(one[1])["input_ids"]) <= TOKENS_MAX][:REFERENCES]


def unit(vector):
    return vector / numpy.linalg.norm(vector)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, required=True)
    given = parser.parse_args()
    folder = rows.OURS.parent.parent / "embedding"
    folder.mkdir(exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(given.encoder)
    splitter = Splitter(tokenizer)
    model = Embedding(given.encoder).eval()
    chosen = references(tokenizer)
    # As the encoder's makers have it: its own tokenizer on the whole text, in float.
    with torch.no_grad():
        expected = [unit(model(*(torch.tensor([tokenizer(text)[key]]) for key in ("input_ids", "attention_mask")))[0].numpy()) for _, text in chosen]
    onnx_file = folder / "model.onnx"
    export.export("embedding", model, onnx_file, blocks=True)  # by tensor the cosine fell to 0.98
    session = export.session_of(onnx_file)
    array = lambda values: numpy.array([values], dtype=numpy.int64)
    served = []
    for _, text in chosen:
        ids = splitter.ids(text, TOKENS_MAX)
        served.append(unit(session.run(None, {"ids": array(ids), "mask": array([1] * len(ids))})[0][0]))
    cosines = [float(one @ other) for one, other in zip(expected, served)]
    print(f"{len(cosines)} rows: cosine {min(cosines):.4f} at least, {numpy.mean(cosines):.4f} in the mean; {onnx_file.stat().st_size / 1e6:.1f} MB")
    with open(folder / "reference.jsonl", "w", encoding="utf8") as file:
        for (place, _), vector in zip(chosen, expected):
            file.write(json.dumps({**place, "float16": base64.b64encode(vector.astype("<f2").tobytes()).decode()}) + "\n")
    described = {
        "id": "all-minilm-l6-v2",
        "sha256": hashlib.sha256(onnx_file.read_bytes()).hexdigest(),
        "tokens_max": TOKENS_MAX,
        "overlap": 0,
        "special": {"cls": splitter.cls, "sep": splitter.sep},
        "dimensions": len(expected[0]),
        "self_test": SELF_TEST,
    }
    (folder / "model.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf8")
    if min(cosines) < COSINE_MIN:
        sys.exit(f"ONNX and PyTorch part: a cosine below {COSINE_MIN}.")


if __name__ == "__main__":
    main()
