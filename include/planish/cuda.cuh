#pragma once
// planish on NVIDIA GPUs, for .cu files: rows to codes, Kronecker transforms with quantization in one pass, integer
// products, weight-only products, a quantized KV cache. Each has a plan, made once on the host for a shape; `prepare`
// makes it launchable, `launch` starts it on a stream and does nothing else. Opt into this beside or instead of
// <planish/planish.hpp>; needs the CUDA Toolkit only.

// What numbers and errors are
#include <planish/core/affine.hpp>
#include <planish/core/half.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>
#include <planish/core/version.hpp>

// How codes lie in memory
#include <planish/kernels/cuda/cache_pages.cuh>
#include <planish/kernels/cuda/float_weights.cuh>
#include <planish/kernels/cuda/fragment_weights.cuh>
#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/packing/codes.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

// What runs
#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/append_heads_plan.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>
#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/cuda/launch.cuh>
#include <planish/kernels/cuda/multiply_plan.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>
#include <planish/kernels/cuda/weight_only_plan.cuh>
