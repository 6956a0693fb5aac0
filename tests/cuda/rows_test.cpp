// The shipped kernels of rows (quantize, Kronecker), run by the emulator, against the reference.
#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/cuda/quantize_rows.cuh>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "emulator.hpp"
#include "row_oracles.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using oracles::awkward, oracles::differences, oracles::Input, oracles::twin;
using pl::index;

TEST_CASE("rows are quantized as by the reference, to the bit") {
  std::uint64_t seed = 1;
  for (const auto type : {cuda::ElementType::float32, cuda::ElementType::bfloat16, cuda::ElementType::half})
    for (const index columns : {1, 7, 64, 200, 1000, 4104, 16400})
      for (const auto symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
        for (const int bits : {4, 8})
          for (const auto form : {cuda::CodeForm::bytes, cuda::CodeForm::nibbles}) {
            if (form == cuda::CodeForm::nibbles && bits != 4) continue;
            if (columns > 10000 && (bits == 4) == (form == cuda::CodeForm::bytes)) continue;
            INFO("seed ", seed, " columns ", columns, " bits ", bits);
            pl::Random random(seed++);
            const index rows = columns > 1000 ? 2 : 7;
            const Input input(awkward(rows, columns, random), type);
            pl::RowQuantizer q{.bits = bits, .symmetry = symmetry, .clip = {0.9f, 0.8f}};
            if (seed % 5 == 0) q.static_scale = 0.013f, q.static_zero_point = 3;
            const samples::Rows expected({input.values.data(), rows, columns}, q);
            samples::Rows made(rows, columns, symmetry == pl::Symmetry::asymmetric);
            const index stride = columns * (type == cuda::ElementType::float32 ? 4 : 2);
            const auto plan =
                cuda::plan_quantize({static_cast<int>(rows), static_cast<int>(columns), type, form, stride % 16 == 0},
                                    emulator::small_device);
            REQUIRE(plan.has_value());
            std::int32_t bad = 0;
            cuda::QuantizeArguments a{input.data(), columns, q, made.span(), &bad};
            CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
            CHECK(differences(made.span(), expected.view(), form, true) == 0);
            CHECK(bad == oracles::bad_rows(expected.view()));
            CHECK(emulator::faults() == 0);
          }
}

TEST_CASE("quotients near ties are those of the formula") {
  pl::Random random(7);
  index wrong = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const auto bits = static_cast<std::uint32_t>(random.bits());
    const int exponent =
        trial % 4 == 0 ? static_cast<int>(random.below(250)) + 2 : 100 + static_cast<int>(random.below(50));
    const float scale = std::bit_cast<float>((bits & 0x7fffffu) | static_cast<std::uint32_t>(exponent) << 23);
    pl::RowQuantizer q{.bits = 8, .symmetry = trial % 2 == 0 ? pl::Symmetry::symmetric : pl::Symmetry::asymmetric};
    const float top = scale * (q.symmetry == pl::Symmetry::symmetric ? 127.0f : 255.0f);
    if (!pl::is_finite(top)) continue;
    const pl::ValueRange range{trial % 3 == 0 ? -0.3f * top : 0.0f, top};
    const auto coder = cuda::RowCoder::make(range, true, q);
    const pl::Affine affine = q.affine(range);
    if (!coder.usable) continue;
    for (int i = 0; i < 40; ++i) {
      const float middle = (static_cast<float>(random.below(256)) - 128.0f + 0.5f) * affine.scale;
      float value =
          std::bit_cast<float>(std::bit_cast<std::uint32_t>(middle) + static_cast<std::uint32_t>(random.below(9)) - 4u);
      if (value < range.lowest || value > range.highest) value = range.highest * static_cast<float>(random.uniform());
      const int expected = pl::to_code(value, affine, pl::code_range(8, q.symmetry)) - q.storage_offset();
      const float shifted = coder.shifted ? coder.shifted_value(value) : value;
      wrong += static_cast<std::int8_t>(coder.code(shifted)) != expected;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("one correction rounds quotients of 16-bit values as the formula does") {
  // Where a quotient lies that near a tie, the scale is within some ulps of value / tie: all of those.
  pl::Random random(9);
  index wrong = 0;
  for (const int bits : {8, 11})
    for (int k = 0; k < 300; ++k)
      for (int trial = 0; trial < 40; ++trial) {
        const auto least = std::uint64_t{1} << (bits - 1);
        const float value = std::ldexp(static_cast<float>(least + random.below(least)), static_cast<int>(k % 9) - 4);
        const float tie = static_cast<float>(k) + 0.5f;
        for (std::uint32_t ulps = 0; ulps < 9; ++ulps) {
          cuda::RowCoder coder{};
          coder.divisor = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value / tie) + ulps - 4u);
          coder.reciprocal = 1.0f / coder.divisor;
          const auto expected = static_cast<int>(pl::round_half_even(value / coder.divisor));
          const auto steps = static_cast<int>(coder.exact_steps<false, 1>(value) - 0x4b400000u);
          wrong += steps != expected;
          wrong += static_cast<int>(coder.exact_steps<false, 2>(value) - 0x4b400000u) != expected;
        }
      }
  CHECK(wrong == 0);
}

TEST_CASE("ranges by bits are those of the values") {
  pl::Random random(11);
  const float special[] = {0.0f, -0.0f, 0x1p-140f, -0x1p-140f, 3.0e38f, -3.0e38f};
  index wrong = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    cuda::RangeBits range;
    cuda::RangeSoFar expected;
    cuda::PairBits pairs;
    cuda::RangeSoFar expected_pairs;
    for (int i = 0; i < 6; ++i) {
      float v[2];
      std::uint32_t word = 0;
      for (int h = 0; h < 2; ++h) {
        v[h] = random.below(4) == 0 ? special[random.below(6)] : static_cast<float>(random.normal());
        if (trial % 5 == 0 && random.below(20) == 0) v[h] = std::numeric_limits<float>::quiet_NaN();
        if (trial % 5 == 1 && random.below(20) == 0) v[h] = -std::numeric_limits<float>::infinity();
        if (trial % 5 == 2 && random.below(20) == 0) v[h] = -std::numeric_limits<float>::quiet_NaN();
        expected.add(v[h]);
        const auto half = trial % 2 == 0 ? pl::Half::from_float(v[h]).bits : pl::BFloat16::from_float(v[h]).bits;
        expected_pairs.add(trial % 2 == 0 ? pl::Half{half}.to_float() : pl::BFloat16{half}.to_float());
        word |= std::uint32_t{half} << (16 * h);
      }
      range.add(v[0], v[1]);
      pairs.add(word, word);
    }
    // What the lanes of a warp do, for one.
    const auto agree = [](const cuda::RangeBits& bits, const cuda::RangeSoFar& plain) {
      if (bits.finite() != plain.finite()) return false;
      return !plain.finite() || (bits.values().lowest == plain.lowest && bits.values().highest == plain.highest);
    };
    wrong += !agree(range, expected);
    emulator::run({1, 32, 64}, 1, [&] {
      const auto joined = trial % 2 == 0 ? pairs.joined<pl::Half>() : pairs.joined<pl::BFloat16>();
      if (cuda::thread_index() == 7) wrong += !agree(joined, expected_pairs);
    });
  }
  CHECK(wrong == 0);
}

