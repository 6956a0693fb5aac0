// torch.ops.planish.fused_linear, loaded by torch_op.py: tensors bring the memory, PyTorch's current stream the order,
// and what planish refuses is a Python exception. planish itself is in torch_op.cu.
#include "torch_op.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <optional>
#include <torch/library.h>
#include <tuple>

namespace {

using at::Tensor;

Tensor room(std::int64_t count, at::ScalarType type) { return at::empty({count}, at::TensorOptions().dtype(type)); }

/// (units, scales, sums) of symmetric codes, int8 channels × columns with a float32 scale per channel, on the CPU.
std::tuple<Tensor, Tensor, Tensor> pack_weights(const Tensor& codes, const Tensor& scales, std::int64_t bits) {
  TORCH_CHECK(codes.device().is_cpu() && codes.scalar_type() == at::kChar && codes.dim() == 2 && codes.is_contiguous(),
              "planish: codes are a contiguous int8 matrix on the CPU");
  TORCH_CHECK(scales.device().is_cpu() && scales.scalar_type() == at::kFloat && scales.numel() == codes.size(0) &&
                  scales.is_contiguous(),
              "planish: scales are one float32 per channel, on the CPU");
  const int channels = static_cast<int>(codes.size(0)), columns = static_cast<int>(codes.size(1));
  const int width = static_cast<int>(bits);
  const std::int64_t side = fused::side_count(channels, columns, width);
  const Tensor units = room(fused::unit_bytes(channels, columns, width), at::kByte),
               unit_scales = room(side, at::kFloat), sums = room(side, at::kInt);
  fused::pack_weights(codes.data_ptr<std::int8_t>(), scales.data_ptr<float>(), channels, columns, width,
                      units.data_ptr<std::uint8_t>(), unit_scales.data_ptr<float>(), sums.data_ptr<std::int32_t>());
  return {units, unit_scales, sums};
}

/// The two factors as the kernel reads them, from square float32 matrices on the CPU.
std::tuple<Tensor, Tensor, Tensor> pack_factors(const Tensor& left, const Tensor& right) {
  for (const Tensor* factor : {&left, &right})
    TORCH_CHECK(factor->device().is_cpu() && factor->scalar_type() == at::kFloat && factor->dim() == 2 &&
                    factor->size(0) == factor->size(1) && factor->is_contiguous(),
                "planish: factors are contiguous square float32 matrices on the CPU");
  const int n1 = static_cast<int>(left.size(0)), n2 = static_cast<int>(right.size(0));
  const Tensor lefts = room(fused::left_size(n1), at::kShort), rights = room(fused::right_size(n2), at::kShort),
               panels = room(fused::panels_size(n1, n2), at::kShort);
  fused::pack_factors(left.data_ptr<float>(), n1, right.data_ptr<float>(), n2, lefts.data_ptr<std::int16_t>(),
                      rights.data_ptr<std::int16_t>(), panels.data_ptr<std::int16_t>());
  return {lefts, rights, panels};
}

/// y = codes(x · (L ⊗ R)) · Wᵀ + bias, x tokens × (n1 · n2) in bfloat16, of activations with `bits` bits.
Tensor fused_linear(const Tensor& x, const Tensor& left, const Tensor& right, const Tensor& panels, std::int64_t n1,
                    std::int64_t n2, const Tensor& units, const Tensor& scales, const Tensor& sums,
                    std::int64_t channels, std::int64_t weight_bits, std::int64_t bits,
                    const std::optional<Tensor>& bias) {
  TORCH_CHECK(
      x.is_cuda() && x.scalar_type() == at::kBFloat16 && x.dim() == 2 && x.is_contiguous() && x.size(1) == n1 * n2,
      "planish: x is a contiguous bfloat16 matrix of ", n1 * n2, " columns on a GPU");
  fused::Call call;
  call.rows = static_cast<int>(x.size(0));
  call.n1 = static_cast<int>(n1);
  call.n2 = static_cast<int>(n2);
  call.channels = static_cast<int>(channels);
  call.weight_bits = static_cast<int>(weight_bits);
  call.bits = static_cast<int>(bits);
  const int columns = call.n1 * call.n2;
  const auto is_beside = [&](const Tensor& part, at::ScalarType type, std::int64_t count) {
    return part.device() == x.device() && part.is_contiguous() && part.scalar_type() == type && part.numel() == count;
  };
  const std::int64_t side = fused::side_count(call.channels, columns, call.weight_bits);
  TORCH_CHECK(is_beside(left, at::kShort, fused::left_size(call.n1)) &&
                  is_beside(right, at::kShort, fused::right_size(call.n2)) &&
                  is_beside(panels, at::kShort, fused::panels_size(call.n1, call.n2)),
              "planish: factors of ", n1, " and ", n2, ", packed by pack_factors, lie beside x");
  TORCH_CHECK(is_beside(units, at::kByte, fused::unit_bytes(call.channels, columns, call.weight_bits)) &&
                  is_beside(scales, at::kFloat, side) && is_beside(sums, at::kInt, side),
              "planish: weights of ", channels, " x ", columns, ", packed by pack_weights, lie beside x");
  TORCH_CHECK(!bias || is_beside(*bias, at::kFloat, channels), "planish: the bias is a float32 per channel beside x");

  const c10::cuda::CUDAGuard guard(x.device());
  const Tensor codes = at::empty({call.rows, columns}, x.options().dtype(at::kChar));
  const Tensor token_scales = at::empty({call.rows}, x.options().dtype(at::kFloat));
  const Tensor workspace = at::zeros({fused::workspace_bytes(call) + 1}, x.options().dtype(at::kByte));
  Tensor y = at::empty({call.rows, channels}, x.options());
  call.x = x.data_ptr();
  call.left = left.data_ptr<std::int16_t>();
  call.right = right.data_ptr<std::int16_t>();
  call.panels = panels.data_ptr<std::int16_t>();
  call.units = units.data_ptr<std::uint8_t>();
  call.scales = scales.data_ptr<float>();
  call.sums = sums.data_ptr<std::int32_t>();
  call.bias = bias ? bias->data_ptr<float>() : nullptr;
  call.y = y.data_ptr();
  call.codes = codes.data_ptr<std::int8_t>();
  call.token_scales = token_scales.data_ptr<float>();
  call.workspace = workspace.data_ptr();
  call.stream = c10::cuda::getCurrentCUDAStream().stream();
  fused::run(call);
  return y;
}

}  // namespace

TORCH_LIBRARY(planish, library) {
  library.def("pack_weights(Tensor codes, Tensor scales, int bits) -> (Tensor, Tensor, Tensor)");
  library.def("pack_factors(Tensor left, Tensor right) -> (Tensor, Tensor, Tensor)");
  library.def(
      "fused_linear(Tensor x, Tensor left, Tensor right, Tensor panels, int n1, int n2, Tensor units, Tensor scales, "
      "Tensor sums, int channels, int weight_bits, int bits, Tensor? bias=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(planish, CPU, library) {
  library.impl("pack_weights", &pack_weights);
  library.impl("pack_factors", &pack_factors);
}
TORCH_LIBRARY_IMPL(planish, CUDA, library) { library.impl("fused_linear", &fused_linear); }
