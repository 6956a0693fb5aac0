#!/usr/bin/env python3
"""An independent implementation of FlatQuant's learning for one Llama block in PyTorch, compared with planish's losses.

    planish-llama calibrate --preset published --text T.txt --samples 16 --window 512 --blocks 5:6 \
        --out X.planish --trace trace.safetensors --trace-float64
    python3 tests/oracle/flatquant_pytorch.py M.gguf trace.safetensors --layer 5 --float64

Written from the paper (arXiv 2410.09426) and its published formulas; shares no code with planish. It starts from the raw
parameters in the trace and sees the same windows in the same order; gradients are autograd's, the optimizer is
torch.optim's. Needs numpy and torch; not part of the test run. Exit code 1 if the float block misses the trace's targets
by 1e-4, a loss of the first 50 steps is off by more than 1 %, or the last one by more than 2 %. In float32 rounding
alone can do that: a code that rounds the other way changes the path after it, and --perturb 1e-7 shows how far PyTorch
is from itself. In float64 the curves must lie on each other.

Where exact arithmetic leaves a choice, it is made as planish makes it:
  * The derivative of a maximum goes to its first element. torch.amax would share it among ties, and a clamped row of
    weights is full of ties.
  * A code at an end of its range passes its gradient, only one beyond does not. torch.clamp of PyTorch 2.15 passes none
    at the ends either, and every clamped row of weights has such codes.
  * Codes are round-half-even of x / s, and the zero point is rounded on its own.
  * Rows of q and k stay in the GGUF file's order, where neighbours make a rotary pair, so that the factor on the heads
    of keys has the basis of the trace. The Hugging Face order is a permutation of it and would learn the same.

Means of channels that a trace takes away from the input of a site (decision 12) are read from it: x - z is transformed,
and W z comes back behind the quantized product.
"""
import argparse
import math
import re
import struct
import sys
import time

import json
import numpy
import torch

from llama_pytorch import Gguf, read_safetensors, rms_norm, rotate_pairs

SITE_OF = {"q": "attn", "k": "attn", "v": "attn", "o": "o", "gate": "mlp", "up": "mlp", "down": "down"}
FILE_NAME = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
START_NAME = {"attn.left": "attn_in.P_left", "attn.right": "attn_in.P_right", "mlp.left": "mlp_in.P_left", "mlp.right": "mlp_in.P_right",
              "down.left": "down_in.P_left", "down.right": "down_in.P_right", "o.left": "o_heads.P", "o.right": "v_head.P", "key": "k_head.P"}
SHIFT_NAME = {"attn": "attn_in", "o": "o_heads", "mlp": "mlp_in", "down": "down_in"}


class Job:
    """The trace's own account of what was run."""

    def __init__(self, text):
        def find(pattern, count):
            found = re.search(pattern, text)
            assert found, f"the job has no {pattern}: {text}"
            return [float(g) for g in found.groups()] if count > 1 else float(found.group(1))

        assert "w4a4kv4" in text and "learns transform scale clip" in text, text
        windows, window = find(r", (\d+) x (\d+) tokens", 2)
        self.windows, self.window = int(windows), int(window)
        self.epochs, self.batch = int(find(r"epochs (\d+)", 1)), int(find(r"batch (\d+)", 1))
        self.rate, self.clip_rate = find(r", rate ([^ ,]+)", 1), find(r"clip rate x([^ ,]+)", 1)
        self.last_share = find(r"last rate x([^ ,]+)", 1)
        *self.betas, self.epsilon, self.decay = find(r"adamw (\S+) (\S+) (\S+) ([^ ,]+)", 4)
        self.exponential = {0.0: False, 1.0: True}[find(r"scale (\d+) alpha", 1)]
        loss, self.huber_factor = find(r"loss (\d+) ([^ ,]+)", 2)
        self.huber = {0.0: False, 2.0: True}[loss]


def first_max(x):
    return x.gather(-1, x.argmax(-1, keepdim=True))


def first_min(x):
    return x.gather(-1, x.argmin(-1, keepdim=True))


class StraightRound(torch.autograd.Function):
    """round, with the derivative of the identity; exact, where x + (round(x) - x).detach() is so up to a rounding."""

    @staticmethod
    def forward(_, x):
        return x.round()

    @staticmethod
    def backward(_, gradient):
        return gradient


