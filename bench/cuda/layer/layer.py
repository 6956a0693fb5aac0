"""A whole Llama-3-8B layer, W4A4KV4 with FlatQuant's transforms, beside the same layer in bfloat16 (cuBLAS, and
scaled_dot_product_attention) and kernels of its own for norm, RoPE and SwiGLU, each as one CUDA graph.

    python3 bench/cuda/layer/layer.py [OUT.json [OPERATORS.so]]

The operators are compiled by nvcc where OPERATORS.so is not there; without that argument into a folder that goes again.
"""

import ctypes
import json
import os
import sys
import tempfile

try:
    import torch
except ImportError:
    print("layer.py: skipped, PyTorch is not installed")
    sys.exit(0)
if not torch.cuda.is_available():
    print("layer.py: skipped, PyTorch sees no GPU")
    sys.exit(0)

import torch.nn.functional as F

from layer_operators import Cache, load_operators

HIDDEN, FFN, HEADS, KV_HEADS, SIZE, CONTEXT = 4096, 14336, 32, 8, 128, 2048
QKV = (HEADS + 2 * KV_HEADS) * SIZE
SITES = {"attention": (64, 64), "output": (64, 64), "mlp": (64, 64), "down": (112, 128)}
MATRICES = {"qkv": (QKV, HIDDEN), "o": (HIDDEN, HEADS * SIZE), "gate_up": (2 * FFN, HIDDEN), "down": (HIDDEN, FFN)}


def empty(*shape, dtype=torch.bfloat16):
    return torch.empty(*shape, dtype=dtype, device="cuda")


def rotation(order):
    return torch.linalg.qr(torch.randn(order, order))[0].contiguous()


