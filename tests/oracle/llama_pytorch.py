#!/usr/bin/env python3
"""An independent forward pass of a Llama-family GGUF file in PyTorch, compared with logits that planish wrote.

    planish-llama perplexity --model M.gguf --text T.txt --context 128 --tokens 128 --logits logits.safetensors
    python3 tests/oracle/llama_pytorch.py M.gguf logits.safetensors

Written from the architecture's definition and the GGUF specification alone; shares no code with planish. Needs numpy
and torch; not part of the test run. Exit code 0 if the largest error relative to the largest logit is below 1e-3.
"""
import json
import struct
import sys

import numpy
import torch

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}


class Gguf:
    def __init__(self, path):
        self.bytes = numpy.memmap(path, dtype=numpy.uint8, mode="r")
        self.at = 0
        assert bytes(self.bytes[:4]) == b"GGUF", "not a GGUF file"
        self.at = 4
        version, tensors, pairs = self.scalar("<I"), self.scalar("<Q"), self.scalar("<Q")
        assert version == 3
        self.metadata = {}
        for _ in range(pairs):
            key = self.string()
            self.metadata[key] = self.value(self.scalar("<I"))
        self.tensors = {}
        for _ in range(tensors):
            name = self.string()
            shape = [self.scalar("<Q") for _ in range(self.scalar("<I"))]
            self.tensors[name] = (shape[::-1], self.scalar("<I"), self.scalar("<Q"))
        alignment = self.metadata.get("general.alignment", 32)
        self.data = (self.at + alignment - 1) // alignment * alignment

    def scalar(self, form):
        size = struct.calcsize(form)
        value = struct.unpack(form, bytes(self.bytes[self.at : self.at + size]))[0]
        self.at += size
        return value

    def string(self):
        length = self.scalar("<Q")
        text = bytes(self.bytes[self.at : self.at + length])
        self.at += length
        return text.decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, count = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def matrix(self, name):
        shape, kind, offset = self.tensors[name]
        count = int(numpy.prod(shape))
        start = self.data + offset
        if kind == 0:
            flat = self.bytes[start : start + 4 * count].view("<f4").astype(numpy.float32)
        elif kind == 1:
            flat = self.bytes[start : start + 2 * count].view("<f2").astype(numpy.float32)
        elif kind == 3:  # Q4_1: d, m, 16 bytes; value j in the low nibble of byte j, value j + 16 in the high one
            blocks = self.bytes[start : start + count // 32 * 20].reshape(-1, 20)
            d = blocks[:, 0:2].copy().view("<f2").astype(numpy.float32)
            m = blocks[:, 2:4].copy().view("<f2").astype(numpy.float32)
            nibbles = numpy.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1).astype(numpy.float32)
            flat = (nibbles * d + m).reshape(-1)
        elif kind == 8:  # Q8_0: d, 32 signed bytes
            blocks = self.bytes[start : start + count // 32 * 34].reshape(-1, 34)
            d = blocks[:, 0:2].copy().view("<f2").astype(numpy.float32)
            flat = (blocks[:, 2:].copy().view(numpy.int8).astype(numpy.float32) * d).reshape(-1)
        else:
            sys.exit(f"{name}: tensor type {kind} is not read here")
        return torch.from_numpy(flat.copy()).reshape(shape)


def rms_norm(x, gain, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain


def rotate_pairs(x, base):
    """x: tokens × heads × head size; neighbouring elements are one pair."""
    tokens, _, size = x.shape
    frequency = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] * frequency
    cosine, sine = angle.cos()[:, None, :].to(x.dtype), angle.sin()[:, None, :].to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2)


@torch.no_grad()
def forward(model, ids, dtype):
    meta = model.metadata
    arch = meta["general.architecture"]
    heads, kv_heads = meta[f"{arch}.attention.head_count"], meta[f"{arch}.attention.head_count_kv"]
    epsilon = meta[f"{arch}.attention.layer_norm_rms_epsilon"]
    base = meta.get(f"{arch}.rope.freq_base", 10000.0)
    weight = lambda name: model.matrix(name + ".weight").to(dtype)
    embedding = weight("token_embd")
    h = embedding[ids]
    tokens = len(ids)
    mask = torch.full((tokens, tokens), float("-inf"), dtype=dtype).triu(1)
    for layer in range(meta[f"{arch}.block_count"]):
        part = lambda name: weight(f"blk.{layer}.{name}")
        x = rms_norm(h, part("attn_norm"), epsilon)
        q = rotate_pairs((x @ part("attn_q").T).reshape(tokens, heads, -1), base)
        k = rotate_pairs((x @ part("attn_k").T).reshape(tokens, kv_heads, -1), base)
        v = (x @ part("attn_v").T).reshape(tokens, kv_heads, -1)
        k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5 + mask
        attended = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v).reshape(tokens, -1)
        h = h + attended @ part("attn_output").T
        x = rms_norm(h, part("ffn_norm"), epsilon)
        h = h + (torch.nn.functional.silu(x @ part("ffn_gate").T) * (x @ part("ffn_up").T)) @ part("ffn_down").T
    h = rms_norm(h, weight("output_norm"), epsilon)
    head = weight("output") if "output.weight" in model.tensors else embedding
    return h @ head.T


def read_safetensors(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    kinds = {"F32": "<f4", "I32": "<i4"}
    return {
        name: numpy.frombuffer(raw[8 + size + e["data_offsets"][0] : 8 + size + e["data_offsets"][1]], kinds[e["dtype"]]).reshape(e["shape"])
        for name, e in header.items()
        if name != "__metadata__"
    }


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours = read_safetensors(sys.argv[2])
    ids = torch.from_numpy(ours["input_ids"].astype(numpy.int64))
    logits = torch.from_numpy(ours["logits"].copy())
    model = Gguf(sys.argv[1])
    worst = 1.0
    for dtype in (torch.float32, torch.float64):
        expected = forward(model, ids, dtype).to(torch.float64)
        worst = ((logits.double() - expected).abs().max() / expected.abs().max()).item()
        print(f"{len(ids)} positions, {str(dtype)[6:]}: largest logit {expected.abs().max():.3f}, largest error relative to it {worst:.2e}")
    sys.exit(0 if worst < 1e-3 else 1)


if __name__ == "__main__":
    main()
