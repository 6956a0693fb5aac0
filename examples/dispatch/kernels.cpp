// Compiled once per instruction set, with UNIT naming the namespace. Nothing here names an instruction set: planish
// takes it from the flags of the unit.
#include "kernels.hpp"

#include <new>

#include <planish/linear/quantized_linear.hpp>

namespace dispatch::UNIT {
namespace {

using Layer = planish::QuantizedLinear<planish::Quantizer<8, planish::PerChannel>,
                                       planish::Quantizer<8, planish::PerToken>, planish::Identity>;

#define NAME_OF(unit) #unit
#define NAME(unit) NAME_OF(unit)

planish::Status enable() noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  return planish::enable_amx();
#else
  return {};
#endif
}

planish::Status make(planish::MatrixView<const float> weights, void*& layer) noexcept {
  layer = nullptr;
  auto made = Layer::make(weights, {}, planish::Identity(weights.columns()));
  if (!made) return made.status();
  layer = new (std::nothrow) Layer(*std::move(made));
  return layer == nullptr ? planish::Status(planish::ErrorCode::out_of_memory, "no memory for a layer")
                          : planish::Status{};
}

std::size_t workspace_size(const void* layer, planish::index rows, int workers) noexcept {
  return static_cast<const Layer*>(layer)->workspace_size(rows, workers);
}

planish::Status forward(const void* layer, planish::MatrixView<const float> x, planish::MatrixView<float> y,
                        std::byte* memory, std::size_t bytes, planish::ExecutorReference executor) noexcept {
  return static_cast<const Layer*>(layer)->forward(x, y, planish::Workspace({memory, bytes}), executor);
}

void destroy(void* layer) noexcept { delete static_cast<Layer*>(layer); }

}  // namespace

extern const Kernels kernels{NAME(UNIT), enable, make, workspace_size, forward, destroy};

}  // namespace dispatch::UNIT
