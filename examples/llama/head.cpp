#include "head.hpp"

#include <planish/quantizer/weight_scheme.hpp>

namespace llama {

using planish::AnyLinear;
using planish::AnySite;

Head::Head(const WeightSource& source, int bits) {
  const Config& config = source.config();
  const std::string name = config.tied_head ? "embedding" : "head", where = source.path() + ": " + name;
  const MatrixShape shape{config.vocabulary, config.hidden_size};
  planish::RowQuantizer quantizer{.bits = bits};
  if (bits == 16) {
    if (const auto codes = source.read_codes(name)) {
      linear_ = require(AnyLinear::make(codes->view()), where);
    } else {
      const std::vector<float> weights = source.read(name, shape);
      linear_ = require(AnyLinear::make_float({weights.data(), shape.rows, shape.columns}), where);
    }
  } else {
    const std::vector<float> weights = source.read(name, shape);
    const planish::Codes codes = require(
        planish::quantize_weights(MatrixView<const float>{weights.data(), shape.rows, shape.columns}, {.bits = bits}),
        where);
    linear_ = require(AnyLinear::make(codes.view()), where);
  }
  site_ = require(AnySite::make(planish::AnyTransform::identity(shape.columns), quantizer), where);
}

void Head::logits(MatrixView<const float> hidden, MatrixView<float> out, ScratchBytes& scratch,
                  ExecutorReference executor) const {
  const int workers = executor.workers();
  planish::Workspace workspace(
      scratch.span(site_->workspace_size(hidden.rows(), workers) + linear_->workspace_size(hidden.rows(), workers)));
  planish::QuantizedInput in;
  require(site_->prepare(hidden, in, workspace, executor), "head");
  require(linear_->multiply(in, out, workspace, executor), "head");
}

std::string Head::describe() const { return "head: " + std::string(linear_->describe()); }

}  // namespace llama