TEST_CASE("the float32 Kronecker transform gives the reference's codes to the bit") {
  std::uint64_t seed = 1;
  const int sizes[][2] = {{1, 5}, {8, 8}, {7, 12}, {3, 33}, {16, 40}, {64, 20}};
  for (const auto& [n1, n2] : sizes)
    for (const auto form : {cuda::CodeForm::bytes, cuda::CodeForm::nibbles}) {
      pl::Random random(seed++);
      const index rows = 5, n = index{n1} * n2;
      const Input input(awkward(rows, n, random), cuda::ElementType::bfloat16);
      const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
      std::vector<float> y(static_cast<std::size_t>(rows * n)), scratch(static_cast<std::size_t>(8 * n));
      const bool with_left = seed % 3 != 0;
      pl::kernels::reference::kronecker_rows<float>({input.values.data(), rows, n}, n1, n2,
                                                    with_left ? left.data() : nullptr, right.data(),
                                                    {y.data(), rows, n}, scratch);
      const pl::RowQuantizer q{.bits = 4, .clip = {0.9f, 0.95f}};
      const samples::Rows expected({y.data(), rows, n}, q);
      samples::Rows made(rows, n, false);
      const auto plan = cuda::plan_kronecker(
          {static_cast<int>(rows), n1, n2, cuda::ElementType::bfloat16, cuda::ElementType::float32, form},
          emulator::small_device);
      REQUIRE(plan.has_value());
      cuda::ExactArguments a;
      a.x = input.data();
      a.row_stride = n;
      a.factors = {n1, n2, with_left ? left.data() : nullptr, right.data()};
      a.quantizer = q;
      a.out = made.span();
      CHECK(cuda::check(*plan, a).ok());
      CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
      CHECK(differences(made.span(), expected.view(), form, true) == 0);
      CHECK(emulator::faults() == 0);
    }
}

