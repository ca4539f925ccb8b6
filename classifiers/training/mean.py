"""The mean of several trainings' weights: python mean.py FILE FILE … --out FILE. What each learned at the cost of something else evens out. `--shift` is added to the logit, so that a model trained anew can keep the thresholds of the one before: it moves scores, and no order among them."""

import argparse
from pathlib import Path

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shift", type=float, default=0)
    given = parser.parse_args()
    all_weights = [torch.load(file, weights_only=True) for file in given.files]
    mean = {name: torch.stack([weights[name].float() for weights in all_weights]).mean(0).to(value.dtype) for name, value in all_weights[0].items()}
    for bias in ("head.bias", "tokens.bias"):
        if bias in mean:
            mean[bias] += given.shift
    torch.save(mean, given.out)


if __name__ == "__main__":
    main()