def codes(steps, first, last):
    """round and clamp. The ends belong to the range and pass their gradient."""
    steps = StraightRound.apply(steps)
    return torch.where(steps < first, first, torch.where(steps > last, last, steps))


def extremes(x):
    """Of rows, never on the wrong side of zero."""
    return first_max(x).clamp(min=0), first_min(x).clamp(max=0)


def symmetric(x, high, low, zero_scale=None):
    """4 bits: scale from the larger of both sides, which need not be the largest of the row."""
    largest = torch.maximum(high, -low)
    scale = largest.clamp(min=1e-5) / 7 if zero_scale is None else torch.where(largest == 0, zero_scale, largest / 7)
    return codes(x / scale, -8, 7) * scale


def quantize_activation(x, clip):
    high, low = extremes(x)
    return symmetric(x, high * clip[0].sigmoid(), low * clip[1].sigmoid(), torch.ones((), dtype=x.dtype))


def quantize_cache(x, clip):
    """4 bits, asymmetric, per token and head; the rounded zero point has no gradient."""
    high, low = extremes(x)
    high, low = high * clip[0].sigmoid(), low * clip[1].sigmoid()
    empty = (high == 0) & (low == 0)
    high, low = torch.where(empty, torch.ones_like(high), high), torch.where(empty, -torch.ones_like(low), low)
    scale = (high - low) / 15
    zero = (-low / scale).round().detach()
    return codes(x / scale, -zero, 15 - zero) * scale


