#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/dense_rows.hpp>
#include <planish/kernels/cpu/hadamard_rows.hpp>
#include <planish/kernels/cpu/kronecker_rows.hpp>
#include <planish/transform/hadamard.hpp>

#include "laws/transform_laws.hpp"

namespace {

using laws::Matrix;
using planish::MatrixView;
namespace kernels = planish::kernels;
namespace pl = planish;

/// Runs both kernels on the same rows, strided and off the cache line, and compares every bit.
template <class Reference, class Fast>
void check_equal(pl::index n, pl::index scratch_size, const Reference& reference, const Fast& fast) {
  for (const pl::index rows : {0, 1, 2, 3, 5, 17}) {
    INFO("n ", n, ", rows ", rows);
    const pl::index stride = n + 3;
    auto x = Matrix<float>::random(rows, stride, static_cast<std::uint64_t>(n + rows));
    if (rows > 2)
      for (pl::index c = 0; c < n; ++c) x(1, c) = c % 3 == 0 ? 0.0f : -0.0f;  // zeros keep one sign on every backend
    Matrix<float> expected(rows, stride, 7.0f), actual(rows, stride, 7.0f);
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> scratch(static_cast<std::size_t>(scratch_size) + 65, nan);
    const std::span<float> odd = std::span<float>(scratch).subspan(1, static_cast<std::size_t>(scratch_size));
    for (std::size_t i = odd.size() + 1; i < scratch.size(); ++i) scratch[i] = 42.0f;
    reference(x.view().middle_columns(0, n), expected.view().middle_columns(0, n), odd);
    for (float& value : odd) value = nan;
    fast(x.view().middle_columns(0, n), actual.view().middle_columns(0, n), odd);
    if (rows > 0)
      CHECK(std::memcmp(expected.values().data(), actual.values().data(), expected.values().size() * sizeof(float)) ==
            0);
    for (std::size_t i = odd.size() + 1; i < scratch.size(); ++i) REQUIRE(scratch[i] == 42.0f);
  }
}

}  // namespace

TEST_CASE("hadamard_rows: the CPU equals the reference to the bit") {
  for (const pl::index n : {1,   2,   4,   8,   12,  16,  20,  24,  28,  32,  36,  40,   48,   56,   64,   80,  96,
                            100, 112, 128, 144, 156, 172, 240, 256, 512, 560, 576, 1536, 2048, 4864, 6144, 8192}) {
    const auto plain = planish::Hadamard::make(n), with_signs = planish::Hadamard::make(n, 5);
    REQUIRE(plain);
    for (const auto* stage : {&*plain, &*with_signs})
      check_equal(
          n, kernels::hadamard_scratch_size(stage->plan()),
          [&](auto x, auto y, auto scratch) {
            kernels::reference::hadamard_rows<float>(x, stage->plan(), stage->signs(), y, scratch);
          },
          [&](auto x, auto y, auto scratch) {
            kernels::cpu::hadamard_rows(x, stage->plan(), stage->signs(), y, scratch);
          });
  }
}

TEST_CASE("kronecker_rows: the CPU equals the reference to the bit") {
  for (const auto& [n1, n2] : std::vector<std::pair<pl::index, pl::index>>{
           {1, 1},   {1, 7},   {7, 1},    {2, 3},   {7, 9},   {8, 8},   {5, 13},   {13, 5},
           {9, 64},  {64, 9},  {24, 24},  {28, 32}, {32, 48}, {65, 63}, {12, 129}, {7, 40},
           {13, 88}, {6, 200}, {20, 144}, {40, 80}, {2, 300}, {3, 100}}) {
    const pl::index left_size = n1, right_size = n2;
    const auto left = Matrix<float>::random(n1, n1, 1), right = Matrix<float>::random(n2, n2, 2);
    for (const float* l : {left.values().data(), static_cast<const float*>(nullptr)})
      for (const float* r : {right.values().data(), static_cast<const float*>(nullptr)})
        check_equal(
            n1 * n2, kernels::reference::kronecker_scratch_size(n1, n2),
            [&](auto x, auto y, auto scratch) {
              kernels::reference::kronecker_rows<float>(x, left_size, right_size, l, r, y, scratch);
            },
            [&](auto x, auto y, auto scratch) {
              kernels::cpu::kronecker_rows(x, left_size, right_size, l, r, y, scratch);
            });
  }
}

TEST_CASE("dense_rows: the CPU equals the reference to the bit") {
  for (const pl::index n : {1, 2, 6, 7, 9, 12, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 129}) {
    const auto a = Matrix<float>::random(n, n, 3);
    check_equal(
        n, 0, [&](auto x, auto y, auto) { kernels::reference::dense_rows<float>(x, a.values().data(), y); },
        [&](auto x, auto y, auto) { kernels::cpu::dense_rows(x, a.values().data(), y); });
  }
}
