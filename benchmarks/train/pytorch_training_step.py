"""The peer of benchmark_training_step: the same model and step in PyTorch, on the CPU, in fp32.

    apt-get install python3-torch
    /usr/bin/python3 benchmarks/train/pytorch_training_step.py [STEPS]

prints tokens per second of the best of STEPS (default 3) steps after one to warm up."""

import math
import sys
import time

import torch
from torch import nn

LAYERS, WIDTH, HEADS, VOCABULARY, LENGTH, SEQUENCES = 12, 768, 12, 50257, 256, 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -math.inf).triu(1))

    def forward(self, x):
        shape = (SEQUENCES, LENGTH, HEADS, WIDTH // HEADS)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(WIDTH, 2))
        scores = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS) + self.mask
        x = x + self.out((scores.softmax(3) @ v).transpose(1, 2).reshape(SEQUENCES, LENGTH, WIDTH))
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(LAYERS))), nn.LayerNorm(WIDTH)

    def forward(self, source, target):
        x = self.norm(self.blocks(self.tokens(source) + self.positions.weight))
        return nn.functional.cross_entropy((x @ self.tokens.weight.T).flatten(0, 1), target.flatten())


def main():
    torch.manual_seed(1)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.95), eps=1e-7, weight_decay=0.1, foreach=True)
    source, target = torch.randint(VOCABULARY, (2, SEQUENCES, LENGTH))
    seconds = []
    for _ in range(1 + int(sys.argv[1] if len(sys.argv) > 1 else 3)):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=False)
        model(source, target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: "
          f"{SEQUENCES * LENGTH / min(seconds[1:]):.1f} tokens/s")


if __name__ == "__main__":
    main()
