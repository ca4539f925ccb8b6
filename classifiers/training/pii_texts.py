"""What `pii` is trained on: filled templates and stretches of open sets, as (text, spans, partly), and as tokens with tags."""

import hashlib
import re

import rows
from pii_values import Values

TOKENS_MAX = 256
LABELS = (
    "PERSON ORGANIZATION LOCATION ADDRESS EMAIL PHONE DATE_OF_BIRTH DATE AGE GOV_ID MEDICAL_ID BANK_ACCOUNT CREDIT_CARD IP_ADDRESS URL USERNAME CREDENTIAL VEHICLE_ID"
).split()
TAGS = ["O"] + [f"{part}-{label}" for label in LABELS for part in "BI"]
TAG_IDS = {tag: index for index, tag in enumerate(TAGS)}
IGNORED = -100
LABEL_OF_SLOT = {
    slot: label
    for label, slots in {
        "PERSON": "PERSON FIRST LAST TITLE",
        "ORGANIZATION": "ORGANIZATION",
        "LOCATION": "CITY COUNTRY STATE REGION NATIONALITY",
        "ADDRESS": "ADDRESS STREET STREET_ADDRESS ZIP ADDRESS_BLOCK",
        "EMAIL": "EMAIL",
        "PHONE": "PHONE",
        "DATE_OF_BIRTH": "DATE_OF_BIRTH DOB",
        "DATE": "DATE TIME",
        "AGE": "AGE",
        "GOV_ID": "SSN PASSPORT DRIVER_LICENSE TAX_ID NATIONAL_ID",
        "MEDICAL_ID": "MEDICAL_ID",
        "BANK_ACCOUNT": "IBAN SWIFT BANK_ACCOUNT ACCOUNT_NUMBER ROUTING_NUMBER",
        "CREDIT_CARD": "CREDIT_CARD CVV CARD_EXPIRY",
        "IP_ADDRESS": "IP",
        "URL": "URL DOMAIN",
        "USERNAME": "USERNAME",
        "CREDENTIAL": "PASSWORD API_KEY PIN TOKEN",
        "VEHICLE_ID": "LICENSE_PLATE VIN",
    }.items()
    for slot in slots.split()
}
SLOT = re.compile(r"\{\{(!?[A-Z_]+)\}\}")


def fill(template, lang, rng):
    """(text, spans): every slot with a value. Neighbouring parts of a name or an address are one entity."""
    values = Values(rng, lang)
    text, spans, at = "", [], 0
    for slot in SLOT.finditer(template):
        text += template[at : slot.start()]
        value = values.value(slot[1])
        label = LABEL_OF_SLOT.get(slot[1])
        if label == "USERNAME" and text.endswith("@"):
            value = value.lstrip("@")
        if label is not None:
            scheme = re.search(r"https?://$", text) if label == "URL" else None
            spans.append([len(text) - len(scheme[0] if scheme else ""), len(text) + len(value), label, slot[1]])
        text += value
        at = slot.end()
    text += template[at:]
    joined = []
    previous = ""
    for start, end, label, slot in spans:
        gap = text[joined[-1][1] : start] if joined else None
        parts = {"PERSON": gap == " " and previous != "PERSON" or gap == ", " and (previous, slot) == ("LAST", "FIRST"), "ADDRESS": gap in (" ", ", ", "\n")}
        if joined and joined[-1][2] == label and parts.get(label):
            joined[-1][1] = end
        else:
            joined.append([start, end, label])
        previous = slot
    return text, joined


def varied(text, spans, rng):
    """Case and scan noise that keeps the length: what forms, chats and OCR do to a text."""
    kind = rng.random()
    if kind < 0.13:
        changed = text.lower()
    elif kind < 0.19:
        changed = text.upper()
    elif kind < 0.22:
        changed = "".join({"0": "O", "1": "l", "5": "S"}.get(char, char) if rng.random() < 0.1 else char for char in text)
    else:
        return text, spans
    return (changed, spans) if len(changed) == len(text) else (text, spans)


def templates():
    """(training, held out): by the template, so that no held-out sentence was seen with other values."""
    everything = [row for path in sorted(rows.OURS.glob("pii_*.jsonl")) for row in rows.jsonl(path)]
    held = [row for row in everything if hashlib.sha256(row["template"].encode()).digest()[0] < 26]
    kept = {row["template"] for row in held}
    return [row for row in everything if row["template"] not in kept], held


def conll(path, word_column, tag_column, tag_map):
    """Sentences of a CoNLL file as (text, spans, partly): what these sets do not label is not counted against a tag."""
    found, words, tags = [], [], []
    for line in [*path.read_text(encoding="utf8").splitlines(), ""]:
        cells = re.split(r"\t| ", line)
        if line.strip() == "" or line.startswith(("#", "-DOCSTART-")):
            if len(words) > 3:
                found.append(joined(words, tags))
            words, tags = [], []
        elif len(cells) > max(word_column, tag_column):
            words.append(cells[word_column])
            tags.append(tag_map.get(cells[tag_column].split("-")[-1].lower()))
    return found


