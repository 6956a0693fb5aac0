// Row kernels where they seldom go: many long rows, rows read twice as nibbles, static scales behind a transform, gates
// far from zero, values in place of codes.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "emulator.hpp"
#include "row_oracles.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::CodeForm, cuda::ElementType;
using oracles::awkward, oracles::differences, oracles::Input;
using pl::index;

void check_quantize(index rows, index columns, ElementType type, CodeForm form, int held, std::uint64_t seed) {
  INFO("rows ", rows, " columns ", columns, " seed ", seed);
  pl::Random random(seed);
  const Input input(awkward(rows, columns, random), type);
  const pl::RowQuantizer q{.bits = form == CodeForm::nibbles ? 4 : 8, .clip = {0.9f, 0.8f}};
  const samples::Rows expected({input.values.data(), rows, columns}, q);
  samples::Rows made(rows, columns, false);
  const auto plan = cuda::plan_quantize({static_cast<int>(rows), static_cast<int>(columns), type, form, held > 0},
                                        emulator::small_device);
  REQUIRE(plan.has_value());
  CHECK(plan->held == held);
  std::int32_t bad = 0;
  const cuda::QuantizeArguments a{input.data(), columns, q, made.span(), &bad};
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  CHECK(differences(made.span(), expected.view(), form, true) == 0);
  CHECK(bad == oracles::bad_rows(expected.view()));
  CHECK(emulator::faults() == 0);
}

TEST_CASE("many rows of more vectors than a thread keeps four of, and nibbles of rows read twice") {
  std::uint64_t seed = 1;
  for (const auto form : {CodeForm::bytes, CodeForm::nibbles}) {
    check_quantize(32, 1040, ElementType::bfloat16, form, 8, seed++);
    check_quantize(33, 2056, ElementType::half, form, 8, seed++);
    check_quantize(32, 524, ElementType::float32, form, 8, seed++);
    check_quantize(7, 1003, ElementType::bfloat16, form, 0, seed++);
    check_quantize(7, 75, ElementType::half, form, 0, seed++);
    check_quantize(7, 75, ElementType::float32, form, 0, seed++);
  }
}

TEST_CASE("every thread of the kernels that quantize has 64 registers or more") {
  constexpr int registers = 65536;  // of a multiprocessor
  for (const int held : {0, 2, 4, 8})
    CHECK(registers / (cuda::quantize_threads(held) * cuda::quantize_blocks(held)) >= 64);
}

