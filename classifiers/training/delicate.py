"""Trains `delicate`: python delicate.py --open DIR --encoder DIR --out DIR. Held out: the expert-labelled development set, and whole files of ours."""

import json
import random
import re
from pathlib import Path

import torch
from transformers import AutoTokenizer

import metrics
import rows
from encoder import TextClassifier, round_from_now_on, scores_of
from fit import arguments, begin_from, fit, pad, seed_everything
from words import Splitter

TOKENS_MAX = 256
RISKS = 5  # logits: is the risk at least 1, 2, 3, 4, 5
DELICATE = 2  # index of "at least 3"
# Then one logit a category: delicate, and about this. By words of a row's topic.
CATEGORIES = {
    "violence": r"violen|crime|war|terror|execution|genocid|murder|hate crime|police|policing|massacre|abuse|disaster|famine|threat|torture|prison|attack|animal cruelty",
    "hate": r"hate|hateful|discriminat|stereotyp|racis|race|antisemit|islamophob|migrant|refugee|immigra|lgbt|trans people|gender|women|men\b|nationality|ethnic|religion|caste|misogyn|hostility|disability|class contempt|extremis|sexes|feminism|indigenous|islam",
    "harassment": r"harass|bully|humiliat|insult|threat|stalk|crude|contempt",
    "sexual": r"sexual|sexuality|fetish|crude talk|porn",
    "self-harm": r"self-harm|suicid|eating and body|eating disorder",
    "health": r"health|illness|depress|anxiety|distress|disab|pregnan|miscarriage|epidemic|cancer|hospital|medic|eating|mental",
    "death": r"death|grief|bereave|miscarriage|loss|disaster|execution|genocid|massacre",
    "addiction": r"addict|drug|alcohol|gambl|drink|opioid",
}
LOGITS = RISKS + len(CATEGORIES)


def own():
    """Rows of ours, with their risk."""
    found = []
    for path in sorted(rows.OURS.glob("delicate_*.jsonl")):
        found += [{"text": row["text"], "risk": row["risk"], "topic": row["topic"], "source": path.stem} for row in rows.jsonl(path)]
    return found


def open_rows(open_dir):
    """Rows of the open sets, with a bit or a risk. Their definitions differ from ours: only the sides that agree are taken."""
    delicate = open_dir / "delicate"
    found = []
    counsel = rows.jsonl(delicate / "counsel_chat/counsel_chat.jsonl")
    soft = ("workplace-relationships", "professional-ethics", "relationships", "social-relationships", "parenting", "counseling-fundamentals")
    questions = [row for row in counsel if row["kind"] == "question"]
    found += rows.labelled([row["text"] for row in questions if row.get("topic") not in soft], "counsel_chat", bit=1, topic="mental health")
    found += rows.labelled([row["text"] for row in rows.sample([one for one in counsel if one["kind"] == "answer"], 700)], "counsel_chat", bit=0)
    hate = [row["text"] for row in rows.jsonl(delicate / "measuring_hate_speech/mhs_unique.jsonl") if row["label"] == 1]
    found += rows.labelled(rows.sample(hate, 900), "measuring_hate_speech", bit=1, topic="hate")
    found += rows.labelled(rows.sample([row["text"] for row in rows.jsonl(delicate / "surge_toxicity/surge.jsonl") if row["label"] == 1], 300), "surge_toxicity", bit=1, topic="insult")
    found += rows.labelled(rows.sample([row["text"] for row in rows.jsonl(delicate / "stormfront_hs18/hs18.jsonl") if row["label"] == "hate"], 400), "stormfront", bit=1, topic="hate")
    found += rows.labelled(rows.sample([row["text"] for row in rows.jsonl(delicate / "crows_pairs/crows.jsonl")], 300), "crows_pairs", bit=1, topic="stereotype")
    found += [{"text": row["text"], "bit": row["label"], "topic": "hate", "source": "toxigen"} for row in rows.jsonl(delicate / "toxigen_prompts/toxigen_statements.jsonl")]
    found += rows.labelled(rows.mail(open_dir, count=500, chars_max=700), "mail", bit=0)
    found += rows.labelled([text[:700] for kind, text in rows.documents(open_dir) if kind in ("fin", "bill", "medical")][:700], "documents", bit=0)
    found += rows.labelled(rows.sample([row["text"] for row in rows.jsonl(open_dir / "benign/dolly_benign/dolly_prompts.jsonl")], 300), "dolly", bit=0)
    # What people type: short, and next to never delicate. The short rows above are nearly all hateful.
    benign = open_dir / "benign"
    found += rows.labelled(rows.sample(rows.clinc(open_dir), 400), "clinc150", bit=0)
    found += rows.labelled(rows.sample(rows.table(benign / "banking77/train.csv", "text"), 150), "banking77", bit=0)
    found += rows.labelled([row["instruction"] for row in rows.jsonl(benign / "alpaca_seed_tasks/seed_tasks.jsonl")], "alpaca_seed", bit=0)
    prompts = [row["text"] for path in sorted(rows.OURS.glob("injection_benign*.jsonl")) for row in rows.jsonl(path) if len(row["text"]) < 200]
    found += rows.labelled(rows.sample(prompts, 400), "prompts of ours", bit=0)
    found += rows.labelled(fragments(), "fragments", bit=0)
    found += rows.labelled(sport(open_dir), "goemotions, sport", bit=0)
    # Adverts, orders to people, and what is written to take a model over: hostile or pushy, and not delicate.
    found += rows.labelled([row["text"] for name in ("docs4", "docs5") for row in rows.jsonl(rows.OURS / f"injection_{name}.jsonl")], "adverts and orders", bit=0)
    attacks = [row["text"] for path in sorted(rows.OURS.glob("injection_p*.jsonl")) if "payloads" not in path.stem for row in rows.jsonl(path) if row["label"] == 1]
    found += rows.labelled(rows.sample(attacks, 900), "attacks of ours", bit=0)
    found += rows.labelled(rows.sample(rows.table(open_dir / "injection/giskard/prompt_injections.csv", "prompt"), 100), "giskard", bit=0)
    return found