class Weights:
    """Random weights of real shapes: bfloat16, and codes of 4 bits after the dual of their site's transform."""

    def __init__(self, ops):
        self.bfloat16, self.packed, self.factors = {}, {}, {}
        for (site, (n1, n2)), (name, shape) in zip(SITES.items(), MATRICES.items()):
            w = torch.randn(*shape, device="cuda") * shape[1] ** -0.5
            left, right = rotation(n1), rotation(n2)
            if site == "output":  # of heads alone, values have their own part; halves of heads are quicker than heads
                left, right = torch.kron(rotation(HEADS), torch.eye(n1 // HEADS)), torch.eye(n2)
            self.factors[site] = ops.pack_factors(left, right)
            self.bfloat16[name] = w.bfloat16()
            turned = torch.matmul(torch.matmul(left.t().cuda(), w.view(-1, n1, n2)), right.cuda()).reshape(shape)
            scales = turned.abs().amax(1) / 7
            codes = torch.round(turned / scales[:, None]).to(torch.int8)
            self.packed[name] = ops.pack_weights(codes.cpu(), scales.cpu())
        self.head_factor = ops.pack_factors(torch.eye(1), rotation(SIZE))[3]  # orthogonal: keys and queries turn alike


class Shared:
    """What both layers have: gains, RoPE's tables, and where the rows stand."""

    def __init__(self, sequences, new, held):
        self.sequences, self.new, self.held, self.rows = sequences, new, held, sequences * new
        self.gains = [torch.ones(HIDDEN, dtype=torch.bfloat16, device="cuda") for _ in range(2)]
        angle = torch.arange(held + new)[:, None] * 500000.0 ** (-torch.arange(SIZE // 2) / (SIZE // 2))
        self.cosines, self.sines = angle.cos().float().cuda(), angle.sin().float().cuda()
        self.positions = torch.arange(held, held + new, dtype=torch.int32).repeat(sequences).cuda()
        self.x = torch.randn(self.rows, HIDDEN, device="cuda").bfloat16()
        self.normed, self.qkv = empty(self.rows, HIDDEN), empty(self.rows, QKV)
        self.q, self.k = empty(self.rows, HEADS, SIZE), empty(self.rows, KV_HEADS, SIZE)
        self.gate_up, self.ffn, self.y = empty(self.rows, 2 * FFN), empty(self.rows, FFN), empty(self.rows, HIDDEN)


class Float:
    """The layer in bfloat16."""

    def __init__(self, ops, weights, shared):
        self.ops, self.s, self.w = ops, shared, weights.bfloat16
        tokens = shared.held + shared.new
        self.keys = torch.randn(shared.sequences, KV_HEADS, tokens, SIZE, device="cuda").bfloat16()
        self.values = torch.randn_like(self.keys)

    def run(self):
        ops, s = self.ops, self.s
        ops.call("rms_norm", s.x, s.gains[0], s.rows, HIDDEN, s.normed)
        torch.mm(s.normed, self.w["qkv"].t(), out=s.qkv)
        ops.call("rope", s.qkv, s.cosines, s.sines, s.positions, s.rows, HEADS, KV_HEADS, SIZE, s.q, s.k)
        by_head = lambda t, heads: t.view(s.sequences, s.new, heads, SIZE).transpose(1, 2)
        self.keys[:, :, s.held :].copy_(by_head(s.k, KV_HEADS))
        self.values[:, :, s.held :].copy_(by_head(s.qkv[:, QKV - KV_HEADS * SIZE :], KV_HEADS))
        attended = F.scaled_dot_product_attention(
            by_head(s.q, HEADS), self.keys, self.values, is_causal=s.new > 1, enable_gqa=True)
        attended = attended.transpose(1, 2).reshape(s.rows, HEADS * SIZE)
        between = torch.addmm(s.x, attended, self.w["o"].t())
        ops.call("rms_norm", between, s.gains[1], s.rows, HIDDEN, s.normed)
        torch.mm(s.normed, self.w["gate_up"].t(), out=s.gate_up)
        ops.call("swiglu", s.gate_up, s.rows, FFN, s.ffn)
        torch.addmm(between, s.ffn, self.w["down"].t(), out=s.y)


class Quantized:
    """The layer in W4A4KV4: every site in two launches, what stands before it, transform and codes in the first, then
    the product with its residual; what attention reads in one. Each may start before the one in front of it ends.
    """

    def __init__(self, ops, weights, shared):
        self.ops, self.s, self.w = ops, shared, weights
        rows = shared.rows
        self.codes = {n: empty(rows, n, dtype=torch.int8) for n in (HIDDEN, FFN)}
        self.scales = empty(rows, dtype=torch.float32)
        self.gains = [gain.float() for gain in shared.gains]
        self.q = torch.empty_like(shared.q)
        self.attended, self.between = empty(rows, HEADS * SIZE), empty(rows, HIDDEN)
        self.workspace = torch.zeros(256 << 20, dtype=torch.uint8, device="cuda")
        tokens = shared.held + shared.new
        pages = (tokens + 63) // 64
        self.table = torch.randperm(shared.sequences * pages, dtype=torch.int32).view(-1, pages).cuda()
        pool_bytes = shared.sequences * pages * ops.size("page_bytes", KV_HEADS, SIZE)
        self.pages = torch.zeros(pool_bytes, dtype=torch.uint8, device="cuda")
        self.lengths = torch.full((shared.sequences,), tokens, dtype=torch.int32, device="cuda")
        self.keys = empty(shared.sequences * tokens, KV_HEADS * SIZE) if shared.new > 1 else None
        self.values = empty(shared.sequences * tokens, KV_HEADS * SIZE) if shared.new > 1 else None
        cache_of = lambda lengths: Cache(KV_HEADS, SIZE, shared.sequences, pages, self.pages.data_ptr(),
                                         self.table.data_ptr(), lengths.data_ptr())
        self.cache = cache_of(self.lengths)
        if shared.held > 0:  # tokens that are there before
            held = torch.full((shared.sequences,), shared.held, dtype=torch.int32, device="cuda")
            rows = shared.sequences * shared.held
            self.append(empty(rows, QKV).normal_(), shared.held, cache_of(held), empty(rows, HEADS * SIZE))
            torch.cuda.synchronize()

    def append(self, qkv, tokens, cache, q):
        factor = self.w.head_factor
        self.ops.call("append", qkv, HEADS, tokens, self.s.cosines, self.s.sines, factor, factor, cache, q)

    def linear(self, site, name, x, residual, y, gain=None, up=None):
        channels, columns = MATRICES[name]
        codes = self.codes[columns]
        self.ops.call("transform", x, x.stride(0), gain, up, self.s.rows, *self.w.factors[site], codes, self.scales)
        self.ops.call("multiply", codes, self.scales, self.s.rows, columns, *self.w.packed[name], channels, residual, y,
                      *self.room())

    def room(self):
        return self.workspace, ctypes.c_int64(self.workspace.numel())

    def run(self):
        ops, s = self.ops, self.s
        self.linear("attention", "qkv", s.x, None, s.qkv, gain=self.gains[0])
        self.append(s.qkv, s.new, self.cache, self.q)
        tokens = s.held + s.new
        if s.new == 1:
            ops.call("attend", self.q, HEADS, tokens, self.cache, self.attended, *self.room())
            attended = self.attended
        else:
            ops.call("dequantize", tokens, self.cache, self.keys, self.values)
            by_head = lambda t, heads: t.view(s.sequences, -1, heads, SIZE).transpose(1, 2)
            attended = F.scaled_dot_product_attention(
                by_head(self.q, HEADS), by_head(self.keys, KV_HEADS), by_head(self.values, KV_HEADS),
                is_causal=True, enable_gqa=True)
            attended = attended.transpose(1, 2).reshape(s.rows, HEADS * SIZE)
        self.linear("output", "o", attended, s.x, self.between)
        self.linear("mlp", "gate_up", self.between, None, s.gate_up, gain=self.gains[1])
        self.linear("down", "down", s.gate_up[:, :FFN], self.between, s.y, up=s.gate_up[:, FFN:])


class Recorder:
    """Stands in for the operators, runs them, and keeps the calls."""

    def __init__(self, ops):
        self.ops, self.calls = ops, []

    def call(self, name, *arguments):
        self.calls.append((name, lambda: self.ops.call(name, *arguments)))
        self.ops.call(name, *arguments)


def print_parts(ops, layer):
    """Microseconds of every call by itself, operands warm: the median graph of ten."""
    recorder = Recorder(ops)
    layer.ops = recorder
    layer.run()
    layer.ops = ops
    parts = []
    for name, call in recorder.calls:
        def ten():
            for _ in range(10):
                call()
        parts.append(f"{name} {time_graph(ten, 5, sweep=False) / 10:.1f}")
    print("  " + ", ".join(parts))


def time_graph(run, replays, sweep=True):
    """Median microseconds of one replay; the cache is swept before each."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    swept = torch.empty(256 << 20 if sweep else 1, dtype=torch.uint8, device="cuda")
    times = []
    for _ in range(replays):
        swept.add_(1)
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop) * 1e3)
    return sorted(times)[len(times) // 2]


def main():
    with tempfile.TemporaryDirectory() as folder:
        ops = load_operators(sys.argv[2] if len(sys.argv) > 2 else os.path.join(folder, "layer_ops.so"))
    torch.manual_seed(1)
    records, weights = [], Weights(ops)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for name, sequences, new, held in [("prefill 1 x 2048", 1, CONTEXT, 0), ("prefill 8 x 2048", 8, CONTEXT, 0),
                                       ("decode batch 1", 1, 1, CONTEXT - 1), ("decode batch 64", 64, 1, CONTEXT - 1)]:
        shared = Shared(sequences, new, held)
        replays = 9 if sequences * new > 4096 else 25
        exact = time_graph(Float(ops, weights, shared).run, replays)
        expected = (shared.y - shared.x).float()
        layer = Quantized(ops, weights, shared)
        made = time_graph(layer.run, replays)
        error = (((shared.y - shared.x).float() - expected).norm() / expected.norm()).item()
        assert error < 0.6 or held > 0, f"{name}: the layers differ by {error:.2f}"  # tokens held before are others
        print(f"{name}: bfloat16 {exact:.1f} us, W4A4KV4 {made:.1f} us, {exact / made:.2f} times as fast; "
              f"error of what the layer adds {100 * error:.0f} %")
        print_parts(ops, layer)
        records.append({"name": name, "bfloat16_us": exact, "w4a4kv4_us": made, "ratio": exact / made, "error": error})
        del shared, expected, layer
        torch.cuda.empty_cache()
    if len(sys.argv) > 1:
        temporary = sys.argv[1] + ".tmp"
        with open(temporary, "w") as out:
            json.dump({"device": torch.cuda.get_device_name(), "layers": records}, out, indent=1)
        os.replace(temporary, sys.argv[1])


if __name__ == "__main__":
    main()
