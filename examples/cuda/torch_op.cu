// The fused linear of fused_linear.cu as a PyTorch operator: torch.ops.planish.fused_linear, loaded by torch_op.py.
// Tensors bring the memory, PyTorch's current stream the order; what planish refuses is a Python exception.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <string>
#include <torch/library.h>
#include <torch/types.h>
#include <tuple>

#include <planish/cuda.cuh>

namespace pl = planish;
namespace gpu = planish::kernels::cuda;

namespace {

void require(const pl::Status& status) { TORCH_CHECK(status.ok(), "planish: ", std::string(status.message())); }
template <class T>
T require(pl::Result<T> result) {
  if (!result) require(result.status());
  return *std::move(result);
}

template <class T>
at::Tensor tensor_of(const T* values, std::int64_t count, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values), {count}, at::TensorOptions().dtype(type)).clone();
}

/// (units, scales, sums) of symmetric codes, int8 channels × columns with a float32 scale per channel, on the CPU.
std::tuple<at::Tensor, at::Tensor, at::Tensor> pack_weights(const at::Tensor& codes, const at::Tensor& scales,
                                                            std::int64_t bits) {
  TORCH_CHECK(codes.device().is_cpu() && codes.scalar_type() == at::kChar && codes.dim() == 2 && codes.is_contiguous(),
              "planish: codes are a contiguous int8 matrix on the CPU");
  TORCH_CHECK(scales.device().is_cpu() && scales.scalar_type() == at::kFloat && scales.numel() == codes.size(0) &&
                  scales.is_contiguous(),
              "planish: scales are one float32 per channel, on the CPU");
  pl::CodesView view;
  view.codes = reinterpret_cast<const std::uint8_t*>(codes.data_ptr<std::int8_t>());
  view.rows = codes.size(0);
  view.columns = view.group_size = codes.size(1);
  view.bits = static_cast<int>(bits);
  view.scales = scales.data_ptr<float>();
  const auto packed = require(gpu::FragmentWeights::make(view));
  const auto made = packed.view();
  return {tensor_of(made.units, made.size_bytes(), at::kByte), tensor_of(made.scales, made.side_count(), at::kFloat),
          tensor_of(made.sums, made.side_count(), at::kInt)};
}

/// The two factors as the kernel reads them, from square float32 matrices on the CPU.
std::tuple<at::Tensor, at::Tensor> pack_factors(const at::Tensor& left, const at::Tensor& right) {
  for (const auto* factor : {&left, &right})
    TORCH_CHECK(factor->device().is_cpu() && factor->scalar_type() == at::kFloat && factor->dim() == 2 &&
                    factor->size(0) == factor->size(1) && factor->is_contiguous(),
                "planish: factors are contiguous square float32 matrices on the CPU");
  const auto packed =
      require(gpu::KroneckerFactors::make(static_cast<int>(left.size(0)), static_cast<int>(right.size(0)),
                                          left.data_ptr<float>(), right.data_ptr<float>(), gpu::ElementType::bfloat16));
  const auto made = packed.view();
  const auto copy = [](const std::uint16_t* values, std::int64_t count) {
    return tensor_of(reinterpret_cast<const std::int16_t*>(values), count, at::kShort);
  };
  return {copy(made.left, made.left_size()), copy(made.right, made.right_size())};
}

