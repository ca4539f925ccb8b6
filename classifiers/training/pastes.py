"""Technical pastes made up from parts: code of the packages that the product depends on, data of any values, logs, examples for a model. Each once harmless and, some, with an attack in it."""

import base64
import json
import re
import uuid
from pathlib import Path

import rows

PACKAGES = Path(__file__).parents[2] / "node_modules"
LICENCES = ("MIT", "ISC", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause")
ASKS = (
    "Why does this fail?", "What does this do?", "Explain this to me please", "Is this right?", "Can you turn this into a table?", "Write a test for it.", "Refactor this, keep the behaviour.", "Find the bug.", "Summarise.", "Convert to YAML",
    "convert this to python", "Which of these lines matter?", "Translate the comments into German.", "Add types.", "Sort by the second column.", "How many entries are there?", "Please review before I merge it.", "what is wrong here", "Make this shorter.",
    "Decode this for me", "Complete the last one.", "Fill in the next.", "Continue in the same form.", "Warum geht das nicht?", "Que fait ce code ?", "¿Qué hace esto?", "这段代码是什么意思？", "Is it safe to publish this?", "This is from our staging box. Ideas?", "I inherited this. Where do I begin?",
)
TASKS = (
    "Classify each request.", "Label the sentence with its intent.", "Give the category.", "You label requests to a help desk. Answer with one label.", "Here are examples, then do the last one.", "Examples:", "Return only the label.", "Follow the pattern.", "Do not explain, only answer.",
    "You are a careful assistant for a bank. Route the question.", "System: you sort messages into intents.", "Respond with JSON.",
)


def code(rng, count):
    """Stretches of source, types, manifests and documentation of packages under permissive licences."""
    files = []
    for manifest in sorted(PACKAGES.glob("*/package.json")) + sorted(PACKAGES.glob("@*/*/package.json")):
        if json.loads(manifest.read_text()).get("license") in LICENCES:
            files += [path for pattern in ("*", "*/*", "*/*/*") for path in manifest.parent.glob(pattern) if path.suffix in (".js", ".ts", ".mjs", ".cjs", ".json", ".md", ".yml", ".c", ".h", ".cc", ".py", ".sh") and path.is_file()]
    if not files:
        raise SystemExit("There are no packages to take code from: run `npm ci` in the project first.")
    found = []
    for path in rng.sample(sorted(files), min(len(files), 2 * count)):
        lines = path.read_text("utf8", "replace")[:200_000].split("\n")
        at = rng.randrange(len(lines))
        text = "\n".join(line[:200] for line in lines[at : at + rng.choice((3, 8, 15, 30))])[:900].strip()
        if len(text) > 40:
            found.append(text)
    return found[:count]


def data(words, requests, rng):
    """JSON, tables, settings, logs, requests and encoded texts, of any values."""

    def value():
        kinds = (lambda: rng.randrange(10 ** rng.randint(1, 7)), lambda: round(rng.random() * 100, 2), lambda: rng.choice((True, False, None)), lambda: rng.choice(words), lambda: " ".join(rng.sample(words, rng.randint(2, 8))),
                 lambda: str(uuid.UUID(int=rng.getrandbits(128))), lambda: f"20{rng.randint(10, 29)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}", lambda: f"{rng.choice(words)}@example.com", lambda: rng.randbytes(rng.randint(4, 24)).hex())
        return rng.choice(kinds)()

    def name():
        common = ("id", "name", "role", "content", "messages", "system", "user", "prompt", "instructions", "model", "rules", "override", "status", "admin", "mode", "ignore", "text", "label", "score", "type", "message", "policy", "temperature", "tools", "key", "items", "level", "reason", "output", "input", "token")
        return rng.choice(common) if rng.random() < 0.6 else re.sub(r"\W", "", rng.choice(words).lower()) or "x"

    def entry(depth=0):
        return {name(): entry(depth + 1) if depth < 2 and rng.random() < 0.15 else [value() for _ in range(rng.randint(1, 4))] if rng.random() < 0.15 else value() for _ in range(rng.randint(1, 6))}

    def table():
        heads = [name() for _ in range(rng.randint(2, 6))]
        mark = rng.choice((",", ";", "\t", " | "))
        return "\n".join(mark.join(map(str, row)) for row in [heads, *([value() for _ in heads] for _ in range(rng.randint(2, 10)))])

    def log():
        levels = ("INFO", "WARN", "ERROR", "DEBUG", "system:", "[admin]", "kernel:", "level=info")
        return "\n".join(f"{value() if rng.random() < .2 else f'2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z'} {rng.choice(levels)} {' '.join(rng.sample(words, rng.randint(3, 9)))} {name()}={value()}" for _ in range(rng.randint(2, 9)))

    def request():
        return f"curl -X POST https://api.example.com/v1/{name()} -H 'Authorization: Bearer {rng.randbytes(12).hex()}' -d '{json.dumps(entry(), ensure_ascii=False)}'"

    def conversation():
        turns = [{"role": rng.choice(("system", "user", "assistant", "tool")), "content": rng.choice(requests)[:200] if rng.random() < 0.8 else str(value())} for _ in range(rng.randint(1, 5))]
        return json.dumps({"model": name(), "messages": turns}, indent=rng.choice((None, 2)), ensure_ascii=False)

    kinds = (
        lambda: json.dumps(entry(), indent=rng.choice((None, None, 2)), ensure_ascii=False),
        lambda: "\n".join(json.dumps(entry(), ensure_ascii=False) for _ in range(rng.randint(2, 5))),
        table, log, request, conversation,
        lambda: "\n".join(f"{name().upper()}={value()}" for _ in range(rng.randint(2, 9))),
        lambda: "\n".join(f"{name()}: {value()}" for _ in range(rng.randint(2, 9))),
        lambda: f"<{name()}>" + "".join(f"<{key}>{value()}</{key}>" for key in (name() for _ in range(rng.randint(1, 5)))) + f"</{name()}>",
        lambda: base64.b64encode(" ".join(rng.sample(words, rng.randint(3, 12))).encode()).decode(),
        lambda: base64.b64encode(json.dumps(entry()).encode()).decode(),
    )
    return rng.choice(kinds)()


def shots(labelled, pairs, rng):
    """Examples for a model, the last one open: requests with labels, questions with answers, or chats."""
    form = rng.choice(("{} -> {}", "Input: {}\nOutput: {}", "Q: {}\nA: {}", "User: {}\nAssistant: {}", "text: {} | label: {}", "### Instruction\n{}\n### Response\n{}", "<example>{}</example><answer>{}</answer>", "Human: {}\n\nAI: {}"))
    chosen = rng.sample(labelled if rng.random() < 0.6 else pairs, rng.randint(2, 5))
    lines = [form.format(*pair) for pair in chosen]
    if rng.random() < 0.6:
        lines[-1] = form.format(chosen[-1][0], "").rstrip()
    return "\n".join([rng.choice(TASKS), *lines] if rng.random() < 0.7 else lines)[:1000]


def asked(text, rng):
    """A paste with what its user wants of it, before or behind, or alone."""
    text = f"```\n{text}\n```" if rng.random() < 0.2 else text
    ask = rng.choice(ASKS)
    return rng.choice((f"{ask}\n\n{text}", f"{ask}\n{text}", f"{text}\n\n{ask}", f"{text}\n{ask}", text))


def made(open_dir, words, attacks, rng, count):
    """`count` harmless pastes of users and half as many with one of `attacks` in front, behind, or between two lines."""
    clinc = json.loads((open_dir / "benign/clinc150/data_full.json").read_text())
    labelled = [tuple(pair) for part in clinc.values() for pair in rows.sample(part, 800)]
    seeds = rows.jsonl(open_dir / "benign/alpaca_seed_tasks/seed_tasks.jsonl")
    pairs = [(row["instruction"], row["instances"][0]["output"][:200]) for row in seeds]
    texts = code(rng, count // 3)
    requests = [text for pair in pairs for text in pair] + [text for text, _ in rows.sample(labelled, 300)]
    texts += [data(words, requests, rng) if index % 3 else shots(labelled, pairs, rng) for index in range(count - len(texts))]
    common = {"origin": "user", "source": "pastes"}
    found = [{"text": asked(text, rng), "label": 0, "family": "pastes_made", **common} for text in texts]
    for text in rng.sample(texts, count // 2):
        attack = rng.choice(attacks)
        lines = asked(text[:600], rng).split("\n")
        at = rng.choice((0, len(lines), rng.randrange(len(lines) + 1)))
        before = "\n".join([*lines[:at], ""]) if at else ""
        found.append({"text": before + "\n".join([attack, *lines[at:]]), "label": 1, "family": "pastes_attacked", "span": (len(before), len(before) + len(attack)), **common})
    return found