def sport(open_dir):
    """What people say of games, two or three comments together: fights, shots and killers that are none."""
    words = re.compile(r"\b(game|team|season|player|coach|league|playoffs?|nba|nfl|nhl|goal|striker|defen[cs]e|draft|quarterback|pitcher|referee|match|fans?|bench|champions?)\b", re.I)
    lines = [line.split("\t") for line in (open_dir / "delicate/goemotions/train.tsv").read_text(encoding="utf8").splitlines()]
    comments = [text for text, emotions, _ in lines if words.search(text) and not {"2", "11", "16"} & set(emotions.split(","))]  # anger, disgust, grief
    comments = rows.sample(comments, 1500)
    return ["\n".join(comments[at : at + 1 + at % 3]) for at in range(0, len(comments), 2)]


def fragments(count=500):
    """One to eight words of paragraphs that are not delicate, and what people type to try a thing out."""
    rng = random.Random(3)
    words = [row["text"].split() for row in own() if row["risk"] == 0]
    found = rows.trials([word for text in words for word in text], rng, count)
    for _ in range(count):
        text, length = rng.choice(words), rng.randint(1, 8)
        at = rng.randrange(max(1, len(text) - length))
        found.append(" ".join(text[at : at + length]))
    return found


def target_of(row):
    """[LOGITS] probabilities (the risk is at least 1 … 5; delicate and of each category) and as many weights, 0 where a row says nothing of it."""
    if "risk" in row:
        risks, weights = [float(row["risk"] >= level) for level in range(1, RISKS + 1)], [1.0] * RISKS
    elif "bit" in row:
        risks, weights = ([1, 1, 1, 0, 0], [1, 1, 1, 0, 0]) if row["bit"] else ([0, 0, 0, 0, 0], [0, 0, 1, 1, 1])
    else:
        risks, weights = row["soft"], [0.6] * RISKS
    if "soft" in row:
        risks = [(one + two) / 2 if weight else two for one, two, weight in zip(risks, row["soft"], weights)]
        weights = [max(weight, 0.5) for weight in weights]
    return [*risks, *(target for target, _ in categories_of(row))], [*weights, *(weight for _, weight in categories_of(row))]


