#!/usr/bin/python3
"""Records what PyTorch computes for tiny models: losses, gradients, two optimizer updates, and a run of the recipe.

    /usr/bin/python3 tests/reference/record_reference.py tests/reference/reference.h5

Needs torch and h5py (Debian: python3-torch python3-h5py); the tests only need the file. The model is written here
from its definition, in float64 with autograd, and shares nothing with the C++ code but the names of parameters.

The file has a group per case, EXPERIMENT_ACTIVATION. Vectors of parameters are the parameters sorted by name, the
shared ones first, then each expert's; `gradient` and `after` keep every STRIDE-th element of that.

    initial        int16, values times 4096
    source, target [sequences, T]
    segments       [n, 3]: domain, first sequence, last sequence
    loss           the mean over all target tokens that are not padding
    norm           of that loss's gradient
    gradient       of that loss, before clipping
    after          parameters after two updates with the recipe's clipping and Adam on the same batch
    recipe         [RUN, 3] of a run from the same initial values by fairseq's recipe, a batch of its own per update:
                   loss before the update, norm of its gradient, learning rate
"""

import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

LAYERS, C, H, FFN, V, T = 2, 16, 2, 32, 40, 8
DOMAINS = 3
PAD = 1
STRIDE = 5
UPDATES, LR, CLIP = 2, 5e-4, 0.1
RUN, WARMUP, RUN_LR, END_LR, POWER = 30, 7, 5e-3, 1e-4, 1.5

BALANCED = [(0, 0, 2), (1, 2, 4), (2, 4, 6)]
EXPERIMENTS = {
    "dense": BALANCED,
    "unbalanced": [(0, 0, 4), (2, 4, 5)],
    "domain_token": BALANCED,
    "demix": BALANCED,
}
ARCHITECTURES = {
    "relu": {"activation": F.relu, "learned": False, "tied": False},
    "gelu": {"activation": F.gelu, "learned": True, "tied": True},
}


def shapes(experiment, architecture):
    """The shapes of the shared parameters and of one expert's, by name."""
    prefixed = experiment == "domain_token"
    vocabulary = V + DOMAINS * prefixed
    shared, expert = {"decoder.embed_tokens.weight": (vocabulary, C)}, {}
    if architecture["learned"]:
        shared["decoder.embed_positions.weight"] = (T + prefixed + 2, C)
    if not architecture["tied"]:
        shared["decoder.output_projection.weight"] = (vocabulary, C)
    norms = ["decoder.layer_norm"]
    for layer in range(LAYERS):
        name = f"decoder.layers.{layer}."
        for part in ("q", "k", "v", "out"):
            shared[f"{name}self_attn.{part}_proj.weight"] = (C, C)
            shared[f"{name}self_attn.{part}_proj.bias"] = (C,)
        norms += [name + "self_attn_layer_norm", name + "final_layer_norm"]
        ffn = expert if experiment == "demix" else shared
        ffn.update({name + "fc1.weight": (FFN, C), name + "fc1.bias": (FFN,),
                    name + "fc2.weight": (C, FFN), name + "fc2.bias": (C,)})
    for norm in norms:
        shared[norm + ".weight"] = shared[norm + ".bias"] = (C,)
    return shared, expert


def initial_values(shape_of, random):
    values = {}
    for name in sorted(shape_of):
        x = 0.25 * random.standard_normal(shape_of[name])
        if name.endswith("layer_norm.weight"):
            x = x + 1
        if name == "decoder.embed_tokens.weight":
            x[PAD] = 0
        values[name] = torch.tensor(np.rint(x * 4096) / 4096, dtype=torch.float64, requires_grad=True)
    return values


def make_batch(segments, random):
    sequences = segments[-1][2]
    source = random.integers(3, V, (sequences, T))
    target = random.integers(3, V, (sequences, T))
    source[1, 5:] = target[1, 5:] = PAD  # a block that ends early
    target[0, 2] = PAD  # and a target that is ignored in the middle
    return torch.tensor(source), torch.tensor(target)


