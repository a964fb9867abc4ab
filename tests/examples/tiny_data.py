"""A tiny data-bin in the original's layout, written here byte by byte, independently of demix's own writer."""

import json
import random
import struct
from pathlib import Path

VOCABULARY = 120
PRINTING = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = PRINTING + [byte for byte in range(256) if byte not in PRINTING]  # in the order of GPT-2's byte symbols


def write_split(prefix: Path, documents, code=8, fmt="H"):
    """documents: lists of token ids. Writes PREFIX.bin and PREFIX.idx."""
    sizes = [len(d) for d in documents]
    width = struct.calcsize(fmt)
    pointers, at = [], 0
    for size in sizes:
        pointers.append(at)
        at += size * width
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tokens = [t for d in documents for t in d]
    Path(f"{prefix}.bin").write_bytes(struct.pack(f"<{len(tokens)}{fmt}", *tokens))
    header = b"MMIDIDX\0\0" + struct.pack("<QBQ", 1, code, len(sizes))
    Path(f"{prefix}.idx").write_bytes(
        header + struct.pack(f"<{len(sizes)}i", *sizes) + struct.pack(f"<{len(sizes)}q", *pointers))


def write_copies(prefix: Path, document, copies):
    """A large split: one document many times."""
    size = len(document)
    Path(f"{prefix}.bin").write_bytes(struct.pack(f"<{size}H", *document) * copies)
    pointers = struct.pack(f"<{copies}q", *range(0, 2 * size * copies, 2 * size))
    header = b"MMIDIDX\0\0" + struct.pack("<QBQ", 1, 8, copies)
    Path(f"{prefix}.idx").write_bytes(header + struct.pack("<i", size) * copies + pointers)


def documents(count, step, seed):
    """Sequences that a model can learn: each token is, up to noise, a function of the one before and the domain."""
    rng = random.Random(seed)
    result = []
    for _ in range(count):
        token, document = rng.randrange(4, VOCABULARY), []
        for _ in range(rng.randrange(5, 60)):
            token = 4 + (token * 3 + step + rng.randrange(2)) % (VOCABULARY - 4)
            document.append(token)
        result.append(document + [2])
    return result


def write_data_bin(folder: Path, domains=("alpha", "beta", "gamma"), train_documents=60):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dict.txt").write_text("".join(f"{i} 1\n" for i in range(VOCABULARY - 4)))
    for number, domain in enumerate(domains):
        for split, count in (("train", train_documents * (number + 1)), (f"valid_{domain}", 12), (f"test_{domain}", 12)):
            write_split(folder / domain / split, documents(count, 17 * number, hash_of(domain + split)))


def write_byte_vocabulary(folder: Path):
    """A BPE without merges beside dict.txt, which lists its first symbols."""
    others = iter(range(0x100, 0x200))
    spelling = {byte: chr(byte) if byte in PRINTING else chr(next(others)) for byte in range(256)}
    (folder / "encoder.json").write_text(json.dumps({spelling[byte]: number for number, byte in enumerate(BYTES)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")


def hash_of(text):
    return sum((i + 1) * byte for i, byte in enumerate(text.encode()))
