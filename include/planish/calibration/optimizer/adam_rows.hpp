#pragma once
#include <cstddef>
#include <vector>

#include <planish/calibration/optimizer/parameter_set.hpp>
#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// AdamW (arXiv 1711.05101): Adam with weight decay decoupled from the gradient.
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< of every parameter, times its own learning rate
};

/// 1 − βⁿ of both moments, which start at zero.
struct AdamCorrections {
  double first = 1.0, second = 1.0;
};

/// Adam for a matrix as large as a layer's weights: moments in T, rows spread over the executor, each row at its own
/// rate, no decay. Every element by itself, so that the number of threads changes no bit.
template <tape::MustBeReal T>
class AdamRows {
 public:
  explicit AdamRows(std::size_t elements) : first_(elements), second_(elements) {}

  void step(LearnedMatrix<T>& m, double learning_rate, AdamCorrections corrections, const AdamWOptions& options,
            ExecutorReference executor) {
    using Lanes = tape::Lanes<T>;
    const index columns = m.columns, block = tape::rows_per_block(m.rows, columns);
    tape::for_row_blocks(executor, m.rows, block, [&](index begin, index count) {
      const Lanes beta1(static_cast<T>(options.beta1)), rest1(static_cast<T>(1.0 - options.beta1));
      const Lanes beta2(static_cast<T>(options.beta2)), rest2(static_cast<T>(1.0 - options.beta2));
      const Lanes to_second(static_cast<T>(1.0 / corrections.second)), epsilon(static_cast<T>(options.epsilon));
      for (index r = begin; r < begin + count; ++r) {
        const auto row = static_cast<std::size_t>(r), offset = static_cast<std::size_t>(r * columns);
        const Lanes rate(static_cast<T>(learning_rate * m.rate_factor / corrections.first) * m.row_rates[row]);
        T *const values = m.values.data() + offset, *const first = first_.data() + offset,
                 *const second = second_.data() + offset;
        tape::for_lanes<T>(columns, [&](auto at) {
          const Lanes g = tape::load<T>(m.gradient.data() + offset, at);
          const Lanes mean = beta1 * tape::load<T>(first, at) + rest1 * g;
          const Lanes square = beta2 * tape::load<T>(second, at) + rest2 * g * g;
          tape::store<T>(mean, first, at);
          tape::store<T>(square, second, at);
          const Lanes move = mean / (xsimd::sqrt(square * to_second) + epsilon);
          tape::store<T>(tape::load<T>(values, at) - rate * move, values, at);
        });
      }
    });
  }

 private:
  std::vector<T> first_, second_;  // moments of the gradient
};

}  // namespace planish::inline PLANISH_ABI::calibration