template <class E>
void check_units(int n1, int n2, index rows, cuda::ElementType input_type, cuda::ElementType type, cuda::CodeForm form,
                 pl::Symmetry symmetry, std::uint64_t seed,
                 const cuda::DeviceCapabilities& device = emulator::small_device) {
  INFO("n1 ", n1, " n2 ", n2, " rows ", rows, " seed ", seed);
  pl::Random random(seed);
  const index n = index{n1} * n2;
  const Input input(samples::floats(rows * n, random), input_type);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  const auto factors = cuda::KroneckerFactors::make(n1, n2, left.data(), right.data(), type);
  REQUIRE(factors.has_value());
  const auto expected = twin<E>(input.values, rows, n1, n2, left, right);
  const pl::RowQuantizer q{
      .bits = form == cuda::CodeForm::nibbles ? 4 : 8, .symmetry = symmetry, .clip = {0.9f, 0.95f}};
  samples::Rows made(rows, n, symmetry == pl::Symmetry::asymmetric);
  const auto plan = cuda::plan_kronecker(
      {static_cast<int>(rows), n1, n2, input_type, type, form, input_type == type && n % 8 == 0, true}, device);
  REQUIRE(plan.has_value());
  cuda::KroneckerArguments a;
  a.x = input.data();
  a.row_stride = n;
  a.factors = factors->view();
  if (seed % 3 != 0 && a.factors.panels_size() > 0) a.factors.panels = factors->panels();
  a.quantizer = q;
  a.out = made.span();
  CHECK(cuda::check(*plan, a).ok());
  CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
  std::vector<std::uint16_t> values(static_cast<std::size_t>(rows * n), 0x7fff);
  auto b = a;
  b.y = values.data();
  b.y_stride = n;
  CHECK(cuda::dispatch(*plan, b, emulator::Launcher{seed + 1}).ok());
  index far = 0, wrong_codes = 0, wrong_sums = 0;
  for (index r = 0; r < rows; ++r) {
    double largest = 0.0;
    for (index c = 0; c < n; ++c) largest = std::max(largest, std::abs(expected[static_cast<std::size_t>(r * n + c)]));
    const pl::Affine affine{made.view().scales[r], made.view().zero_point(r)};
    std::int32_t sum = 0;
    for (index c = 0; c < n; ++c) {
      const auto at = static_cast<std::size_t>(r * n + c);
      far += !(std::abs(expected[at] - double{E{values[at]}.to_float()}) <= largest * 0x1p-8);
      const std::int8_t* row = made.view().row(r);
      const int code =
          form == cuda::CodeForm::bytes ? row[c] : (static_cast<std::uint8_t>(row[c / 2]) >> (c % 2 * 4) & 15) - 8;
      const double steps = expected[at] / double{affine.scale} + affine.zero_point;
      const double lowest = q.bits == 8 ? -128 : -8, highest = q.bits == 8 ? 127 : 7;
      wrong_codes += !(std::abs(std::clamp(steps, lowest, highest) - code) <= 0.5 + 0.02);
      sum += code;
    }
    wrong_sums += sum != made.view().sums[r];
  }
  CHECK(far == 0);
  CHECK(wrong_codes == 0);
  CHECK(wrong_sums == 0);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("Kronecker transforms on matrix units are those of their twin up to the order of sums") {
  using cuda::CodeForm;
  using cuda::ElementType;
  const auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  const auto brain = ElementType::bfloat16, half = ElementType::half, single = ElementType::float32;
  check_units<pl::BFloat16>(64, 64, 19, brain, brain, CodeForm::nibbles, symmetric, 1);
  check_units<pl::BFloat16>(60, 40, 5, brain, brain, CodeForm::bytes, asymmetric, 2);
  check_units<pl::Half>(7, 12, 20, half, half, CodeForm::bytes, symmetric, 3);
  check_units<pl::Half>(64, 128, 3, half, half, CodeForm::nibbles, asymmetric, 4);
  check_units<pl::BFloat16>(33, 80, 9, brain, brain, CodeForm::nibbles, symmetric, 5);
  check_units<pl::BFloat16>(112, 128, 5, brain, brain, CodeForm::bytes, symmetric, 6);
  check_units<pl::Half>(86, 128, 3, single, half, CodeForm::bytes, symmetric, 7);
  check_units<pl::BFloat16>(100, 88, 3, brain, brain, CodeForm::bytes, symmetric, 8);
  check_units<pl::BFloat16>(128, 224, 2, brain, brain, CodeForm::nibbles, symmetric, 9);
  check_units<pl::BFloat16>(20, 250, 4, brain, brain, CodeForm::bytes, symmetric, 10);
  check_units<pl::BFloat16>(172, 64, 3, brain, brain, CodeForm::bytes, asymmetric, 11);
  check_units<pl::BFloat16>(144, 192, 2, brain, brain, CodeForm::nibbles, symmetric, 12);
  check_units<pl::BFloat16>(5, 9, 4, single, brain, CodeForm::bytes, symmetric, 13);
  check_units<pl::BFloat16>(5, 9, 4, single, brain, CodeForm::nibbles, symmetric, 14);
  check_units<pl::Half>(31, 44, 5, half, half, CodeForm::nibbles, symmetric, 15);
}

TEST_CASE("Kronecker transforms on products of warpgroups, and without them, are those of the twin") {
  using cuda::CodeForm;
  using cuda::ElementType;
  const auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  const auto brain = ElementType::bfloat16, half = ElementType::half;
  auto plain = emulator::small_device;
  plain.group_products = false;
  std::uint64_t seed = 21;
  for (const auto& device : {emulator::small_device, plain}) {
    check_units<pl::BFloat16>(64, 64, 35, brain, brain, CodeForm::nibbles, asymmetric, seed++, device);
    check_units<pl::BFloat16>(50, 64, 3, brain, brain, CodeForm::bytes, symmetric, seed++, device);
    check_units<pl::Half>(64, 80, 9, half, half, CodeForm::nibbles, symmetric, seed++, device);
    check_units<pl::BFloat16>(47, 80, 5, brain, brain, CodeForm::bytes, asymmetric, seed++, device);
    check_units<pl::BFloat16>(64, 128, 5, brain, brain, CodeForm::nibbles, symmetric, seed++, device);
    check_units<pl::BFloat16>(112, 128, 3, brain, brain, CodeForm::nibbles, symmetric, seed++, device);
    check_units<pl::Half>(128, 128, 3, half, half, CodeForm::bytes, symmetric, seed++, device);
    check_units<pl::BFloat16>(90, 128, 2, brain, brain, CodeForm::bytes, asymmetric, seed++, device);
    check_units<pl::BFloat16>(128, 224, 17, brain, brain, CodeForm::nibbles, symmetric, seed++, device);
    check_units<pl::Half>(100, 224, 2, half, half, CodeForm::bytes, symmetric, seed++, device);
  }
  const auto path = [](int n1, int n2, bool groups, bool background) {
    auto device = emulator::small_device;
    device.group_products = groups;
    return cuda::plan_kronecker({8, n1, n2, brain, brain, CodeForm::bytes, background, true}, device)->group_path;
  };
  CHECK(path(64, 64, true, true) == cuda::KroneckerGroupPath::rows64_columns64);
  CHECK(path(112, 128, true, true) == cuda::KroneckerGroupPath::rows112_columns128);
  CHECK(path(64, 64, false, true) == cuda::KroneckerGroupPath::none);
  CHECK(path(64, 64, true, false) == cuda::KroneckerGroupPath::none);
  CHECK(path(32, 64, true, true) == cuda::KroneckerGroupPath::none);
  CHECK(path(64, 72, true, true) == cuda::KroneckerGroupPath::none);
  CHECK(cuda::plan_kronecker({8, 64, 64}, emulator::small_device)->group_path ==
        cuda::KroneckerGroupPath::rows64_columns64);
  cuda::KroneckerShape early{8, 64, 64};
  early.early = true;
  CHECK(cuda::plan_kronecker(early, emulator::small_device)->launch.early);
  CHECK(!cuda::plan_kronecker(early, cuda::DeviceCapabilities{8, 0, 108, 166912})->launch.early);
}

}  // namespace
