"""Takes up rows that were written: python take_in.py --blocklist FILE IN.jsonl … Drops those that are in a block list of held-out texts, and near-duplicates of rows that are there."""

import argparse
import json
import re
from pathlib import Path

import rows


def shingles(text):
    words = rows.norm(text).split()
    return {hash(tuple(words[at : at + 5])) for at in range(max(1, len(words) - 4))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--blocklist", type=Path, required=True)
    parser.add_argument("--near", type=float, default=0.5, help="share of five-word sequences that makes a near-duplicate")
    given = parser.parse_args()
    blocked = set(given.blocklist.read_text().split())
    seen = {}
    for path in sorted(rows.OURS.glob("*.jsonl")):
        if path.name not in {file.name for file in given.files}:
            for row in rows.jsonl(path):
                for shingle in shingles(row.get("text") or row["template"]):
                    seen.setdefault(shingle, row.get("pair") or path.stem)
    for file in given.files:
        kept, dropped = [], {"blocked": 0, "near": 0}
        for row in rows.jsonl(file):
            text = row.get("text") or row["template"]
            if blocked.intersection(rows.keys(re.sub(r"\{\{.*?\}\}", "", text))) or blocked.intersection(rows.keys(text)):
                dropped["blocked"] += 1
                continue
            marks = shingles(text)
            own = row.get("pair") or "no pair"
            # The twin of a pair is near on purpose.
            if len(marks) > 2 and sum(seen.get(mark, own) != own for mark in marks) > given.near * len(marks):
                dropped["near"] += 1
                continue
            for mark in marks:
                seen.setdefault(mark, own if row.get("pair") else file.stem)
            kept.append({**row, "source": "ours", "licence": "Apache-2.0", "generator": f"language model, writer {file.stem}"})
        pairs = {}
        for row in kept:
            pairs.setdefault(row.get("pair"), []).append(row)
        kept = [row for row in kept if row.get("pair") is None or len(pairs[row["pair"]]) == 2]
        target = rows.OURS / file.name
        target.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), encoding="utf8")
        print(f"{file.name}: {len(kept)} taken, {dropped['blocked']} blocked, {dropped['near']} near-duplicates")


if __name__ == "__main__":
    main()