def categories_of(row):
    """[(target, weight)] of each category. What is not delicate is in none; a delicate row may be in more than its topic names."""
    if row.get("risk", 3 * row.get("bit", 0)) < 3:
        return [(0.0, 0.5 if "risk" in row or "bit" in row else 0.0)] * len(CATEGORIES)
    named = [re.search(pattern, row.get("topic", ""), re.I) is not None for pattern in CATEGORIES.values()]
    return [(1.0, 0.5) if one else (0.0, 0.2 if any(named) else 0.0) for one in named]


def main():
    parser = arguments(__doc__, epochs=3, lr=5e-5)
    parser.add_argument("--frozen-layers", type=int, default=0, help="of a large teacher, which stays in float")
    parser.add_argument("--pseudo", type=Path, help="JSONL of texts with a teacher's scores, {text, soft: [5]}")
    parser.add_argument("--held-out", default="", help="comma-separated files of ours that are not trained on")
    parser.add_argument("--fresh", default="", help="with --keep: comma-separated files of ours that come twice, as w14,w15")
    parser.add_argument("--keep", type=int, help="beside --fresh only so many of all other rows")
    given = parser.parse_args()
    seed_everything(11)
    held = set(given.held_out.split(",")) - {""}
    everything = rows.distinct(own() + open_rows(given.open))
    training = [row for row in everything if row["source"] not in held]
    if given.keep:
        files = {f"delicate_{name}" for name in given.fresh.split(",")}
        fresh = [row for row in training if row["source"] in files]
        training = rows.sample([row for row in training if row["source"] not in files], given.keep) + fresh * 2
    if given.pseudo:
        soft = {row["text"]: row["soft"] for row in rows.jsonl(given.pseudo)}
        training = [{**row, "soft": soft.pop(row["text"])} if row["text"] in soft else row for row in training]
        training += [{"text": text, "soft": scores} for text, scores in soft.items()]
    splitter = Splitter(AutoTokenizer.from_pretrained(given.encoder))
    fill = splitter.fill
    encode = lambda texts: [splitter.ids(text, TOKENS_MAX) for text in texts]
    ids = encode([row["text"] for row in training])
    targets = [target_of(row) for row in training]
    development = rows.jsonl(given.open / "delicate/detexd_dev/dev.jsonl")
    development_ids = encode([row["text"] for row in development])
    held_rows = [row for row in everything if row["source"] in held and "risk" in row]
    held_ids = encode([row["text"] for row in held_rows]) if held_rows else []
    print(f"{len(training)} rows, {sum(map(len, ids)) / len(ids):.0f} tokens each; {len(held_rows)} held out", flush=True)

    def loss_of(model, picks):
        logits = model(*pad([ids[index] for index in picks], fill))
        wanted = torch.tensor([targets[index][0] for index in picks], dtype=torch.float)
        weights = torch.tensor([targets[index][1] for index in picks], dtype=torch.float)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
        return (losses * weights).sum() / weights.sum()

    def evaluate(model):
        labels = [row["label"] for row in development]
        scores = scores_of(model, development_ids, fill, DELICATE)
        best, threshold = metrics.best_f1(scores, labels)
        low, high = metrics.interval(metrics.auc, scores, labels)
        figures = {"dev_auc": round(metrics.auc(scores, labels), 4), "dev_auc_95": [round(low, 3), round(high, 3)], "dev_best_f1": round(best, 4), "dev_threshold": round(threshold, 3)}
        if held_rows:
            bits = [int(row["risk"] >= 3) for row in held_rows]
            figures["held_auc"] = round(metrics.auc(scores_of(model, held_ids, fill, DELICATE), bits), 4)
        return json.dumps(figures)

    model = begin_from(TextClassifier(given.encoder, LOGITS, frozen_layers=given.frozen_layers), given.start)
    fit(model, [len(one) for one in ids], loss_of, given.out, epochs=given.epochs, lr=given.lr, seed=11, evaluate=evaluate, late=None if given.frozen_layers else lambda model: round_from_now_on(model, "blocks"))


if __name__ == "__main__":
    main()
