"""How a text becomes tokens, for all three models and here as in `../tokens.ts`: words first, so that every token knows where it stands, then the pieces of each word."""

import functools
import re
import unicodedata

import regex

# A Han character is a word; another word is at most 64 letters, digits, marks and characters that are not seen; every other sign is one by itself.
WORD = regex.compile(r"\p{Han}|[[\p{L}\p{N}\p{M}\p{Cf}_]--\p{Han}]{1,64}|[^\p{L}\p{N}\p{M}\p{Cf}_\s]", regex.V1)


class Splitter:
    """Words and pieces of texts, with the vocabulary of an encoder."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.cls, self.sep, self.fill = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id

    @functools.lru_cache(maxsize=200_000)
    def pieces(self, word):
        """One character that the vocabulary lacks makes the whole word unknown to WordPiece: then its ASCII letters and digits are read without the rest."""
        whole = self.encoded(word)
        plain = unicodedata.normalize("NFD", word).encode("ascii", "ignore").decode() if self.tokenizer.unk_token_id in whole else ""
        return self.encoded(plain) if re.search("[A-Za-z0-9]", plain) else whole

    def encoded(self, word):
        return tuple(self.tokenizer(word, add_special_tokens=False)["input_ids"])

    def words(self, text):
        """[(start, end, ids of its pieces)] of the words that have any."""
        found = ((match.start(), match.end(), self.pieces(match[0])) for match in WORD.finditer(text))
        return [one for one in found if one[2]]

    def ids(self, text, tokens_max, first=()):
        """[CLS] `first` pieces [SEP], at most `tokens_max` of them."""
        room = tokens_max - 2 - len(first)
        pieces = [piece for _, _, word in self.words(text[: room * 24]) for piece in word]
        return [self.cls, *first, *pieces[:room], self.sep]
