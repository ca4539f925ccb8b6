"""Trains `pii`: python pii.py --open DIR --encoder DIR --out DIR. Templates of ours are filled anew for each epoch; a tenth of them and whole open sets are held out."""

import collections
import json
import random

import torch
from transformers import AutoTokenizer

from encoder import TokenClassifier, round_from_now_on
from fit import arguments, autocast, begin_from, fit, pad, seed_everything
from pii_texts import IGNORED, NER, TAGS, conll, encoded, fill, open_sets, templates, varied
from words import Splitter


@torch.no_grad()
def report(model, splitter, examples):
    """Any label counts: share of entity characters left readable, F2 over words, and words of no entity that were taken, per thousand."""
    model.eval()
    hit = missed = extra = plain = 0
    by_label = collections.Counter(), collections.Counter()
    order = sorted(examples, key=lambda one: len(one[0]))
    for start in range(0, len(order), 32):
        ids, cases, tags = zip(*(encoded(splitter, *one) for one in order[start : start + 32]))
        padded, mask = pad(list(ids), splitter.fill)
        with autocast():
            best = model(padded, mask, pad(list(cases), 0)[0]).argmax(-1)
        for wanted, got in zip(pad(list(tags), IGNORED)[0].flatten().tolist(), best.flatten().tolist()):
            if wanted == IGNORED:
                continue
            if wanted == 0:
                plain += 1
                extra += got != 0
            else:
                label = TAGS[wanted][2:]
                by_label[0][label] += 1
                if got != 0:
                    hit += 1
                else:
                    missed += 1
                    by_label[1][label] += 1
    precision, recall = hit / max(1, hit + extra), hit / max(1, hit + missed)
    f2 = 5 * precision * recall / max(1e-9, 4 * precision + recall)
    worst = {label: round(by_label[1][label] / count, 3) for label, count in by_label[0].items() if by_label[1][label] / count > 0.04}
    return {"f2": round(f2, 4), "missed": round(1 - recall, 4), "extra_per_1000": round(1000 * extra / max(1, plain), 1), "missed_by_label": worst}


def main():
    parser = arguments(__doc__, epochs=2, lr=1e-4)
    parser.add_argument("--fills", type=int, default=5, help="times each template is filled")
    given = parser.parse_args()
    seed_everything(17)
    rng = random.Random(17)
    ours, held = templates()
    examples = [(*varied(*fill(row["template"], row["lang"], rng), rng), False) for row in ours for _ in range(given.fills)]
    others = open_sets(given.open, rng)
    splitter = Splitter(AutoTokenizer.from_pretrained(given.encoder))
    training = [encoded(splitter, *one) for one in examples + [(*varied(text, spans, rng), partly) for text, spans, partly in others]]
    held_ours = [(*fill(row["template"], row["lang"], rng), False) for row in held for _ in range(2)]
    held_sets = {
        "ours": held_ours,
        "ours lower case": [(text.lower(), spans, False) for text, spans, _ in held_ours if len(text.lower()) == len(text)],
        "wnut17 dev": conll(given.open / "pii/wnut17/emerging.dev.conll", 0, 1, NER),
        "uner_ewt": conll(given.open / "pii/uner_ewt/en_ewt-ud-dev.iob2", 1, 2, NER)[:1200],
    }
    print(f"{len(examples)} fills of {len(ours)} templates, {len(others)} stretches of open sets, {sum(len(one[0]) for one in training) / len(training):.0f} tokens each", flush=True)

    def loss_of(model, picks):
        ids, cases, tags = zip(*(training[index] for index in picks))
        padded, mask = pad(list(ids), splitter.fill)
        logits = model(padded, mask, pad(list(cases), 0)[0]).float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), pad(list(tags), IGNORED)[0].flatten(), ignore_index=IGNORED)

    def evaluate(model):
        return json.dumps({name: report(model, splitter, rows_) for name, rows_ in held_sets.items()})

    model = begin_from(TokenClassifier(given.encoder, len(TAGS)), given.start)
    fit(model, [len(one[0]) for one in training], loss_of, given.out, epochs=given.epochs, lr=given.lr, seed=17, evaluate=evaluate, late=round_from_now_on)


if __name__ == "__main__":
    main()