class Block:
    def __init__(self, model, layer, trace, job, dtype):
        meta = model.metadata
        arch = meta["general.architecture"]
        self.heads, self.kv_heads = meta[f"{arch}.attention.head_count"], meta[f"{arch}.attention.head_count_kv"]
        self.epsilon = meta[f"{arch}.attention.layer_norm_rms_epsilon"]
        self.base = meta.get(f"{arch}.rope.freq_base", 10000.0)
        part = lambda name: model.matrix(f"blk.{layer}.{name}.weight").to(dtype)
        self.attn_norm, self.mlp_norm = part("attn_norm"), part("ffn_norm")
        self.plain = {name: part(file) for name, file in FILE_NAME.items()}
        self.exponential = job.exponential
        self.learned = {
            name[len("learned."):]: torch.from_numpy(values.copy()).to(dtype).requires_grad_()
            for name, values in trace.items() if name.startswith("learned.")
        }

        def start(name):
            p = torch.from_numpy(trace[f"layers.0.{START_NAME[name]}"].copy()).to(dtype)
            if name == "key":  # written in the order of Hugging Face; all else here is in the file's
                order = torch.arange(len(p)).reshape(2, -1).T.reshape(-1)
                p = p[order][:, order]
            return p

        self.shifts = {
            site: torch.from_numpy(trace[f"layers.0.{name}.shift"].copy()).to(dtype)
            for site, name in SHIFT_NAME.items() if f"layers.0.{name}.shift" in trace
        }
        # In the free form the deviation starts at zero, so that the fixed factor is the factor's start.
        self.fixed = {name: start(name) for name in START_NAME if f"{name}.deviation" in self.learned}
        with torch.no_grad():
            self.start_error = max(((self.factor(name)[0] - start(name)).abs().max() / start(name).abs().max()).item() for name in START_NAME)

    def parameters(self, clips):
        return [p for name, p in self.learned.items() if (".clip" in name) == clips]

    def square(self, name):
        values = self.learned[name]
        size = math.isqrt(values.numel())
        return values.reshape(size, size)

    def cayley(self, name):
        lower = self.square(name).tril(-1)
        half = (lower - lower.T) / 2
        identity = torch.eye(len(half), dtype=half.dtype)
        return torch.linalg.solve(identity - half, identity + half)

    def scale(self, name):
        return self.learned[name].exp() if self.exponential else self.learned[name]

    def factor(self, name):
        """P and its inverse transpose."""
        if name in self.fixed:
            deviation = self.square(name + ".deviation")
            matrix = self.fixed[name] @ (torch.eye(len(deviation), dtype=deviation.dtype) + deviation)
            return matrix, torch.linalg.inv(matrix).T
        u, v, s = self.cayley(name + ".left_skew"), self.cayley(name + ".right_skew"), self.scale(name + ".singular")
        return (u * s) @ v.T, (u / s) @ v.T

    def clip(self, name):
        return self.learned[name + ".positive"], self.learned[name + ".negative"]

    def activation_clip(self, site, consumer):
        shared = f"{site}.clip1.positive" not in self.learned
        return self.clip(f"{site}.clip{0 if shared else consumer}")

    @staticmethod
    def kronecker(x, left, right):
        """Rows as matrices M: leftᵀ M right."""
        m = x.reshape(*x.shape[:-1], len(left), len(right))
        return (left.T @ (m @ right)).reshape(x.shape)

    def quantized_weights(self, factors, scales):
        made = {}
        for name, w in self.plain.items():
            site = SITE_OF[name]
            if site in scales:
                w = w / scales[site]
            w = self.kronecker(w, factors[site + ".left"][1], factors[site + ".right"][1])
            high, low = extremes(w)
            positive, negative = (c[:, None].sigmoid() for c in self.clip(name + ".clip"))
            w = torch.minimum(torch.maximum(w, low * negative), high * positive)
            if name == "v":  # clamped first, turned by the factor of the values, then its own scales
                p = factors["o.right"][0]
                w = (p.T @ w.reshape(self.kv_heads, len(p), -1)).reshape(w.shape)
            made[name] = symmetric(w, *extremes(w))
        return made

    def run(self, h, quantizes):
        """h: windows × tokens × channels."""
        if not quantizes:
            weights = self.plain
            site = lambda name, x, consumers: [x] * consumers
        else:
            factors = {name: self.factor(name) for name in START_NAME}
            scales = {name: self.scale(name + ".scale") for name in ("attn", "mlp", "down")}
            weights = self.quantized_weights(factors, scales)

            def site(name, x, consumers):
                if name == "o":  # the values carry the right factor already, which their mean does not
                    left, right = factors["o.left"][0], factors["o.right"][0]
                    x = x.reshape(*x.shape[:-1], self.heads, -1)
                    if name in self.shifts:
                        x = x - self.shifts[name].reshape(self.heads, -1) @ right
                    x = (left.T @ x).flatten(-2)
                else:
                    if name in self.shifts:
                        x = x - self.shifts[name]
                    x = self.kronecker(x * scales[name], factors[name + ".left"][0], factors[name + ".right"][0])
                if f"{name}.clip1.positive" not in self.learned:
                    return [quantize_activation(x, self.activation_clip(name, 0))] * consumers
                return [quantize_activation(x, self.activation_clip(name, c)) for c in range(consumers)]

        def product(x, name):
            y = x @ weights[name].T
            if not quantizes or SITE_OF[name] not in self.shifts:
                return y
            bias = self.plain[name] @ self.shifts[SITE_OF[name]]
            if name == "v":
                bias = (bias.reshape(self.kv_heads, -1) @ factors["o.right"][0]).flatten()
            return y + bias

        windows, tokens, _ = h.shape
        split = lambda x, heads: x.reshape(windows, tokens, heads, -1)
        turn = lambda x: torch.stack([rotate_pairs(w, self.base) for w in x])
        to_q, to_k, to_v = site("attn", rms_norm(h, self.attn_norm, self.epsilon), 3)
        q = turn(split(product(to_q, "q"), self.heads))
        k = turn(split(product(to_k, "k"), self.kv_heads))
        v = split(product(to_v, "v"), self.kv_heads)
        if quantizes:
            q = q @ factors["key"][1]
            k = quantize_cache(k @ factors["key"][0], self.clip("key.clip"))
            v = quantize_cache(v, self.clip("value.clip"))
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=2) for t in (k, v))
        attended = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
        (to_o,) = site("o", attended.transpose(1, 2).reshape(windows, tokens, -1), 1)
        h = h + product(to_o, "o")
        to_gate, to_up = site("mlp", rms_norm(h, self.mlp_norm, self.epsilon), 2)
        (to_down,) = site("down", torch.nn.functional.silu(product(to_gate, "gate")) * (product(to_up, "up")), 1)
        return h + product(to_down, "down")


def error_of(y, target, job):
    if not job.huber:
        return torch.nn.functional.mse_loss(y, target)
    delta = job.huber_factor * (y - target).detach().abs().mean().item()
    return torch.nn.functional.huber_loss(y, target, delta=delta)


