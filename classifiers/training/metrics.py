"""Figures for cards and for choosing: AUC, F1 at a threshold, recall at a fixed false-positive rate, with bootstrap intervals."""

import random


def auc(scores, labels):
    """Probability that a positive scores higher than a negative (ties count half)."""
    ranked = sorted(zip(scores, labels))
    rank_sum, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        rank_sum += sum(label for _, label in ranked[at:end]) * (at + 1 + end) / 2
        at = end
    positives = sum(labels)
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def f1(scores, labels, threshold):
    hits = sum(1 for score, label in zip(scores, labels) if score >= threshold and label == 1)
    flagged = sum(score >= threshold for score in scores)
    total = flagged + sum(labels)
    return 2 * hits / total if total else float("nan")


def best_f1(scores, labels):
    """(F1, threshold) where F1 is highest."""
    return max((f1(scores, labels, threshold), threshold) for threshold in sorted(set(scores)))


def rate(scores, threshold):
    """Share of scores at or above the threshold."""
    return sum(score >= threshold for score in scores) / len(scores) if scores else float("nan")


def threshold_at(benign_scores, false_positive_rate):
    """Lowest threshold at which at most this share of benign scores is flagged."""
    ranked = sorted(benign_scores, reverse=True)
    return ranked[min(len(ranked) - 1, int(len(ranked) * false_positive_rate))] + 1e-6


def interval(figure, scores, labels, rounds=400, seed=1):
    """95 % bootstrap interval of `figure(scores, labels)`."""
    rng = random.Random(seed)
    values = []
    for _ in range(rounds):
        picks = [rng.randrange(len(scores)) for _ in scores]
        values.append(figure([scores[i] for i in picks], [labels[i] for i in picks]))
    values.sort()
    return values[int(0.025 * rounds)], values[int(0.975 * rounds)]