/// y = codes(x · (L ⊗ R)) · Wᵀ + bias, x tokens × (n1 · n2) in bfloat16, of activations with `bits` bits.
at::Tensor fused_linear(const at::Tensor& x, const at::Tensor& left, const at::Tensor& right, std::int64_t n1,
                        std::int64_t n2, const at::Tensor& units, const at::Tensor& scales, const at::Tensor& sums,
                        std::int64_t channels, std::int64_t weight_bits, std::int64_t bits,
                        const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(
      x.is_cuda() && x.scalar_type() == at::kBFloat16 && x.dim() == 2 && x.is_contiguous() && x.size(1) == n1 * n2,
      "planish: x is a contiguous bfloat16 matrix of ", n1 * n2, " columns on a GPU");
  for (const auto* part : {&left, &right, &units, &scales, &sums})
    TORCH_CHECK(part->device() == x.device() && part->is_contiguous(), "planish: weights and factors lie beside x");
  const c10::cuda::CUDAGuard guard(x.device());
  const auto stream = at::cuda::getCurrentCUDAStream();
  static const auto device = require(gpu::query_device(x.device().index()));  // of one kind all GPUs
  const int rows = static_cast<int>(x.size(0)), columns = static_cast<int>(n1 * n2);
  const auto options = x.options();
  const at::Tensor codes = at::empty({rows, columns}, options.dtype(at::kChar));
  const at::Tensor token_scales = at::empty({rows}, options.dtype(at::kFloat));
  at::Tensor y = at::empty({rows, channels}, options);

  gpu::KroneckerArguments transform;
  transform.x = x.data_ptr();
  transform.row_stride = columns;
  transform.factors.n1 = static_cast<int>(n1);
  transform.factors.n2 = static_cast<int>(n2);
  transform.factors.left = reinterpret_cast<const std::uint16_t*>(left.data_ptr<std::int16_t>());
  transform.factors.right = reinterpret_cast<const std::uint16_t*>(right.data_ptr<std::int16_t>());
  transform.quantizer.bits = static_cast<int>(bits);
  transform.out.codes = codes.data_ptr<std::int8_t>();
  transform.out.rows = rows;
  transform.out.columns = transform.out.stride = columns;
  transform.out.scales = token_scales.data_ptr<float>();
  TORCH_CHECK(transform.factors.left_size() == left.numel() && transform.factors.right_size() == right.numel(),
              "planish: factors were packed for another size");
  const auto transform_plan =
      require(gpu::plan_kronecker({.rows = rows, .n1 = transform.factors.n1, .n2 = transform.factors.n2}, device));

  gpu::MultiplyArguments product;
  product.x = transform.out;
  product.w.stored_bits = weight_bits <= 4 ? 4 : 8;
  product.w.channels = static_cast<int>(channels);
  product.w.columns = columns;
  product.w.units = units.data_ptr<std::uint8_t>();
  product.w.scales = scales.data_ptr<float>();
  product.w.sums = sums.data_ptr<std::int32_t>();
  product.bias = bias ? bias->data_ptr<float>() : nullptr;
  product.y = y.data_ptr();
  product.y_stride = channels;
  TORCH_CHECK(product.w.size_bytes() == units.numel() && product.w.side_count() == scales.numel(),
              "planish: weights were packed for another size");
  const auto product_plan = require(gpu::plan_multiply(
      {.rows = rows, .channels = product.w.channels, .columns = columns, .stored_bits = product.w.stored_bits},
      device));
  const at::Tensor workspace = at::zeros({product_plan.workspace_bytes}, options.dtype(at::kByte));
  product.workspace = product_plan.workspace_bytes > 0 ? workspace.data_ptr() : nullptr;

  require(gpu::prepare(transform_plan, transform));
  require(gpu::prepare(product_plan, product));
  require(gpu::launch(transform_plan, transform, stream));
  require(gpu::launch(product_plan, product, stream));
  return y;
}

}  // namespace

TORCH_LIBRARY(planish, library) {
  library.def("pack_weights(Tensor codes, Tensor scales, int bits) -> (Tensor, Tensor, Tensor)");
  library.def("pack_factors(Tensor left, Tensor right) -> (Tensor, Tensor)");
  library.def(
      "fused_linear(Tensor x, Tensor left, Tensor right, int n1, int n2, Tensor units, Tensor scales, Tensor sums, "
      "int channels, int weight_bits, int bits, Tensor? bias=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(planish, CPU, library) {
  library.impl("pack_weights", &pack_weights);
  library.impl("pack_factors", &pack_factors);
}
TORCH_LIBRARY_IMPL(planish, CUDA, library) { library.impl("fused_linear", &fused_linear); }