def learn(block, inputs, targets, job, step_limit):
    batches = job.windows // job.batch
    steps = job.epochs * batches
    optimizer = torch.optim.AdamW(
        [{"params": block.parameters(False), "lr": job.rate}, {"params": block.parameters(True), "lr": job.rate * job.clip_rate}],
        betas=job.betas, eps=job.epsilon, weight_decay=job.decay)
    cosine = lambda step: job.last_share + (1 - job.last_share) * (1 + math.cos(math.pi * step / steps)) / 2
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine)
    losses, times = [], []
    for step in range(min(steps, step_limit or steps)):
        started = time.perf_counter()
        window = slice(step % batches * job.batch, (step % batches + 1) * job.batch)
        optimizer.zero_grad()
        loss = error_of(block.run(inputs[window], True), targets[window], job)
        (loss / loss.detach()).backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        times.append(time.perf_counter() - started)
    return losses, times


def read_job(path):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        return json.loads(file.read(size))["__metadata__"]["job"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="GGUF file")
    parser.add_argument("trace", help="what planish-llama calibrate --trace wrote")
    parser.add_argument("--layer", type=int, default=0, help="the block that the trace is of")
    parser.add_argument("--float64", action="store_true", help="in double precision, against what --trace-float64 wrote")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps")
    parser.add_argument("--perturb", type=float, default=0.0, metavar="SHARE",
                        help="learn once more from inputs off by this share: how far PyTorch is from itself")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = torch.float64 if options.float64 else torch.float32

    job = Job(read_job(options.trace))
    trace = read_safetensors(options.trace)
    shape = (job.windows, job.window, -1)
    inputs, targets = (torch.from_numpy(trace[name].copy()).to(dtype).reshape(shape) for name in ("inputs", "targets"))
    model = Gguf(options.model)
    block = Block(model, options.layer, trace, job, dtype)
    print(f"largest error of the factors at the start, relative: {block.start_error:.1e}")
    with torch.no_grad():
        plain = torch.cat([block.run(inputs[i : i + 1], False) for i in range(job.windows)])
        float_error = ((plain - targets).abs().max() / targets.abs().max()).item()
    print(f"largest error of the float block, relative to its largest output: {float_error:.1e}")

    ours = trace["step_losses_float64" if options.float64 else "step_losses"].tolist()
    theirs, times = learn(block, inputs, targets, job, options.steps)
    curves = {"planish": ours[: len(theirs)], "PyTorch": theirs}
    if options.perturb > 0:
        torch.manual_seed(0)
        again = Block(model, options.layer, trace, job, dtype)
        moved = inputs * (1 + options.perturb * torch.randn_like(inputs))
        curves["PyTorch, inputs perturbed"] = learn(again, moved, targets, job, options.steps)[0]
    off = {name: [(a - b) / b for a, b in zip(curve, theirs)] for name, curve in curves.items() if name != "PyTorch"}

    steps = len(theirs)
    print("| step | PyTorch |" + "".join(f" {name} | off by |" for name in off))
    for step in sorted({*range(min(steps, 10)), *range(0, steps, max(1, steps // 12)), steps - 1}):
        cells = "".join(f" {curves[name][step]:.6e} | {100 * o[step]:+.3f} % |" for name, o in off.items())
        print(f"| {step} | {theirs[step]:.6e} |{cells}")
    epoch = min(steps, job.windows // job.batch)
    for name, o in off.items():
        mean = sum(curves[name][-epoch:]) / sum(theirs[-epoch:]) - 1
        apart = next((step for step, share in enumerate(o) if abs(share) > 1e-4), None)
        print(f"{name}: first step off by {100 * abs(o[0]):.4f} %, first 50 by at most {100 * max(map(abs, o[:50])):.3f} %, "
              f"the last by {100 * abs(o[-1]):.3f} %, the mean of the last epoch by {100 * mean:+.3f} %; "
              + ("never by 0.01 %" if apart is None else f"by 0.01 % from step {apart} on"))
    print(f"{steps} steps, {sorted(times)[len(times) // 2]:.4f} s each (median)")
    ok = max(map(abs, off["planish"][:50])) <= 0.01 and abs(off["planish"][-1]) <= 0.02
    sys.exit(0 if float_error < 1e-4 and ok else 1)


if __name__ == "__main__":
    main()