def positions(architecture, shared, length):
    if architecture["learned"]:
        return shared["decoder.embed_positions.weight"][PAD + 1:PAD + 1 + length]
    half = C // 2
    frequency = torch.exp(torch.arange(half, dtype=torch.float64) * -(np.log(10000.0) / (half - 1)))
    angle = torch.arange(PAD + 1, PAD + 1 + length, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def linear(x, parameters, name):
    return F.linear(x, parameters[name + ".weight"], parameters[name + ".bias"])


def norm(x, parameters, name):
    return F.layer_norm(x, (C,), parameters[name + ".weight"], parameters[name + ".bias"], eps=1e-5)


def attention(x, shared, name):
    sequences, length, _ = x.shape
    heads = [linear(x, shared, f"{name}.{part}_proj").view(sequences, length, H, C // H).transpose(1, 2)
             for part in "qkv"]
    scores = heads[0] / (C // H) ** 0.5 @ heads[1].transpose(-1, -2)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(future, float("-inf")).softmax(-1) @ heads[2]
    return linear(mixed.transpose(1, 2).reshape(sequences, length, C), shared, name + ".out_proj")


def mean_loss(architecture, shared, ffns, source, target):
    """ffns: for every segment, (parameters of its feed-forward layers, first sequence, last sequence)."""
    table = shared["decoder.embed_tokens.weight"]
    x = F.embedding(source, table, padding_idx=PAD) * C ** 0.5 + positions(architecture, shared, source.shape[1])
    for layer in range(LAYERS):
        name = f"decoder.layers.{layer}"
        x = x + attention(norm(x, shared, name + ".self_attn_layer_norm"), shared, name + ".self_attn")
        h = norm(x, shared, name + ".final_layer_norm")
        x = x + torch.cat([
            linear(architecture["activation"](linear(h[first:last], ffn, name + ".fc1")), ffn, name + ".fc2")
            for ffn, first, last in ffns])
    x = norm(x, shared, "decoder.layer_norm")
    output = table if architecture["tied"] else shared["decoder.output_projection.weight"]
    return F.cross_entropy((x @ output.T).flatten(0, 1), target.flatten(), ignore_index=PAD)


def fairseq_rate(done):
    """The polynomial schedule's rate of the update before which `done` are done."""
    if done <= WARMUP:
        return RUN_LR * done / WARMUP
    if done >= RUN:
        return END_LR
    return (RUN_LR - END_LR) * (1 - (done - WARMUP) / (RUN - WARMUP)) ** POWER + END_LR


def rotated(tokens, update):
    """The batch of an update, from 0: every token but padding is 7 * update symbols further on."""
    return torch.where(tokens == PAD, tokens, 3 + (tokens - 3 + 7 * update) % (V - 3))


def adam_of(parameters):
    return torch.optim.AdamW(parameters, lr=LR, betas=(0.9, 0.95), eps=1e-7, weight_decay=0.1)


def run_recipe(parameters, loss_of):
    """By fairseq's schedule, AdamW, and fairseq's clipping, whose factor has 1e-6 beside the norm."""
    adam, lines = adam_of(parameters), []
    for update in range(RUN):
        adam.zero_grad()
        loss = loss_of(update)
        loss.backward()
        length = sum((p.grad ** 2).sum() for p in parameters).sqrt().item()
        rate = adam.param_groups[0]["lr"] = fairseq_rate(update)
        lines.append([loss.item(), length, rate])
        for p in parameters:
            p.grad *= min(1.0, CLIP / (length + 1e-6))
        adam.step()
    return lines


def flat(groups, pick):
    return torch.cat([pick(group[name]).detach().flatten() for group in groups for name in sorted(group)]).numpy()


def record(file, experiment, kind, seed):
    random = np.random.default_rng(seed)
    architecture, segments = ARCHITECTURES[kind], EXPERIMENTS[experiment]
    shared_shapes, expert_shapes = shapes(experiment, architecture)
    shared = initial_values(shared_shapes, random)
    experts = [initial_values(expert_shapes, random) for _ in range(DOMAINS)] if expert_shapes else []
    groups = [shared] + experts
    source, target = make_batch(segments, random)
    out = file.create_group(f"{experiment}_{kind}")

    def put(name, values, dtype):
        values = np.asarray(values, dtype=dtype)
        out.create_dataset(name, data=values, compression="gzip" if values.size > 100 else None)

    put("initial", np.rint(flat(groups, lambda p: p) * 4096), "i2")
    put("source", source, "i4")
    put("target", target, "i4")
    put("segments", segments, "i4")

    ffns = [(experts[domain] if experts else shared, first, last) for domain, first, last in segments]

    def loss_of(update):
        inputs, targets = rotated(source, update), rotated(target, update)
        if experiment == "domain_token":
            tags = torch.cat([torch.full((last - first, 1), V + domain) for domain, first, last in segments])
            inputs = torch.cat([tags, inputs], dim=1)
            targets = torch.cat([torch.full_like(tags, PAD), targets], dim=1)
        return mean_loss(architecture, shared, ffns, inputs, targets)

    parameters = [p for group in groups for p in group.values()]
    start = [p.detach().clone() for p in parameters]
    adam = adam_of(parameters)
    for update in range(UPDATES):
        adam.zero_grad()
        loss = loss_of(0)
        loss.backward()
        gradient = flat(groups, lambda p: p.grad)
        length = float(np.sqrt(np.sum(gradient ** 2)))
        if update == 0:
            put("loss", [loss.item()], "f8")
            put("norm", [length], "f8")
            put("gradient", gradient[::STRIDE], "f4")
        for p in parameters:
            p.grad *= min(1.0, CLIP / length)
        adam.step()
    put("after", flat(groups, lambda p: p)[::STRIDE], "f4")
    for p, value in zip(parameters, start):
        p.data, p.grad = value, None
    put("recipe", run_recipe(parameters, loss_of), "f8")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: record_reference.py FILE.h5")
    torch.set_num_threads(1)
    with h5py.File(sys.argv[1], "w") as file:
        for seed, (experiment, kind) in enumerate((e, k) for e in EXPERIMENTS for k in ARCHITECTURES):
            record(file, experiment, kind, seed)


if __name__ == "__main__":
    main()
