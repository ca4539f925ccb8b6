"""Writes what the figures of the cards are measured on: python validation.py --open DIR --out DIR. One JSONL file a task and origin, for `sallyport classify`; whole sources that no training read, but for `calibrate`, where thresholds come from, and `pastes`, a quarter of what its writer wrote."""

import argparse
import json
import random
from pathlib import Path

import injection
import pii_texts
import rows


def long_documents(open_dir):
    """Mail, posts and web text of sources that were never a carrier."""
    found = [text for text in rows.mail(open_dir, groups=("spam-2",), count=400, chars_max=6000)]
    found += [text for text in rows.table(open_dir / "benign/newsgroups_sample/20newsgroups.csv", "text") if len(text) > 200]
    for path, word, tag in (("uner_ewt/en_ewt-ud-dev.iob2", 1, 2), ("wikigold/wikigold.conll.txt", 0, 1), ("sec_filings/FIN3.txt", 0, 3)):
        sentences = [text for text, _, _ in pii_texts.conll(open_dir / "pii" / path, word, tag, pii_texts.NER)]
        found += [" ".join(sentences[at : at + 20]) for at in range(0, len(sentences), 20)]
    return found


def for_injection(open_dir, rng):
    benign = open_dir / "benign"
    seen = {rows.norm(row["text"])[:400] for row in injection.open_rows(open_dir, random.Random(13))}
    unseen = lambda texts, count: rows.sample((text for text in texts if rows.norm(text)[:400] not in seen), count)
    calibrate = unseen((row["text"] for row in rows.jsonl(benign / "dolly_benign/dolly_prompts.jsonl")), 900)
    calibrate += unseen(rows.clinc(open_dir), 200)
    calibrate += unseen((row["text"] for row in rows.jsonl(open_dir / "injection/promptshield_permissive/ultrachat_ifeval_benign.jsonl")), 500)
    yield from ({"text": text, "label": 0, "source": "calibrate", "origin": "user"} for text in calibrate)
    yield from ({"text": row["text"], "label": row["label"], "source": "pastes", "origin": "user"} for row in rows.jsonl(rows.OURS / "validation_pastes.jsonl"))
    documents = long_documents(open_dir)
    rng.shuffle(documents)
    half = len(documents) // 2
    for origin in ("document", "tool"):
        yield from ({"text": text, "label": 0, "source": "calibrate", "origin": origin} for text in documents[:half])
    yield from ({"text": text, "label": 0, "source": "documents, whole", "origin": "document"} for text in documents[half:])
    held = rows.distinct(row for row in injection.open_rows(open_dir, random.Random(13)) if row["source"] in injection.HELD_SOURCES)
    yield from ({key: row[key] for key in ("text", "label", "source", "origin")} for row in held)
    # Wrappers and instructions of a source that no training read, typed by a user and placed into mail, posts and web text.
    seeds = open_dir / "injection/spikee_seeds"
    wrappers = [row["text"] for path in sorted(seeds.glob("*jailbreaks.jsonl")) for row in rows.jsonl(path) if row["jailbreak_type"] != "no-jailbreak"]
    instructions = [row["instruction"] for path in sorted(seeds.glob("*instructions.jsonl")) if "harmful" not in path.name for row in rows.jsonl(path)]
    attacks = [rng.choice(wrappers).replace("<INSTRUCTION>", rng.choice(instructions)) for _ in range(700)]
    yield from ({"text": text, "label": 1, "source": "spikee, typed", "origin": "user"} for text in attacks[:300])
    for index, text in enumerate(attacks[300:]):
        host = documents[half + index % (len(documents) - half)]
        origin = "document" if index % 2 == 0 else "tool"
        yield {"text": injection.place(host, text, rng)[0], "label": 1, "source": "spikee, embedded", "origin": origin}
        yield {"text": injection.place(host, rng.choice(("Please ring me back.", "See you on Friday.", "More below.")), rng)[0], "label": 0, "source": "the same, clean", "origin": origin}


def for_delicate(open_dir, rng):
    yield from ({"text": row["text"], "label": row["label"], "source": "detexd_dev"} for row in rows.jsonl(open_dir / "delicate/detexd_dev/dev.jsonl"))
    posts = rows.table(open_dir / "benign/newsgroups_sample/20newsgroups.csv", "text")
    topics = rows.table(open_dir / "benign/newsgroups_sample/20newsgroups.csv", "label")
    yield from ({"text": text[:900], "label": 0, "source": "sport posts"} for text, topic in zip(posts, topics) if topic.startswith("rec.") and len(text) > 100)
    yield from ({"text": text[:900], "label": 0, "source": "business mail"} for text in rows.mail(open_dir, groups=("hard-ham-1",), count=200))


def for_pii(open_dir, rng):
    _, held = pii_texts.templates()
    for row in held:
        for _ in range(2):
            text, spans = pii_texts.fill(row["template"], row["lang"], rng)
            yield {"text": text, "spans": spans, "source": "templates of ours"}
    for name, (path, word, tag) in {"wnut17 dev": ("wnut17/emerging.dev.conll", 0, 1), "uner_ewt": ("uner_ewt/en_ewt-ud-dev.iob2", 1, 2)}.items():
        for text, spans, _ in pii_texts.conll(open_dir / "pii" / path, word, tag, pii_texts.NER):
            yield {"text": text, "spans": spans, "source": name}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for task, make in {"injection": for_injection, "delicate": for_delicate, "pii": for_pii}.items():
        made = list(make(given.open, random.Random(23)))
        for origin in sorted({row.get("origin", "user") for row in made}):
            with open(given.out / f"{task}.{origin}.jsonl", "w", encoding="utf8") as file:
                for index, row in enumerate(made):
                    if row.get("origin", "user") == origin:
                        file.write(json.dumps({"id": index, **row}, ensure_ascii=False) + "\n")
        print(task, len(made))


if __name__ == "__main__":
    main()
