// Eigen's float product, one slice of channels per thread.
#include <Eigen/Core>

#include "shapes.hpp"
#include "support/operands.hpp"

namespace {

using planish::index;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<const Matrix>;

const bool added = bench::peers::add(
    "eigen", "fp32", [](benchmark::State& state, index m, bench::Shape shape, int threads, bool cold) {
      const bench::FloatMatrix w(shape.n, shape.k), x(m, shape.k, 2);
      bench::FloatMatrix y(m, shape.n);
      bench::ColdCopies copies(w.view().data(), static_cast<std::size_t>(shape.n * shape.k) * sizeof(float), cold);
      const planish::ExecutorReference executor = bench::executor(threads);
      const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
      bench::measure(state, threads, {.float_operations = operations, .bytes = copies.bytes_read()}, [&] {
        const View weights(static_cast<const float*>(copies.next()), shape.n, shape.k);
        const View rows(x.view().data(), m, shape.k);
        Eigen::Map<Matrix> result(y.view().data(), m, shape.n);
        executor.run(threads, [&](int task, int) noexcept {
          const planish::Range part = planish::part_of(shape.n, task, threads);
          result.middleCols(part.begin, part.end - part.begin).noalias() =
              rows * weights.middleRows(part.begin, part.end - part.begin).transpose();
        });
      });
    });

}  // namespace
