"""The logits [T, V] that a demix checkpoint gives to one token sequence [T]; expert: a domain, for DEMix models."""
import math, pathlib
import h5py, numpy as np

def logits(checkpoint, tokens, expert=None):
    files = ["model.h5"] + ([f"experts/{expert}.h5"] if expert else [])
    opened = [h5py.File(pathlib.Path(checkpoint) / f) for f in files]
    p, a = {k: v[...] for f in opened for k, v in f.items()}, opened[0].attrs
    C, H, T, rows = int(a["d_model"]), int(a["heads"]), len(tokens), np.arange(2, len(tokens) + 2)[:, None]
    act = (lambda x: np.maximum(x, 0)) if a["activation"] == b"relu" else (
        lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2)
    linear = lambda x, n: x @ p[n + ".weight"].T + p[n + ".bias"]
    norm = lambda x, n: ((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
                         * p[n + ".weight"] + p[n + ".bias"])
    angles, embed = rows * 10000.0 ** (-np.arange(C // 2) / (C // 2 - 1)), p["decoder.embed_tokens.weight"]
    x = embed[tokens] * math.sqrt(C) + (p["decoder.embed_positions.weight"][2:T + 2] if a["positions"] == b"learned"
                                        else np.hstack([np.sin(angles), np.cos(angles)]))
    for n in [f"decoder.layers.{l}" for l in range(int(a["layers"]))]:
        y = norm(x, n + ".self_attn_layer_norm")
        q, k, v = (linear(y, f"{n}.self_attn.{i}_proj").reshape(T, H, -1).transpose(1, 0, 2) for i in "qkv")
        w = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(C / H)) * np.tri(T)
        x = x + linear((w / w.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(T, C), n + ".self_attn.out_proj")
        x = x + linear(act(linear(norm(x, n + ".final_layer_norm"), n + ".fc1")), n + ".fc2")
    return norm(x, "decoder.layer_norm") @ p.get("decoder.output_projection.weight", embed).T
