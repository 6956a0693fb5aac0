// The other unit: products, and the row kernels of rows.cu a second time.
#include <planish/cuda.cuh>

namespace pl = planish;
namespace pc = planish::kernels::cuda;

pl::Status multiply_once(const pc::DeviceCapabilities& device);
const void* kernel_elsewhere(const pc::QuantizePlan& plan);

const void* kernel_elsewhere(const pc::QuantizePlan& plan) {
  return pc::detail::kernel_of(plan, pc::QuantizeArguments{});
}

pl::Status multiply_once(const pc::DeviceCapabilities& device) {
  const auto quantize = pc::plan_quantize({8, 64, pc::ElementType::half}, device);
  if (!quantize) return quantize.status();
  for (const int bits : {4, 8}) {
    const auto plan = pc::plan_multiply({8, 64, 128, bits}, device);
    if (!plan) return plan.status();
    if (auto status = pc::prepare(*plan, pc::MultiplyArguments{}); !status.ok()) return status;
  }
  for (const int bits : {2, 4, 8})
    for (const auto input : {pc::ElementType::bfloat16, pc::ElementType::half}) {
      const auto plan = pc::plan_weight_only({8, 64, 128, bits, 0, input}, device);
      if (!plan) return plan.status();
      if (auto status = pc::prepare(*plan, pc::WeightOnlyArguments{}); !status.ok()) return status;
    }
  return pc::prepare(*quantize, pc::QuantizeArguments{});
}
