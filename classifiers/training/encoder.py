"""The encoder with a head: a text, or each of its tokens, to logits."""

import torch
from torch import nn
from transformers import AutoModel

from fit import pad


class TextClassifier(nn.Module):
    """Mean of the token states, then one linear layer. `ids`, `mask`: [batch, tokens] int64; answers [batch, labels] logits."""

    def __init__(self, encoder_dir, labels, dropout=0.1, frozen_layers=0):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(encoder_dir, add_pooling_layer=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, labels)
        if frozen_layers > 0:
            for part in (self.encoder.embeddings, *self.encoder.encoder.layer[:frozen_layers]):
                part.requires_grad_(False)

    def forward(self, ids, mask):
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return self.head(self.dropout(mean))


@torch.no_grad()
def scores_of(model, ids, fill, label, batch=32):
    """Probability of one label for each text, in the order of `ids` (lists of tokens); `fill` is the padding token."""
    model.eval()
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    scores = [0.0] * len(ids)
    for start in range(0, len(order), batch):
        picks = order[start : start + batch]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(*pad([ids[index] for index in picks], fill))
        for index, score in zip(picks, logits[:, label].float().sigmoid().tolist()):
            scores[index] = score
    return scores


CASES = 6  # of a token's letters: none, lower, Capital, UPPER, miXed, with digits


class TokenClassifier(nn.Module):
    """Adds an embedding of each token's letter case to an uncased encoder. `ids`, `mask`, `cases`: [batch, tokens]; answers [batch, tokens, labels]."""

    def __init__(self, encoder_dir, labels, dropout=0.1):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(encoder_dir, add_pooling_layer=False)
        width = self.encoder.config.hidden_size
        self.cases = nn.Embedding(CASES, width)
        nn.init.normal_(self.cases.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, labels)

    def forward(self, ids, mask, cases):
        words = self.encoder.embeddings.word_embeddings(ids) + self.cases(cases)
        states = self.encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state
        return self.head(self.dropout(states))
