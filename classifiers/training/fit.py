"""One training loop for all three classifiers: batches by length, bf16 where it is fast, checkpoints, resumable, seeded."""

import argparse
import hashlib
import json
import math
import os
import random
import time
from pathlib import Path

import torch

CHECKPOINT_EVERY_S = 180


def autocast():
    """To bf16, where the CPU computes with it: emulated, a step takes thirty times as long as in float."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu.get_capabilities().get("avx512_bf16", False))


def batches(lengths, tokens_per_batch, seed):
    """Indices of the examples, grouped by similar length so that little padding is computed; the order of the groups is random."""
    rng = random.Random(seed)
    order = sorted(range(len(lengths)), key=lambda index: (lengths[index] + rng.uniform(-4, 4), rng.random()))
    groups, group, longest = [], [], 0
    for index in order:
        longest = max(longest, lengths[index])
        if group and (len(group) + 1) * longest > tokens_per_batch:
            groups.append(group)
            group, longest = [], lengths[index]
        group.append(index)
    groups.append(group)
    rng.shuffle(groups)
    return groups


def pad(rows, fill):
    """list of [tokens] -> ids and mask, each [batch, tokens] int64."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def fit(model, lengths, loss_of, out, *, epochs, lr, seed, tokens_per_batch=4096, evaluate=None, late=None, late_from=2 / 3):
    """Trains `model` in place. `loss_of(model, indices)` gives the loss of a batch; `late(model)` is called before each step from the share `late_from` of them on. State is
    kept in `out`; an interrupted run goes on there."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    plan = [group for epoch in range(epochs) for group in batches(lengths, tokens_per_batch, seed + epoch)]
    identity = hashlib.sha256(json.dumps([lengths, epochs, lr, seed, tokens_per_batch]).encode()).hexdigest()
    decay = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    rest = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}], lr=lr)
    warmup = max(1, len(plan) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.02, (len(plan) - step) / (len(plan) - warmup + 1)))
    )
    checkpoint, start = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["identity"] == identity:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
            start = state["step"]
            print(f"going on at step {start} of {len(plan)}", flush=True)
    saved_s = begun_s = time.time()
    epoch_steps, running = len(plan) // epochs, None
    for step in range(start, len(plan)):
        if late is not None and step >= late_from * len(plan):
            late(model)
        model.train()
        with autocast():
            loss = loss_of(model, plan[step])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        done = step + 1
        if done % 50 == 0:
            left_s = (time.time() - begun_s) / (done - start) * (len(plan) - done)
            print(f"step {done}/{len(plan)} loss {running:.4f}, {math.ceil(left_s / 60)} min left", flush=True)
        if done % epoch_steps == 0 and evaluate is not None:
            print(f"epoch {done // epoch_steps}: {evaluate(model)}", flush=True)
        if time.time() - saved_s > CHECKPOINT_EVERY_S or done == len(plan):
            state = {
                "identity": identity,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": done,
            }
            torch.save(state, out / "checkpoint.part")
            os.replace(out / "checkpoint.part", checkpoint)
            saved_s = time.time()
    torch.save(model.state_dict(), out / "model.pt")


def arguments(description, *, epochs, lr):
    """What every training takes; more may be added before it is parsed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--open", type=Path, required=True, help="folder of open data sets")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the encoder to start from")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and weights")
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from; parts of another shape begin anew")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--lr", type=float, default=lr)
    return parser


def begin_from(model, weights):
    """Loads what fits of `weights` (a file, or None) into `model`."""
    if weights is not None:
        known = model.state_dict()
        model.load_state_dict({**known, **{name: value for name, value in torch.load(weights, weights_only=True).items() if name in known and known[name].shape == value.shape}})
    return model


def seed_everything(seed):
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(os.cpu_count() or 1)
