#include <cmath>

#include <planish/transform/hadamard.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

#include "image_of.hpp"

namespace llama::gpu {
namespace {

using planish::AnyStage;
using planish::StageParameter;

/// Rows of a Hadamard matrix without signs, one by one: ±1 and exact.
class HadamardRows {
 public:
  explicit HadamardRows(const planish::Hadamard& stage) : stage_(stage), size_(stage.size()) {
    unit_.resize(static_cast<std::size_t>(size_));
    row_.resize(unit_.size());
    scratch_.resize(static_cast<std::size_t>(stage.scratch_size(1)));
  }

  [[nodiscard]] const std::vector<double>& row(index i) {
    const auto at = static_cast<std::size_t>(i);
    unit_[at] = stage_.signs() == nullptr ? 1.0 : static_cast<double>(stage_.signs()[at]);
    stage_.apply(MatrixView<const double>(unit_.data(), 1, size_), MatrixView<double>(row_.data(), 1, size_),
                 std::span<double>(scratch_));
    unit_[at] = 0.0;
    for (double& value : row_) value = value < 0.0 ? -1.0 : 1.0;
    return row_;
  }

 private:
  const planish::Hadamard& stage_;
  index size_;
  std::vector<double> unit_, row_, scratch_;
};

/// H of order n = n1 · n2 as L ⊗ R, cut where the factors are smallest: between two bases, behind the last of which
/// come the doublings, or between two of those.
StepImage hadamard_factors(const planish::Hadamard& stage) {
  const index n = stage.size();
  const auto plan = stage.plan();
  index n2 = 1, cut = 1;
  const auto consider = [&](index next) {
    cut = next;
    if (n / cut + cut < n / n2 + n2) n2 = cut;
  };
  for (int d = 0; d < plan.doublings; ++d) consider(2 * cut);
  for (index base = plan.base_count; base > 0; --base) consider(cut * plan.bases[base - 1].order);
  const index n1 = n / n2;
  HadamardRows rows(stage);
  StepImage step{.n1 = static_cast<int>(n1), .n2 = static_cast<int>(n2)};
  step.factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(n)));
  // Element (i n2 + k, j n2 + c) is L(i, j) R(k, c), and L(0, 0) = ±1 goes to both.
  for (index k = 0; k < n2; ++k) {
    const std::vector<double>& row = rows.row(k);
    for (index c = 0; c < n2; ++c) step.right.push_back(static_cast<float>(row[static_cast<std::size_t>(c)]));
  }
  const float corner = step.right.front();
  for (index i = 0; i < n1; ++i) {
    const std::vector<double>& row = rows.row(i * n2);
    for (index j = 0; j < n1; ++j)
      step.left.push_back(corner * static_cast<float>(row[static_cast<std::size_t>(j * n2)]));
  }
  return step;
}

/// Puts a product behind the steps so far: what columns met last, it meets where it reads them.
void append_product(std::vector<StepImage>& steps, StepImage product) {
  if (!steps.empty() && !steps.back().is_kronecker()) {
    product.offset = std::move(steps.back().offset);
    product.scale = std::move(steps.back().scale);
    steps.pop_back();
  }
  steps.push_back(std::move(product));
}

/// Puts (x − offset) ⊙ scale behind the steps so far.
void append_map(std::vector<StepImage>& steps, std::vector<float> offset, std::vector<float> scale) {
  if (!steps.empty() && !steps.back().is_kronecker() && steps.back().scale.empty() && offset.empty()) {
    steps.back().scale = std::move(scale);
    return;
  }
  steps.push_back({.offset = std::move(offset), .scale = std::move(scale)});
}

const StageParameter* find(std::span<const StageParameter> all, std::string_view name) {
  for (const StageParameter& parameter : all)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

/// The whole matrix of a Hadamard stage, signs and 1/√n included.
std::vector<float> hadamard_matrix(const planish::Hadamard& stage) {
  HadamardRows rows(stage);
  std::vector<float> matrix;
  for (index i = 0; i < stage.size(); ++i) {
    const double sign = stage.signs() == nullptr ? 1.0 : static_cast<double>(stage.signs()[i]);
    const double factor = sign / std::sqrt(static_cast<double>(stage.size()));
    for (const double value : rows.row(i)) matrix.push_back(static_cast<float>(value * factor));
  }
  return matrix;
}

/// One side of a Kronecker stage: its matrix, or nothing and the size of an identity. 0: it is neither.
int factor_of(std::span<const StageParameter> all, const std::string& side, std::vector<float>& matrix) {
  for (const char* name : {"", ".dense.matrix", ".rotation.matrix"})
    if (const StageParameter* found = find(all, side + name)) {
      matrix.assign(found->values.begin(), found->values.end());
      return static_cast<int>(found->rows);
    }
  for (const char* name : {"_size", ".identity.size"})
    if (const StageParameter* found = find(all, side + name)) return static_cast<int>(found->values.front());
  auto hadamard = [&]() -> planish::Result<planish::Hadamard> {
    if (const StageParameter* signs = find(all, side + ".hadamard.signs"))
      return planish::Hadamard::with_signs(static_cast<index>(signs->values.size()), signs->values);
    if (const StageParameter* size = find(all, side + ".hadamard.size"))
      return planish::Hadamard::make(static_cast<index>(size->values.front()));
    return planish::Status(planish::ErrorCode::unsupported, side);
  }();
  if (!hadamard) return 0;
  matrix = hadamard_matrix(*hadamard);
  return static_cast<int>(hadamard->size());
}

}  // namespace

std::vector<StepImage> steps_of(const planish::AnyTransform& transform, const std::string& where) {
  std::vector<StepImage> steps;
  for (const AnyStage& stage : transform.stages()) {
    const std::string_view name = stage.name();
    if (const auto* shift = stage.get_if<planish::Shift>()) {
      append_map(steps, {shift->offsets().begin(), shift->offsets().end()}, {});
    } else if (const auto* scale = stage.get_if<planish::Scale>()) {
      append_map(steps, {}, {scale->factors().begin(), scale->factors().end()});
    } else if (const auto* hadamard = stage.get_if<planish::Hadamard>()) {
      if (const float* signs = hadamard->signs()) append_map(steps, {}, {signs, signs + hadamard->size()});
      append_product(steps, hadamard_factors(*hadamard));
    } else if (name == "rotation" || name == "dense") {
      const auto parameters = require(stage.parameters(), where);
      const planish::Array<float>& matrix = parameters.front().values;
      append_product(steps, {.n1 = 1, .n2 = static_cast<int>(stage.size()), .right = {matrix.begin(), matrix.end()}});
    } else if (name == "kronecker") {
      const auto parameters = require(stage.parameters(), where);
      StepImage step;
      step.n1 = factor_of(parameters, "left", step.left);
      step.n2 = factor_of(parameters, "right", step.right);
      if (step.n1 == 0 || step.n2 == 0)
        fail(where, ": the GPU has no kernel for ", stage.describe(), "; use --backend cpu");
      append_product(steps, std::move(step));
    } else if (name != "identity") {
      fail(where, ": the GPU has no kernel for ", stage.describe(), "; use --backend cpu");
    }
  }
  return steps;
}

}  // namespace llama::gpu
