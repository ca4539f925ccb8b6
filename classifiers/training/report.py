"""The figures of a card: python report.py TASK --rows DIR (of validation.py) --scored DIR (the same files through `sallyport classify`). Prints tables in Markdown."""

import argparse
import collections
import math
from pathlib import Path

import metrics
import rows

WORDS = (0, 30, 100, 300, 10**9)


def joined(task, rows_dir, scored_dir):
    for path in sorted(Path(rows_dir).glob(f"{task}.*.jsonl")):
        for row, scored in zip(rows.jsonl(path), rows.jsonl(Path(scored_dir) / path.name)):
            assert row["id"] == scored["id"], path
            yield {**scored, **row}


def share(hits, count):
    """Percentage with its 95 % Wilson interval."""
    if count == 0:
        return ""
    z, rate = 1.96, hits / count
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return f"{100 * rate:.1f} % ({100 * max(0, middle - half):.1f}–{100 * (middle + half):.1f})"


def table(head, lines):
    print("\n| " + " | ".join(head) + " |\n| " + " | ".join("---" for _ in head) + " |")
    for line in lines:
        print("| " + " | ".join(str(cell) for cell in line) + " |")


def texts(found):
    def line(name, group):
        attacks, harmless = [one for one in group if one["label"]], [one for one in group if not one["label"]]
        flagged = lambda some: share(sum(one["flagged"] for one in some), len(some))
        scores, labels = [one["score"] for one in group], [one["label"] for one in group]
        both = attacks and harmless
        auc = f"{metrics.auc(scores, labels):.3f}" if both else ""
        bits = [float(one["flagged"]) for one in group]
        f1 = lambda scores, labels: metrics.f1(scores, labels, 0.5)
        low, high = metrics.interval(f1, bits, labels) if both else (0, 0)
        return name, len(attacks), flagged(attacks), len(harmless), flagged(harmless), auc, f"{f1(bits, labels):.3f} ({low:.3f}–{high:.3f})" if both else ""

    head = ("", "positive", "found", "negative", "flagged", "AUC", "F1")
    reported = [one for one in found if one["source"] != "calibrate"]
    sources = collections.defaultdict(list)
    for one in found:
        sources[(one["source"], one.get("origin", ""))].append(one)
    table(head, [line(", ".join(filter(None, key)), group) for key, group in sources.items()])
    lengths = collections.defaultdict(list)
    for one in reported:
        words = len(one["text"].split())
        bound = next(index for index in range(len(WORDS)) if words < WORDS[index + 1])
        lengths[bound].append(one)
    named = lambda bound: f"{WORDS[bound]} words and more" if bound == len(WORDS) - 2 else f"{WORDS[bound]} to {WORDS[bound + 1] - 1} words"
    table(head, [line(named(bound), lengths[bound]) for bound in sorted(lengths)])


def thresholds(found):
    """What a threshold by false alarms on the calibration rows would be, and what it finds in all others."""
    for origin in sorted({one.get("origin", "user") for one in found}):
        here = [one for one in found if one.get("origin", "user") == origin]
        calm = [one["score"] for one in here if one["source"] == "calibrate"]
        if calm:
            attacks = [one["score"] for one in here if one["label"] == 1]
            harmless = [one["score"] for one in here if one["label"] == 0 and one["source"] != "calibrate"]
            for rate in (0.003, 0.005, 0.01, 0.02, 0.03, 0.05):
                at = metrics.threshold_at(calm, rate)
                print(f"{origin}: {100 * rate:.1f} % of calibration at {at:.4f}: found {metrics.rate(attacks, at):.3f}, other harmless flagged {metrics.rate(harmless, at):.3f}")
        else:
            scores, labels = [one["score"] for one in here], [one["label"] for one in here]
            print(origin, "best F1 and threshold", metrics.best_f1(scores, labels))


def spans(found):
    lines = []
    for source in dict.fromkeys(one["source"] for one in found):
        true = missed = wrong = words = hits = extra = total = 0
        for one in (one for one in found if one["source"] == source):
            covered = [False] * len(one["text"])
            # Offsets of `classify` are UTF-16 code units.
            place = [index for index, char in enumerate(one["text"]) for _ in range(2 if ord(char) > 0xFFFF else 1)] + [len(one["text"])]
            for entity in one["entities"]:
                for index in range(place[entity["start"]], place[entity["end"]]):
                    covered[index] = True
            wanted = [False] * len(one["text"])
            for start, end, _ in one["spans"]:
                wanted[start:end] = [True] * (end - start)
                total += 1
                hits += sum(covered[start:end]) * 2 >= end - start
            extra += sum(not any(wanted[place[entity["start"]] : place[entity["end"]]]) for entity in one["entities"])
            true += sum(wanted)
            missed += sum(want and not cover and char.isalnum() for want, cover, char in zip(wanted, covered, one["text"]))
            words += len(one["text"].split())
        recall, precision = hits / max(1, total), hits / max(1, hits + extra)
        f2 = 5 * precision * recall / max(1e-9, 4 * precision + recall)
        lines.append((source, total, share(hits, total), f"{100 * missed / max(1, true):.1f} %", f"{1000 * extra / words:.1f}", f"{f2:.3f}"))
    table(("", "entities", "found (half of its characters)", "characters left readable", "false entities in 1,000 words", "F2"), lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("injection", "delicate", "pii"))
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--scored", type=Path, required=True)
    given = parser.parse_args()
    found = list(joined(given.task, given.rows, given.scored))
    if given.task == "pii":
        spans(found)
    else:
        texts(found)
        print()
        thresholds(found)


if __name__ == "__main__":
    main()
