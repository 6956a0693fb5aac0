// OpenBLAS's float product with threads of its own.
#include <cblas.h>

#include "shapes.hpp"
#include "support/operands.hpp"

namespace {

using planish::index;

const bool added = bench::peers::add(
    "openblas", "fp32", [](benchmark::State& state, index m, bench::Shape shape, int threads, bool cold) {
      const bench::FloatMatrix w(shape.n, shape.k), x(m, shape.k, 2);
      bench::FloatMatrix y(m, shape.n);
      bench::ColdCopies copies(w.view().data(), static_cast<std::size_t>(shape.n * shape.k) * sizeof(float), cold);
      openblas_set_num_threads(threads);
      const int rows = static_cast<int>(m), n = static_cast<int>(shape.n), k = static_cast<int>(shape.k);
      const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
      bench::measure(state, threads, {.float_operations = operations, .bytes = copies.bytes_read()}, [&] {
        const auto* weights = static_cast<const float*>(copies.next());
        if (rows == 1)
          cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0f, weights, k, x.view().data(), 1, 0.0f, y.view().data(),
                      1);
        else
          cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, k, 1.0f, x.view().data(), k, weights, k, 0.0f,
                      y.view().data(), n);
      });
    });

}  // namespace
