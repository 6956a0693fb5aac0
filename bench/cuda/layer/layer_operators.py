"""The functions of layer_ops.cu, by ctypes: planish's kernels on PyTorch's tensors and current stream."""

import ctypes
import os
import shutil
import subprocess

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


class Cache(ctypes.Structure):
    """As in layer_ops.cu; `pages`: of a sequence."""

    _fields_ = [(name, ctypes.c_int) for name in ("kv_heads", "size", "sequences", "pages")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("memory", "table", "lengths")]


class Operators:
    """The functions of layer_ops.cu: tensors become pointers, numbers stay, and a sentence is an exception."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        for name in ("page_bytes", "unit_bytes", "side_count", "left_size", "right_size", "panels_size"):
            getattr(self.library, name).restype = ctypes.c_int64

    def size(self, name, *arguments):
        return getattr(self.library, name)(*arguments)

    def call(self, name, *arguments, on_stream=True):
        made = []
        for argument in arguments:
            if argument is None:
                made.append(ctypes.c_void_p(None))
            elif isinstance(argument, torch.Tensor):
                made.append(ctypes.c_void_p(argument.data_ptr()))
            elif isinstance(argument, Cache):
                made.append(ctypes.byref(argument))
            else:
                made.append(argument)
        if on_stream:
            made.append(ctypes.c_void_p(torch.cuda.current_stream().cuda_stream))
        function = getattr(self.library, name)
        function.restype = ctypes.c_char_p
        refusal = function(*made)
        if refusal is not None:
            raise RuntimeError(f"{name}: {refusal.decode()}")

    def pack_weights(self, codes, scales):
        channels, columns = codes.shape
        units = torch.empty(self.size("unit_bytes", channels, columns), dtype=torch.uint8)
        side = self.size("side_count", channels, columns)
        packed = units, torch.empty(side), torch.empty(side, dtype=torch.int32)
        self.call("pack_weights", codes, scales, channels, columns, *packed, on_stream=False)
        return tuple(t.cuda() for t in packed)

    def pack_factors(self, left, right):
        n1, n2 = left.shape[0], right.shape[0]
        lefts = torch.empty(self.size("left_size", n1), dtype=torch.int16)
        rights = torch.empty(self.size("right_size", n2), dtype=torch.int16)
        panels = torch.empty(self.size("panels_size", n1, n2), dtype=torch.int16)
        self.call("pack_factors", n1, n2, left, right, lefts, rights, panels, on_stream=False)
        return n1, n2, lefts.cuda(), rights.cuda(), panels.cuda()


def load_operators(path):
    """The library at `path`, compiled for the current GPU where it is not there."""
    if not os.path.exists(path):
        major, minor = torch.cuda.get_device_capability()
        arch = f"{major}{minor}" + ("a" if major >= 9 else "")
        nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
        include = os.path.join(HERE, "..", "..", "..", "include")
        subprocess.run([nvcc, "-std=c++20", "-O3", "--split-compile=0", f"-gencode=arch=compute_{arch},code=sm_{arch}",
                        f"-I{include}", "-shared", "-Xcompiler=-fPIC", os.path.join(HERE, "layer_ops.cu"), "-o", path],
                       check=True)
    return Operators(path)