def joined(words, tags):
    text, spans = "", []
    for index, (word, label) in enumerate(zip(words, tags)):
        if text and not re.match(r"^[.,;:!?)\]'’%]", word) and not text.endswith(("(", "[", "$", "#")):
            text += " "
        start = len(text)
        text += word
        if label is None:
            continue
        if word.startswith("@"):
            label = "USERNAME"
        if spans and spans[-1][2] == label and index > 0 and tags[index - 1] == label:
            spans[-1][1] = len(text)
        else:
            spans.append([start, len(text), label])
    return text, spans, True


NER = {"per": "PERSON", "person": "PERSON", "loc": "LOCATION", "location": "LOCATION", "geo": "LOCATION", "org": "ORGANIZATION", "organization": "ORGANIZATION", "corporation": "ORGANIZATION", "group": "ORGANIZATION"}
MEDDOCAN = {
    "NOMBRE_SUJETO_ASISTENCIA": "PERSON", "NOMBRE_PERSONAL_SANITARIO": "PERSON", "TERRITORIO": "LOCATION", "PAIS": "LOCATION", "CALLE": "ADDRESS", "FECHAS": "DATE", "EDAD_SUJETO_ASISTENCIA": "AGE",
    "CORREO_ELECTRONICO": "EMAIL", "NUMERO_TELEFONO": "PHONE", "NUMERO_FAX": "PHONE", "ID_SUJETO_ASISTENCIA": "MEDICAL_ID", "ID_ASEGURAMIENTO": "GOV_ID", "HOSPITAL": "ORGANIZATION", "INSTITUCION": "ORGANIZATION",
}
LIFEBENCH = {"PERSON": "PERSON", "ORG": "ORGANIZATION", "LOCATION": "LOCATION", "PHONE": "PHONE", "EMAIL": "EMAIL"}


def windows(text, spans, partly, size=700):
    """Stretches of a long text, cut at line ends."""
    start = 0
    while start < len(text):
        end = min(len(text), start + size)
        if end < len(text):
            seam = text.rfind("\n", start + size // 2, end)
            end = seam if seam > 0 else end
        inside = [[a - start, b - start, label] for a, b, label in spans if a >= start and b <= end]
        if not any(a < end < b or a < start < b for a, b, _ in spans):
            yield text[start:end], inside, partly
        start = max(end, start + 1)


def open_sets(open_dir, rng):
    pii = open_dir / "pii"
    found = conll(pii / "wnut17/wnut17train.conll", 0, 1, NER)
    found += conll(pii / "wikigold/wikigold.conll.txt", 0, 1, NER)
    for part in "abgh":
        found += rng.sample(conll(pii / f"broad_twitter/{part}.conll", 0, 1, NER), 400)
    found += conll(pii / "sec_filings/FIN5.txt", 0, 3, NER)
    found += rng.sample(conll(pii / "germeval14/NER-de-dev.tsv", 1, 2, NER), 700)
    for name in ("lifebench/yuxiaowei.jsonl", "lifebench/fenghaoran.jsonl", "lifebench/yemingxuan.jsonl"):
        for row in rng.sample(rows.jsonl(pii / name), 60):
            found += windows(row["text"], [[s["start"], s["end"], LIFEBENCH[s["type"]]] for s in row["spans"] if s["type"] in LIFEBENCH], True)
    for row in rng.sample(rows.jsonl(pii / "meddocan_es/meddocan_train.jsonl"), 150):
        spans = sorted([s["start"], s["end"], MEDDOCAN[s["type"]]] for s in row["spans"] if s["type"] in MEDDOCAN)
        found += windows(row["text"], spans, True)
    return [one for one in found if len(one[0]) > 20]


DATELIKE = re.compile(r"\d|^(january|february|march|april|june|july|august|september|october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|tomorrow|yesterday|[@#].*|http.*|rt)$", re.I)


def case_of(word):
    """Index of a word's letter case, as `encoder.CASES` counts them."""
    if any(char.isdecimal() for char in word):
        return 5
    letters = [char for char in word if char.isalpha()]
    if not letters:
        return 0
    if all(char.islower() or not char.isupper() for char in letters):
        return 1
    if all(char.isupper() for char in letters):
        return 3 if len(letters) > 1 else 2
    return 2 if word[0].isupper() and not any(char.isupper() for char in word[1:]) else 4


def encoded(splitter, text, spans, partly):
    """ids, cases, tags: each [tokens]. Only the first piece of a word carries a tag; later ones, and what an open set does not label, are ignored."""
    ids, cases, tags = [splitter.cls], [0], [IGNORED]
    for start, end, piece in splitter.words(text):
        if len(ids) + len(piece) >= TOKENS_MAX:
            break
        span = next((one for one in spans if one[0] < end and start < one[1]), None)
        if span is None:
            tag = IGNORED if partly and DATELIKE.search(text[start:end]) else 0
        else:
            tag = TAG_IDS[f"{'B' if start <= span[0] else 'I'}-{span[2]}"]
        ids += piece
        cases += [case_of(text[start:end])] * len(piece)
        tags += [tag] + [IGNORED] * (len(piece) - 1)
    return ids + [splitter.sep], cases + [0], tags + [IGNORED]
