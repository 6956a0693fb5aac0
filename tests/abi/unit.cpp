// One source, compiled once per instruction set with UNIT naming the namespace: a W8A8 layer of its own.
#include "unit.hpp"

#include <cmath>
#include <vector>

#include <planish/linear/any.hpp>
#include <planish/planish.hpp>

namespace UNIT {

const char* instruction_set() noexcept { return planish::abi_name; }
const char* backend() noexcept { return planish::DefaultBackend::name; }

planish::Status multiply(planish::MatrixView<const float> x, planish::MatrixView<const float> w,
                         planish::MatrixView<float> y, planish::ExecutorReference executor) noexcept {
  auto codes = planish::Codes::make(w.rows(), w.columns(), 8, planish::Symmetry::symmetric);
  if (!codes) return codes.status();
  const planish::CodeRange range = planish::code_range(8, planish::Symmetry::symmetric);
  for (planish::index r = 0; r < w.rows(); ++r) {
    planish::ValueRange values;
    for (planish::index c = 0; c < w.columns(); ++c) {
      values.lowest = std::fmin(values.lowest, w(r, c));
      values.highest = std::fmax(values.highest, w(r, c));
    }
    const planish::Affine affine = planish::symmetric_affine(values, {}, 8);
    codes->scales()[static_cast<std::size_t>(r)] = affine.scale;
    for (planish::index c = 0; c < w.columns(); ++c)
      codes->codes()[static_cast<std::size_t>(r * w.columns() + c)] =
          static_cast<std::uint8_t>(planish::to_code(w(r, c), affine, range));
  }
  auto hadamard = planish::Hadamard::make(w.columns());
  if (!hadamard) return hadamard.status();
  auto site = planish::AnySite::make(planish::AnyTransform(*std::move(hadamard)), {.bits = 8});
  if (!site) return site.status();
  auto linear = planish::AnyLinear::make(codes->view());
  if (!linear) return linear.status();

  const int workers = executor.workers();
  std::vector<std::byte> memory(site->workspace_size(x.rows(), workers) + linear->workspace_size(x.rows(), workers) +
                                planish::buffer_alignment);
  planish::Workspace workspace(memory);
  planish::QuantizedInput input;
  if (planish::Status status = site->prepare(x, input, workspace, executor); !status.ok()) return status;
  return linear->multiply(input, y, workspace, executor);
}

}  // namespace UNIT
