#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/hadamard_rows.hpp>
#include <planish/kernels/cpu/kronecker_codes.hpp>
#include <planish/kernels/cpu/kronecker_rows.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>
#include <planish/transform/hadamard.hpp>

#include "laws/transform_laws.hpp"

namespace {

using laws::Matrix;
using planish::MatrixView;
namespace kernels = planish::kernels;
namespace pl = planish;

/// Codes, scales, zero points and sums with memory of their own, which starts out as nonsense.
struct Codes {
  std::vector<std::byte> memory;
  pl::QuantizedRowsSpan rows;

  Codes(pl::index count, pl::index columns, bool asymmetric)
      : memory(pl::quantized_rows_bytes(count, columns, asymmetric) + pl::buffer_alignment, std::byte{0x55}) {
    pl::Workspace workspace(memory);
    rows = pl::take_quantized_rows(workspace, count, columns, asymmetric);
  }
};

/// What `fast` writes for rows of which none, one in the middle, or the first and the last hold NaN, for several
/// numbers of rows and quantizers, is what the reference writes in two steps.
template <class Reference, class Fast>
void check_codes(pl::index n, pl::index scratch_size, const Reference& reference, const Fast& fast) {
  for (const pl::index rows : {0, 1, 2, 3, 8, 17})
    for (const pl::RowQuantizer& q : {pl::RowQuantizer{}, pl::RowQuantizer{.bits = 4, .clip = {0.8f, 0.6f}},
                                      pl::RowQuantizer{.symmetry = pl::Symmetry::asymmetric}}) {
      INFO("n ", n, ", rows ", rows, ", bits ", q.bits);
      const bool asymmetric = q.symmetry == pl::Symmetry::asymmetric;
      const pl::index behind = 2, stride = n + 3;
      auto x = Matrix<float>::random(rows + behind, stride, static_cast<std::uint64_t>(n + rows));
      constexpr float nan = std::numeric_limits<float>::quiet_NaN();
      if (rows > 2 && q.bits == 8) x(rows / 2, n / 3) = nan;
      if (rows > 1 && q.bits == 4) x(0, n - 1) = x(rows - 1, n / 2) = nan;
      const MatrixView<const float> in = x.view().middle_columns(0, n).middle_rows(0, rows);
      std::vector<float> scratch(static_cast<std::size_t>(scratch_size));
      Matrix<float> transformed(rows, n), room(rows, n);
      const Codes expected(rows, n, asymmetric), made(rows, n, asymmetric);
      reference(in, transformed.view(), std::span<float>(scratch));
      const MatrixView<const float> y = transformed.view();
      const pl::index bad = kernels::reference::quantize_rows(y, q, expected.rows);
      CHECK(fast(pl::RowsToCodes{in, behind, q, made.rows, room.view(), scratch}) == bad);
      pl::index different = 0;
      for (pl::index r = 0; r < rows; ++r) {
        for (pl::index c = 0; c < made.rows.stride; ++c) different += made.rows.row(r)[c] != expected.rows.row(r)[c];
        different += made.rows.sums[r] != expected.rows.sums[r];
        const float scale = expected.rows.scales[r];
        different += scale == scale ? made.rows.scales[r] != scale : made.rows.scales[r] == made.rows.scales[r];
        if (asymmetric) different += made.rows.zero_points[r] != expected.rows.zero_points[r];
      }
      CHECK(different == 0);
    }
}

}  // namespace

TEST_CASE("hadamard_codes: transformed and quantized at once as by the reference one after the other") {
  for (const pl::index n : {1, 12, 64, 100, 512, 576, 1536, 4096}) {
    const auto stage = planish::Hadamard::make(n, 5);
    REQUIRE(stage);
    check_codes(
        n, kernels::hadamard_scratch_size(stage->plan()),
        [&](auto x, auto y, auto scratch) {
          kernels::reference::hadamard_rows<float>(x, stage->plan(), stage->signs(), y, scratch);
        },
        [&](const auto& job) { return kernels::cpu::hadamard_codes(job, stage->plan(), stage->signs()); });
  }
}

TEST_CASE("kronecker_codes: transformed and quantized at once as by the reference one after the other") {
  struct Sizes {
    pl::index n1, n2;
  };
  for (const auto [n1, n2] :
       {Sizes{2, 3}, {24, 24}, {28, 32}, {32, 48}, {13, 40}, {64, 64}, {20, 144}, {2, 300}, {65, 63}}) {
    const auto left = Matrix<float>::random(n1, n1, 1), right = Matrix<float>::random(n2, n2, 2);
    for (const float* l : {left.values().data(), static_cast<const float*>(nullptr)})
      for (const float* r : {right.values().data(), static_cast<const float*>(nullptr)})
        check_codes(
            n1 * n2, kernels::reference::kronecker_scratch_size(n1, n2),
            [&, m1 = n1, m2 = n2](auto x, auto y, auto scratch) {
              kernels::reference::kronecker_rows<float>(x, m1, m2, l, r, y, scratch);
            },
            [&, m1 = n1, m2 = n2](const auto& job) { return kernels::cpu::kronecker_codes(job, m1, m2, l, r); });
  }
}
