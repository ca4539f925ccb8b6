"""The encoder with a head: a text, or each of its tokens, to logits."""

import torch
from torch import nn
from transformers import AutoModel

from fit import autocast, pad


BLOCK = 32


def by_block(values, to_lowest):
    """Symmetric 8 bits with a scale for each `BLOCK` neighbours of the last dimension, whose largest becomes -128 (`to_lowest`) or 127; gradients pass as if nothing had been rounded."""
    with torch.no_grad():
        blocks = values.float().unflatten(-1, (-1, BLOCK))
        largest = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True))
        steps = largest / -128 if to_lowest else largest.abs() / 127
        rounded = (blocks / torch.where(steps == 0, 1.0, steps)).round().clamp(-128, 127) * steps
        shift = rounded.flatten(-2) - values
    return values + shift


class Int8Linear(nn.Linear):
    """A linear layer that can compute with the rounding of the int8 one that is served, so that training ends on what is served. `tensor`: weights by output
    channel, activations by tensor in 8 bits without a sign, as `DynamicQuantizeLinear` of ONNX has it. `blocks`: both by blocks of 32, as `MatMulNBits`."""

    rounding = None
    kept = None  # the rounded weight and what it was made of, while nothing is trained

    def forward(self, states):
        if self.rounding is None:
            return super().forward(states)
        if self.rounding == "blocks":
            return nn.functional.linear(by_block(states, False), self.rounded(), self.bias)
        with torch.no_grad():
            low, high = (bound.float() for bound in torch.aminmax(states))
            low, high = low.clamp(max=0), high.clamp(min=0)
            scale = ((high - low) / 255).clamp(min=1e-8)
            zero = (-low / scale).round().int()
        states = torch.fake_quantize_per_tensor_affine(states.float(), scale, zero, 0, 255)
        return nn.functional.linear(states, self.rounded(), self.bias)

    def rounded(self):
        made_of = (self.weight._version, self.rounding)
        if not torch.is_grad_enabled() and self.kept is not None and self.kept[0] == made_of:
            return self.kept[1]
        if self.rounding == "blocks":
            weight = by_block(self.weight, True)
        else:
            with torch.no_grad():
                steps = (self.weight.abs().amax(1) / 127).clamp(min=1e-8)
            weight = torch.fake_quantize_per_channel_affine(self.weight, steps, torch.zeros_like(steps, dtype=torch.int32), 0, -127, 127)
        self.kept = None if torch.is_grad_enabled() else (made_of, weight)
        return weight


def encoder_of(folder):
    """The encoder without its pooling, its linear layers as `Int8Linear`. Without dropout, which takes half the time of a step on a CPU, and rules out the fused attention."""
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    for module in encoder.modules():
        if type(module) is nn.Linear:
            module.__class__ = Int8Linear
    return encoder


def round_from_now_on(model, rounding="tensor"):
    """Lets every `Int8Linear` of `model` compute as the int8 model that is served."""
    for module in model.modules():
        if isinstance(module, Int8Linear):
            module.rounding = rounding


class TextClassifier(nn.Module):
    """Mean of the token states, then one linear layer. `ids`, `mask`: [batch, tokens] int64; answers [batch, labels] logits."""

    def __init__(self, encoder_dir, labels, dropout=0.1, frozen_layers=0):
        super().__init__()
        self.encoder = encoder_of(encoder_dir)
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


class PlantedClassifier(TextClassifier):
    """Besides the mean of the states, which sees what kind of text it is, a score for each token, which sees the one sentence in a long text that does not
    belong there: the highest mean of five neighbours counts, and either of the two is enough."""

    NEIGHBOURS = 5
    NOTHING = -12.0  # logit of a token that only fills the batch

    def __init__(self, encoder_dir, dropout=0.1):
        super().__init__(encoder_dir, 1, dropout)
        self.tokens = nn.Linear(self.encoder.config.hidden_size, 1)
        nn.init.constant_(self.tokens.bias, -3.0)

    def of_tokens(self, ids, mask):
        """Logits [batch, 1] of the texts, and [batch, tokens] of their tokens."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        whole = self.head(self.dropout(mean)).float()
        each = self.tokens(states)[..., 0].float()
        known = torch.where(mask == 0, torch.full_like(each, self.NOTHING), each).unsqueeze(1)
        worst = nn.functional.avg_pool1d(known, self.NEIGHBOURS, 1, self.NEIGHBOURS // 2)[:, 0].amax(1, keepdim=True)
        return whole + nn.functional.softplus(worst - whole), each

    def forward(self, ids, mask):
        return self.of_tokens(ids, mask)[0]


@torch.no_grad()
def scores_of(model, ids, fill, label, batch=32):
    """Probability of one label for each text, in the order of `ids` (lists of tokens); `fill` is the padding token."""
    model.eval()
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    scores = [0.0] * len(ids)
    for start in range(0, len(order), batch):
        picks = order[start : start + batch]
        with autocast():
            logits = model(*pad([ids[index] for index in picks], fill))
        for index, score in zip(picks, logits[:, label].float().sigmoid().tolist()):
            scores[index] = score
    return scores


CASES = 6  # of a token's letters: none, lower, Capital, UPPER, miXed, with digits


class TokenClassifier(nn.Module):
    """Adds an embedding of each token's letter case to an uncased encoder. `ids`, `mask`, `cases`: [batch, tokens]; answers [batch, tokens, labels]."""

    def __init__(self, encoder_dir, labels, dropout=0.1):
        super().__init__()
        self.encoder = encoder_of(encoder_dir)
        width = self.encoder.config.hidden_size
        self.cases = nn.Embedding(CASES, width)
        nn.init.normal_(self.cases.weight, std=0.02)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, labels)

    def forward(self, ids, mask, cases):
        words = self.encoder.embeddings.word_embeddings(ids) + self.cases(cases)
        states = self.encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state
        return self.head(self.dropout(states))
