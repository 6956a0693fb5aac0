#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <planish/linear/any_transform.hpp>

#include "require.hpp"
#include "weight_source.hpp"

namespace llama {

using planish::ExecutorReference;
using planish::MatrixView;

/// A matrix on its way to codes, in float64.
struct WorkingMatrix {
  std::vector<double> weights;  // out × in
  std::vector<double> bias;     // out, zeros where there is none
  MatrixShape shape;

  [[nodiscard]] MatrixView<double> view() { return {weights.data(), shape.rows, shape.columns}; }

  /// The dual of a stage of this matrix's input, rows spread over the executor. Throws Error, naming `where`.
  void fold(const planish::AnyTransform& stage, const std::string& where, ExecutorReference executor) {
    const int tasks = static_cast<int>(std::min<index>(shape.rows, 4 * executor.workers()));
    std::vector<planish::Status> statuses(static_cast<std::size_t>(tasks));
    executor.run(tasks, [&](int task, int) {
      const planish::Range range = planish::part_of(shape.rows, task, tasks);
      const auto first = static_cast<std::size_t>(range.begin), count = static_cast<std::size_t>(range.end) - first;
      statuses[static_cast<std::size_t>(task)] = stage.fold_into_weights(
          view().middle_rows(range.begin, range.end - range.begin), std::span<double>(bias).subspan(first, count));
    });
    for (const planish::Status& status : statuses) require(status, where);
  }

  /// Raises magnitudes[j] to max |W_ij| of column j.
  void raise_to_column_magnitudes(std::vector<float>& magnitudes) const {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      float& magnitude = magnitudes[i % magnitudes.size()];
      magnitude = std::max(magnitude, static_cast<float>(std::fabs(weights[i])));
    }
  }
};

}  // namespace llama
