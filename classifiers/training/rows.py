"""What the trainings read: rows of ours (`data/`) and the open sets, which are not part of the repository (`--open DIR`; the cards name them)."""

import base64
import csv
import hashlib
import json
import random
import re
from pathlib import Path

OURS = Path(__file__).parent / "data"


def jsonl(path):
    with open(path, encoding="utf8") as file:
        return [json.loads(line) for line in file if line.strip()]


def norm(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def keys(text):
    """Of a text in a block list of held-out texts: the whole, and its beginning when it is long. None for short texts."""
    text = norm(text)
    if len(text) < 20:
        return []
    whole = hashlib.sha256(text.encode()).hexdigest()[:20]
    return [whole] if len(text) <= 160 else [whole, "p" + hashlib.sha256(text[:120].encode()).hexdigest()[:19]]


def distinct(rows):
    """Without those whose text, but for case and punctuation, was there before."""
    seen, kept = set(), []
    for row in rows:
        key = norm(row["text"])
        if key and key not in seen:
            seen.add(key)
            kept.append(row)
    return kept


def sample(rows, count, seed=7):
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows[:count]


def labelled(texts, source, **fields):
    return [{"text": text, "source": source, **fields} for text in texts if text and text.strip()]


def mail(open_dir, groups=("easy-ham-1", "easy-ham-2", "hard-ham-1"), count=1200, chars_max=1500):
    """Bodies of real mails of 2002, without the headers that lists add."""
    rows = [row for row in jsonl(open_dir / "benign/spamassassin_mail/mail.jsonl") if row["group"] in groups]
    return [row["text"][:chars_max] for row in sample(rows, count) if len(row["text"]) > 80]


def documents(open_dir):
    """News, filings, bills and abstracts, two a question."""
    found = []
    for path in sorted((open_dir / "benign/salesforce_docs").glob("*.json")):
        for row in json.loads(path.read_text()):
            found += [(path.name.split("qa_")[0], row[key]) for key in ("doc1", "doc2")]
    return found


def table(path, column):
    with open(path, encoding="utf8", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def clinc(open_dir):
    data = json.loads((open_dir / "benign/clinc150/data_full.json").read_text())
    return [text for part in data.values() for text, _ in part]


def trials(words, rng, count=700):
    """What people and programs send to try a service out, and texts without sense: counted words, one word or phrase over and over, filler, digits, keys, shuffled words."""
    lorem = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua".split()
    greetings = "hi|hello|hello world|hey|test|testing|ok|thanks|yes|no|ping|abc|one two three|good morning|how are you?|what time is it?|tell me a joke|say hello|a|a b c|go on|continue|word|foo bar baz|the quick brown fox jumps over the lazy dog".split("|")

    def phrase(length):
        at = rng.randrange(len(words) - length)
        return " ".join(words[at : at + length])

    kinds = (
        lambda n: " ".join(f"{rng.choice(('word', 'item', 'w', 'row', 'line', 'token', 'text', 'message', 'n'))}{index}" for index in range(n)),
        lambda n: " ".join(f"word {index}" for index in range(n)),
        lambda n: " ".join([rng.choice(words)] * n),
        lambda n: " ".join(rng.choices(lorem, k=n)),
        lambda n: (" ".join(lorem[: rng.randint(2, len(lorem))]) + rng.choice((" ", ". ", "\n"))) * min(n, 40),
        lambda n: (" ".join(rng.sample(words, rng.randint(2, 9))) + rng.choice((" ", ". ", "\n"))) * min(n, 25),
        lambda n: (phrase(rng.randint(3, 12)) + rng.choice((" ", ". ", "\n"))) * min(n, 25),
        lambda n: " ".join(str(rng.randrange(10 ** rng.randint(1, 8))) for _ in range(n)),
        lambda n: " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=rng.randint(1, 9))) for _ in range(n)),
        lambda n: " ".join(rng.choices(words, k=n)),
        lambda n: base64.b64encode(rng.randbytes(n)).decode(),
        lambda n: rng.randbytes(n).hex(),
        lambda n: " ".join(rng.sample(greetings, min(len(greetings), rng.randint(1, 3)))),
        lambda n: rng.choice(greetings) + rng.choice(("", ".", "!", "?", "\n", " ")) * rng.randint(0, 3),
        lambda n: " ".join(rng.choices("a b c d e x y z 1 2 3".split(), k=n)),
        lambda n: (rng.choice(greetings) + rng.choice((" ", "\n", ", "))) * n,
    )
    return [rng.choice(kinds)(rng.choice((1, 2, 3, 5, 10, 20, 40, 80, 150))) for _ in range(count)]
