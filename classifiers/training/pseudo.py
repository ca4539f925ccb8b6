"""Soft targets of a teacher for `delicate.py --pseudo`: python pseudo.py --open DIR --encoder DIR --out DIR (of the teacher's training) > pseudo.jsonl. Texts of the training, and others of open sets."""

import json
import sys

import torch
from transformers import AutoTokenizer

import delicate
import rows
from encoder import TextClassifier
from fit import arguments, autocast, pad, seed_everything
from words import Splitter


def others(open_dir):
    """Texts without a label that fits our definition."""
    folder = open_dir / "delicate"
    yield from (row["text"] for row in rows.jsonl(folder / "counsel_chat/counsel_chat.jsonl"))
    yield from rows.sample((row["text"] for row in rows.jsonl(folder / "measuring_hate_speech/mhs_unique.jsonl") if row["label"] == 0 and len(row["text"]) > 120), 900)
    yield from rows.sample((row["text"] for row in rows.jsonl(folder / "stormfront_hs18/hs18.jsonl") if row["label"] == "noHate" and len(row["text"]) > 80), 700)
    comments = (line.split("\t")[0] for line in (folder / "goemotions/train.tsv").read_text(encoding="utf8").splitlines())
    yield from rows.sample((text for text in comments if len(text) > 110), 900)
    yield from rows.table(open_dir / "benign/newsgroups_sample/20newsgroups.csv", "text")[:500]
    for kind, text in rows.documents(open_dir):
        yield from (text[start : start + 600] for start in range(0, min(len(text), 1800), 600))


@torch.no_grad()
def main():
    given = arguments(__doc__, epochs=0, lr=0).parse_args()
    seed_everything(3)
    splitter = Splitter(AutoTokenizer.from_pretrained(given.encoder))
    texts = [row["text"] for row in rows.distinct(delicate.own() + delicate.open_rows(given.open) + [{"text": text[:900]} for text in others(given.open) if len(text) > 60])]
    ids = [splitter.ids(text, delicate.TOKENS_MAX) for text in texts]
    weights = torch.load(given.out / "model.pt", weights_only=True)
    model = TextClassifier(given.encoder, len(weights["head.bias"]))
    model.load_state_dict(weights)
    model.eval()
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    for start in range(0, len(order), 32):
        picks = order[start : start + 32]
        with autocast():
            scores = model(*pad([ids[index] for index in picks], splitter.fill))[:, : delicate.RISKS].float().sigmoid()
        for index, soft in zip(picks, scores.tolist()):
            print(json.dumps({"text": texts[index], "soft": [round(one, 4) for one in soft]}, ensure_ascii=False))
        if start % 1600 == 0:
            print(f"{start} of {len(order)} texts", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
