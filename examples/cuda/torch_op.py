"""The fused linear as a PyTorch operator: compiles torch_op.cpp and torch_op.cu, runs W4A4 beside torch's own bfloat16
linear, checks the error, that calls repeat to the bit, that a CUDA graph captures them, and what is refused."""

import faulthandler
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print("torch_op.py: skipped, PyTorch is not installed")
    sys.exit(0)
if not torch.cuda.is_available():
    print("torch_op.py: skipped, PyTorch sees no GPU")
    sys.exit(0)

HERE = os.path.dirname(os.path.abspath(__file__))


def load_operator():
    """Each unit by its own compiler, torch_op.cu by nvcc without PyTorch's headers; the library is loaded."""
    major, minor = torch.cuda.get_device_capability()
    arch = f"{major}{minor}" + ("a" if major >= 9 else "")
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    toolkit = os.path.dirname(os.path.dirname(os.path.realpath(nvcc)))
    pytorch = os.path.dirname(torch.__file__)
    includes = [os.path.join(pytorch, "include"), os.path.join(pytorch, "include", "torch", "csrc", "api", "include"),
                os.path.join(toolkit, "include")]
    source = lambda name: os.path.join(HERE, name)
    with tempfile.TemporaryDirectory() as folder:
        made = lambda name: os.path.join(folder, name)
        commands = [
            [nvcc, "-std=c++20", "-O3", "--split-compile=0", f"-gencode=arch=compute_{arch},code=sm_{arch}",
             f"-I{os.path.join(HERE, '..', '..', 'include')}", "-Xcompiler=-fPIC", "-c", source("torch_op.cu"),
             "-o", made("planish.o")],
            ["c++", "-std=c++20", "-O1", "-fPIC", f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
             *[f"-I{folder}" for folder in includes], "-c", source("torch_op.cpp"), "-o", made("operator.o")],
        ]
        for running in [subprocess.Popen(command) for command in commands]:
            if running.wait() != 0:
                sys.exit(f"torch_op.py: {running.args[0]} failed")
        subprocess.run(
            ["c++", "-shared", made("operator.o"), made("planish.o"), f"-L{os.path.join(pytorch, 'lib')}", "-lc10",
             "-lc10_cuda", "-ltorch_cpu", "-ltorch_cuda", "-ltorch", f"-L{os.path.join(toolkit, 'lib64')}", "-lcudart",
             "-o", made("libplanish_torch_op.so")], check=True)
        torch.ops.load_library(made("libplanish_torch_op.so"))


def hadamard(order):
    matrix = torch.ones(1, 1)
    while matrix.shape[0] < order:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)], 0)
    return (matrix / order**0.5).contiguous()


class FusedLinear(torch.nn.Module):
    """A torch.nn.Linear in four bits, its input turned by two Hadamard factors."""

    def __init__(self, linear, n1, n2, bits=4):
        super().__init__()
        left, right = hadamard(n1), hadamard(n2)
        weight = linear.weight.detach().float().cpu()
        turned = torch.einsum("ij,rik,kl->rjl", left, weight.view(-1, n1, n2), right).reshape(weight.shape)
        scales = turned.abs().amax(1) / 7
        codes = torch.round(turned / scales[:, None]).to(torch.int8)
        packed = torch.ops.planish.pack_factors(left, right) + torch.ops.planish.pack_weights(codes, scales, 4)
        for name, tensor in zip(["left", "right", "panels", "units", "scales", "sums"], packed):
            self.register_buffer(name, tensor)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())
        self.n1, self.n2, self.bits, self.channels = n1, n2, bits, weight.shape[0]

    def forward(self, x):
        return torch.ops.planish.fused_linear(
            x, self.left, self.right, self.panels, self.n1, self.n2, self.units, self.scales, self.sums, self.channels,
            4, self.bits, self.bias)


def check_numbers(linear, fused):
    for rows in (1, 16, 100, 513):
        x = torch.randn(rows, 4096, device="cuda", dtype=torch.bfloat16)
        x[:, 7::1000] *= 60  # outliers that four bits cannot bear without the transform
        expected, made = linear(x).float(), fused(x).float()
        error = ((made - expected).norm() / expected.norm()).item()
        assert error < 0.25, f"{rows} tokens: error {error:.3f}"
        assert torch.equal(fused(x).float(), made), "two calls differ"
        print(f"torch_op.py: {rows} tokens, W4A4 error {100 * error:.1f} %", flush=True)


def check_refusal(fused):
    try:
        fused(torch.randn(2, 64, device="cuda", dtype=torch.bfloat16))
    except RuntimeError as refusal:  # TORCH_CHECK
        assert "planish: x is a contiguous bfloat16 matrix of 4096 columns" in str(refusal), str(refusal)
    else:
        raise AssertionError("a wrong shape was taken")
    print("torch_op.py: a wrong shape is refused", flush=True)


def check_graph(fused, rows):
    still = torch.randn(rows, 4096, device="cuda", dtype=torch.bfloat16)
    fused(still)  # kernels are loaded before they are captured
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = fused(still)
    fresh = torch.randn_like(still)
    still.copy_(fresh)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(result, fused(fresh)), "a graph's replay differs"
    print(f"torch_op.py: {rows} tokens, a graph's replay gives the same bits", flush=True)
    del result
    graph.reset()


def main():
    faulthandler.enable()  # should native code fail, say where
    load_operator()
    torch.manual_seed(1)
    linear = torch.nn.Linear(4096, 1024, device="cuda", dtype=torch.bfloat16)
    fused = FusedLinear(linear, 64, 64).cuda()
    with torch.no_grad():
        check_numbers(linear, fused)
        check_refusal(fused)
        for rows in (1, 16, 513):
            check_graph(fused, rows)
    print("torch_op.py: all checks passed")


if __name__ == "__main__":
    main()
