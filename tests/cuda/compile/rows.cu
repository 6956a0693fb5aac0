// One of three units of a program: kernels of rows. Asks the others for theirs, and maps "no driver" to 77.
#include <planish/cuda.cuh>

namespace pl = planish;
namespace pc = planish::kernels::cuda;

pl::Status multiply_once(const pc::DeviceCapabilities& device);
pl::Status cache_once(const pc::DeviceCapabilities& device);
const void* kernel_elsewhere(const pc::QuantizePlan& plan);

namespace {

pl::Status rows_once(const pc::DeviceCapabilities& device) {
  const auto quantize = pc::plan_quantize({8, 64}, device);
  const auto units = pc::plan_kronecker({8, 64, 64}, device);
  const auto exact = pc::plan_kronecker({8, 64, 64, pc::ElementType::bfloat16, pc::ElementType::float32}, device);
  if (!quantize) return quantize.status();
  if (!units) return units.status();
  if (!exact) return exact.status();
  if (auto status = pc::prepare(*quantize, pc::QuantizeArguments{}); !status.ok()) return status;
  if (auto status = pc::prepare(*units, pc::KroneckerArguments{}); !status.ok()) return status;
  return pc::prepare(*exact, pc::ExactArguments{});
}

}  // namespace

int main() {
  if (pc::plan_multiply({1, 64, 64}, pc::DeviceCapabilities{7, 5, 40, 65536})) return 1;
  // What one unit prepares another launches: there is one handle of a kernel.
  const auto plan = pc::plan_quantize({8, 64, pc::ElementType::half}, pc::DeviceCapabilities{9, 0, 132, 232448});
  if (!plan || pc::detail::kernel_of(*plan, pc::QuantizeArguments{}) != kernel_elsewhere(*plan)) return 2;
  const auto device = pc::query_device(0);
  if (!device) return 77;
  if (!device->has_matrix_units()) return 77;
  return rows_once(*device).ok() && multiply_once(*device).ok() && cache_once(*device).ok() ? 0 : 1;
}
