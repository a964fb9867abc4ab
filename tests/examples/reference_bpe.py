"""GPT-2's byte-level BPE and fairseq's token files, from their definitions, independently of demix."""

import json
import struct
import unicodedata
from functools import lru_cache
from pathlib import Path

import tiny_data

EOS, UNK, RESERVED = 2, 3, 4
BYTE_SYMBOL = {byte: chr(byte if byte in tiny_data.PRINTING else 256 + tiny_data.BYTES.index(byte) - len(tiny_data.PRINTING))
               for byte in range(256)}
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SEPARATORS = "\x1c\x1d\x1e\x1f"  # white space for str, but not for the pattern


@lru_cache(maxsize=None)
def kind(character):
    if character.isspace() and character not in SEPARATORS:
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "other")


def pieces(text):
    """The pieces that BPE never merges across: what Radford et al.'s pattern finds from left to right."""
    at = 0
    while at < len(text):
        contraction = next((each for each in CONTRACTIONS if text.startswith(each, at)), None)
        first = at + (text[at] == " " and at + 1 < len(text) and kind(text[at + 1]) != "space")
        end = first + 1
        if contraction:
            end = at + len(contraction)
        else:
            while end < len(text) and kind(text[end]) == kind(text[first]):
                end += 1
            if kind(text[first]) == "space" and end < len(text) and end - at > 1:
                end -= 1  # the last one belongs to what follows
        yield text[at:end]
        at = end


class ReferenceVocabulary:
    """The encoder.json, vocab.bpe and dict.txt of a folder."""

    def __init__(self, folder, dictionary=None):
        self.ids = json.loads((folder / "encoder.json").read_text())
        merges = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
        self.ranks = {tuple(merge.split()): rank for rank, merge in enumerate(merge for merge in merges if merge)}
        symbols = (dictionary or folder / "dict.txt").read_text().splitlines()
        self.size = RESERVED + len(symbols)
        self.tokens = {line.split()[0]: RESERVED + i for i, line in enumerate(symbols)}
        self.text_of = {self.tokens.get(str(number)): symbol for symbol, number in self.ids.items()}
        self.byte_of = {symbol: byte for byte, symbol in BYTE_SYMBOL.items()}
        self.encode_piece = lru_cache(maxsize=None)(self.encode_piece)

    def encode_piece(self, piece):
        symbols = [BYTE_SYMBOL[byte] for byte in piece.encode()]
        while True:
            ranked = [(self.ranks[pair], i) for i, pair in enumerate(zip(symbols, symbols[1:])) if pair in self.ranks]
            if not ranked:
                return [self.tokens.get(str(self.ids[symbol]), UNK) for symbol in symbols]
            at = min(ranked)[1]
            symbols[at:at + 2] = ["".join(symbols[at:at + 2])]

    def encode(self, text):
        return [token for piece in pieces(text) for token in self.encode_piece(piece)]

    def decode(self, tokens):
        return bytes(self.byte_of[c] for token in tokens for c in self.text_of[token]).decode()


def read_split(prefix):
    """The sequences of PREFIX.bin, by the sizes in PREFIX.idx."""
    index, tokens = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    code, count = struct.unpack_from("<BQ", index, 17)
    letter, width = {8: ("H", 2), 4: ("i", 4)}[code]
    result, at = [], 0
    for size in struct.unpack_from(f"<{count}i", index, 26):
        result.append(list(struct.unpack_from(f"<{size}{letter}", tokens, at)))
        at += size * width
    return result