/// Codes of one scale for all rows, from values far beyond their ends to zeros.
template <class E>
void check_static(int n1, int n2, index rows, CodeForm form, pl::Symmetry symmetry, bool groups, std::uint64_t seed) {
  INFO("n1 ", n1, " n2 ", n2, " rows ", rows, " seed ", seed);
  const auto type = std::is_same_v<E, pl::BFloat16> ? ElementType::bfloat16 : ElementType::half;
  pl::Random random(seed);
  const index n = index{n1} * n2;
  const Input input(samples::floats(rows * n, random), type);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  const auto factors = cuda::KroneckerFactors::make(n1, n2, left.data(), right.data(), type);
  REQUIRE(factors.has_value());
  const auto expected = oracles::twin<E>(input.values, rows, n1, n2, left, right);
  const bool nibbles = form == CodeForm::nibbles, asymmetric = symmetry == pl::Symmetry::asymmetric;
  const double scale = (nibbles ? 0.03 : 0.002) * std::sqrt(static_cast<double>(n));
  const pl::RowQuantizer q{.bits = nibbles ? 4 : 8,
                           .symmetry = symmetry,
                           .static_scale = static_cast<float>(scale),
                           .static_zero_point = nibbles ? 6 : 120};
  samples::Rows made(rows, n, asymmetric);
  cuda::KroneckerShape shape{static_cast<int>(rows), n1, n2, type, type, form, n2 % 8 == 0, groups};
  const auto plan = cuda::plan_kronecker(shape, emulator::small_device);
  REQUIRE(plan.has_value());
  CHECK((plan->group_path != cuda::KroneckerGroupPath::none) == groups);
  cuda::KroneckerArguments a;
  a.x = input.data();
  a.row_stride = n;
  a.factors = factors->view();
  a.factor = 0.5f;
  a.quantizer = q;
  a.out = made.span();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  const double lowest = nibbles ? -8 : -128, highest = nibbles ? 7 : 127;
  index wrong_codes = 0, wrong_sides = 0, cut = 0;
  for (index r = 0; r < rows; ++r) {
    const int zero = asymmetric ? q.static_zero_point - q.storage_offset() : 0;
    std::int32_t sum = 0;
    for (index c = 0; c < n; ++c) {
      const std::int8_t* row = made.view().row(r);
      const int code = nibbles ? (static_cast<std::uint8_t>(row[c / 2]) >> (c % 2 * 4) & 15) - 8 : row[c];
      const double steps = 0.5 * expected[static_cast<std::size_t>(r * n + c)] / double{q.static_scale} + zero;
      wrong_codes += !(std::abs(std::clamp(steps, lowest, highest) - code) <= 0.55);
      cut += steps < lowest || steps > highest;
      sum += code;
    }
    wrong_sides += oracles::bits_of(made.view().scales[r]) != oracles::bits_of(q.static_scale);
    wrong_sides += made.view().sums[r] != sum;
    if (asymmetric) wrong_sides += made.view().zero_points[r] != zero;
  }
  CHECK(wrong_codes == 0);
  CHECK(wrong_sides == 0);
  CHECK(cut > 0);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("Kronecker transforms on matrix units quantize with a static scale") {
  const auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  std::uint64_t seed = 1;
  for (const bool groups : {false, true}) {
    check_static<pl::BFloat16>(64, 64, 9, CodeForm::nibbles, symmetric, groups, seed++);
    check_static<pl::Half>(50, 80, 3, CodeForm::bytes, asymmetric, groups, seed++);
    check_static<pl::BFloat16>(112, 128, 2, CodeForm::nibbles, asymmetric, groups, seed++);
  }
  check_static<pl::Half>(7, 12, 5, CodeForm::bytes, symmetric, false, seed++);
}

TEST_CASE("the float32 Kronecker transform gives the reference's values to the bit") {
  pl::Random random(3);
  constexpr int n1 = 7, n2 = 12;
  constexpr index rows = 4, n = index{n1} * n2, stride = n + 5;
  const auto x = samples::floats(rows * n, random), left = samples::floats(n1 * n1, random),
             right = samples::floats(n2 * n2, random);
  std::vector<float> expected(rows * n), scratch(8 * n), y(rows * stride, -7.0f);
  pl::kernels::reference::kronecker_rows<float>({x.data(), rows, n}, n1, n2, left.data(), right.data(),
                                                {expected.data(), rows, n}, scratch);
  const auto plan =
      cuda::plan_kronecker({rows, n1, n2, ElementType::float32, ElementType::float32}, emulator::small_device);
  REQUIRE(plan.has_value());
  cuda::ExactArguments a;
  a.x = x.data();
  a.row_stride = n;
  a.factors = {n1, n2, left.data(), right.data()};
  a.factor = 0.25f;
  a.y = y.data();
  a.y_stride = stride;
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{5}).ok());
  index wrong = 0;
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < stride; ++c)
      wrong += y[static_cast<std::size_t>(r * stride + c)] !=
               (c < n ? 0.25f * expected[static_cast<std::size_t>(r * n + c)] : -7.0f);
  CHECK(wrong == 0);
  CHECK(emulator::faults() == 0);
}

/// Words of which both halves go through the vectors' formula and the elements': every gate of a type.
template <class E>
index wrong_gates() {
  index wrong = 0;
  const float ups[] = {1.0f, -1.5f, 0x1p-20f, 300.0f, 0.0f, -2.0f, 1.0f, 0.3f};
  cuda::Vector16 up{};
  for (int i = 0; i < 4; ++i) up.words[i] = cuda::round_pair(E{}, ups[2 * i], ups[2 * i + 1]);
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const std::uint32_t word = bits | bits << 16;
    const cuda::Vector16 made = cuda::gated<E>({{word, word, word, word}}, up);
    const float gate = E{static_cast<std::uint16_t>(bits)}.to_float();
    for (int i = 0; i < 4; ++i)
      wrong += made.words[i] != cuda::round_pair(E{}, cuda::gated(gate, cuda::widened<E>(up.words[i], 0)),
                                                 cuda::gated(gate, cuda::widened<E>(up.words[i], 1)));
  }
  return wrong;
}

TEST_CASE("SwiGLU of eight elements is that of each, for every gate of 16 bits") {
  CHECK(wrong_gates<pl::BFloat16>() == 0);
  CHECK(wrong_gates<pl::Half>() == 0);
}

}  // namespace
