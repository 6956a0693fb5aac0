#include "planish_mul_mat.h"

#include <new>

#include <planish/linear/quantized_linear.hpp>
#include <planish/transform/hadamard.hpp>

namespace pl = planish;

// planish: begin
using Layer = pl::QuantizedLinear<pl::Quantizer<4, pl::PerGroup<32>>, pl::Quantizer<8, pl::PerToken>, pl::Hadamard>;

static pl::MatrixView<float> view(const tensor& t) {
  return {t.data, t.rows, t.columns, static_cast<pl::index>(t.row_bytes / sizeof(float))};
}

static int report_if_failed(const tensor& t, const pl::Status& status) {
  return status ? 0 : report(t.name, status.message().data(), status.message().size());
}

int planish_attach(tensor* w) {
  auto hadamard = pl::Hadamard::make(w->columns, /*seed=*/1);
  if (!hadamard) return report_if_failed(*w, hadamard.status());
  auto layer = Layer::make(view(*w), {}, *std::move(hadamard));
  if (!layer) return report_if_failed(*w, layer.status());
  w->extra = new (std::nothrow) Layer(*std::move(layer));
  return w->extra != nullptr ? 0 : report(w->name, "no memory", 9);
}

void planish_detach(tensor* w) {
  delete static_cast<Layer*>(w->extra);
  w->extra = nullptr;
}

int planish_mul_mat(const compute* compute, const tensor* w, const tensor* x, tensor* y) {
  const auto& layer = *static_cast<const Layer*>(w->extra);
  const std::size_t used = compute->scratch->used, bytes = layer.workspace_size(x->rows, compute->threads);
  auto* memory = static_cast<std::byte*>(arena_take(compute->scratch, bytes, pl::buffer_alignment));
  const pl::Workspace workspace(std::span(memory, memory != nullptr ? bytes : 0));
  const pl::Status status =
      layer.forward(view(*x), view(*y), workspace, {compute->pool, compute->threads, compute->run});
  compute->scratch->used = used;
  return report_if_failed(*w, status);
}
// planish: end
