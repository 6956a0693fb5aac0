// What stands before a transform, RMSNorm and SwiGLU, computed in the kernels' row load, run by the emulator: equal to
// the bit to the reference's rows behind which the transform runs without it.
#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "emulator.hpp"
#include "prologue_oracles.hpp"
#include "row_oracles.hpp"

namespace pl = planish;
namespace cuda = planish::kernels::cuda;

namespace {

using cuda::CodeForm, cuda::ElementType, cuda::Prologue;
using oracles::Input, oracles::Produced;
using pl::index;

TEST_CASE("a prologue before the float32 transform gives the reference's codes to the bit") {
  std::uint64_t seed = 1;
  const int sizes[][2] = {{1, 5}, {8, 8}, {7, 12}, {16, 40}, {64, 20}};
  for (const auto& size : sizes)
    for (const auto prologue : {Prologue::none, Prologue::rms_norm, Prologue::swiglu})
      for (const auto type : {ElementType::bfloat16, ElementType::float32}) {
        const int n1 = size[0], n2 = size[1];
        INFO("n1 ", n1, " n2 ", n2, " seed ", seed);
        pl::Random random(seed++);
        const index rows = 7, n = index{n1} * n2;
        // What columns lose stands behind each of the three, and without a prologue wherever it can.
        const bool maps = prologue == Prologue::none || seed / 2 % 2 == 0;
        const Produced produced(prologue, rows, n, type, seed % 2 == 0, true, random, maps);
        const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
        std::vector<float> y(static_cast<std::size_t>(rows * n)), scratch(static_cast<std::size_t>(8 * n));
        pl::kernels::reference::kronecker_rows<float>({produced.values.data(), rows, n}, n1, n2, left.data(),
                                                      right.data(), {y.data(), rows, n}, scratch);
        const pl::RowQuantizer q{.bits = 4, .clip = {0.9f, 0.95f}};
        const samples::Rows expected({y.data(), rows, n}, q);
        samples::Rows made(rows, n, false);
        cuda::KroneckerShape shape{static_cast<int>(rows), n1, n2, type, ElementType::float32};
        shape.prologue = prologue;
        const auto plan = cuda::plan_kronecker(shape, emulator::small_device);
        REQUIRE(plan.has_value());
        cuda::ExactArguments a;
        a.x = produced.x.data();
        a.row_stride = n;
        a.factors = {n1, n2, left.data(), right.data()};
        a.quantizer = q;
        a.out = made.span();
        a.prologue = produced.arguments();
        std::int32_t bad = 0;
        a.bad_rows = &bad;
        CHECK(cuda::check(*plan, a).ok());
        CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
        CHECK(oracles::differences(made.span(), expected.view(), CodeForm::bytes, true) == 0);
        CHECK(bad == oracles::bad_rows(expected.view()));
        CHECK(emulator::faults() == 0);
      }
}

/// Values of a transform with a prologue, to the bit those of the same transform of rows that met it before; its codes
/// and sums those of the exact values within the law of transforms.
template <class E>
void check_units(int n1, int n2, index rows, Prologue prologue, ElementType input, CodeForm form, std::uint64_t seed,
                 const cuda::DeviceCapabilities& device) {
  INFO("n1 ", n1, " n2 ", n2, " rows ", rows, " seed ", seed);
  const auto type = std::is_same_v<E, pl::BFloat16> ? ElementType::bfloat16 : ElementType::half;
  pl::Random random(seed);
  const index n = index{n1} * n2;
  const Produced produced(prologue, rows, n, input, seed % 2 == 0, false, random);
  const Input rounded(produced.values, type);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  const auto factors = cuda::KroneckerFactors::make(n1, n2, left.data(), right.data(), type);
  REQUIRE(factors.has_value());
  const auto exact = oracles::twin<E>(rounded.values, rows, n1, n2, left, right);
  samples::Rows made(rows, n, true);
  std::vector<std::uint16_t> expected_values(static_cast<std::size_t>(rows * n), 1), values(expected_values.size(), 2);
  for (const bool with : {false, true}) {
    cuda::KroneckerShape shape{static_cast<int>(rows), n1, n2, with ? input : type, type, form};
    shape.background = (with ? input : type) == type && n2 % 8 == 0;
    shape.groups = true;
    shape.prologue = with ? prologue : Prologue::none;
    const auto plan = cuda::plan_kronecker(shape, device);
    REQUIRE(plan.has_value());
    cuda::KroneckerArguments a;
    a.x = with ? produced.x.data() : rounded.data();
    a.row_stride = n;
    a.factors = factors->view();
    if (a.factors.panels_size() > 0 && seed % 2 != 0) a.factors.panels = factors->panels();
    a.quantizer = {
        .bits = form == CodeForm::nibbles ? 4 : 8, .symmetry = pl::Symmetry::asymmetric, .clip = {0.9f, 0.95f}};
    a.out = made.span();
    if (with) a.prologue = produced.arguments();
    CHECK(cuda::check(*plan, a).ok());
    if (with) CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed}).ok());
    a.y = (with ? values : expected_values).data();
    a.y_stride = n;
    CHECK(cuda::dispatch(*plan, a, emulator::Launcher{seed + 1}).ok());
  }
  CHECK(values == expected_values);
  index wrong_codes = 0, wrong_sums = 0;
  for (index r = 0; r < rows; ++r) {
    const pl::Affine affine{made.view().scales[r], made.view().zero_point(r)};
    const std::int8_t* row = made.view().row(r);
    std::int32_t sum = 0;
    for (index c = 0; c < n; ++c) {
      const int code =
          form == CodeForm::bytes ? row[c] : (static_cast<std::uint8_t>(row[c / 2]) >> (c % 2 * 4) & 15) - 8;
      const double lowest = form == CodeForm::bytes ? -128 : -8, highest = form == CodeForm::bytes ? 127 : 7;
      const double steps = exact[static_cast<std::size_t>(r * n + c)] / double{affine.scale} + affine.zero_point;
      wrong_codes += !(std::abs(std::clamp(steps, lowest, highest) - code) <= 0.55);
      sum += code;
    }
    wrong_sums += sum != made.view().sums[r];
  }
  CHECK(wrong_codes == 0);
  CHECK(wrong_sums == 0);
  CHECK(emulator::faults() == 0);
}

TEST_CASE("a prologue before a transform on matrix units: to the bit as if rows had met it before") {
  const auto brain = ElementType::bfloat16, half = ElementType::half, single = ElementType::float32;
  auto plain = emulator::small_device;
  plain.group_products = false;
  std::uint64_t seed = 1;
  for (const auto prologue : {Prologue::rms_norm, Prologue::swiglu}) {
    for (const auto& device : {emulator::small_device, plain}) {
      check_units<pl::BFloat16>(64, 64, 67, prologue, brain, CodeForm::nibbles, seed++, device);
      check_units<pl::BFloat16>(64, 64, 3, prologue, brain, CodeForm::bytes, seed++, device);
      check_units<pl::BFloat16>(112, 128, 19, prologue, brain, CodeForm::bytes, seed++, device);
    }
    check_units<pl::BFloat16>(50, 80, 9, prologue, brain, CodeForm::bytes, seed++, emulator::small_device);
    check_units<pl::Half>(64, 128, 10, prologue, half, CodeForm::bytes, seed++, emulator::small_device);
    check_units<pl::BFloat16>(90, 128, 5, prologue, brain, CodeForm::nibbles, seed++, emulator::small_device);
    check_units<pl::Half>(128, 128, 3, prologue, half, CodeForm::bytes, seed++, emulator::small_device);
    check_units<pl::Half>(60, 40, 11, prologue, half, CodeForm::bytes, seed++, plain);
    check_units<pl::Half>(32, 128, 25, prologue, half, CodeForm::bytes, seed++, plain);
    check_units<pl::BFloat16>(7, 12, 20, prologue, brain, CodeForm::bytes, seed++, plain);    // not in the background
    check_units<pl::BFloat16>(16, 48, 33, prologue, single, CodeForm::bytes, seed++, plain);  // converted on the way
    check_units<pl::BFloat16>(128, 224, 2, prologue, brain, CodeForm::bytes, seed++, plain);
    check_units<pl::BFloat16>(144, 192, 2, prologue, brain, CodeForm::bytes, seed++, plain);
  }
  const auto path = [](int n1, int n2) {
    cuda::KroneckerShape shape{8, n1, n2};
    shape.prologue = Prologue::swiglu;
    return cuda::plan_kronecker(shape, emulator::small_device)->group_path;
  };
  CHECK(path(64, 64) == cuda::KroneckerGroupPath::rows64_columns64);
  CHECK(path(112, 128) == cuda::KroneckerGroupPath::rows112_columns128);
  CHECK(path(32, 128) == cuda::KroneckerGroupPath::none);
  CHECK(path(128, 224) == cuda::KroneckerGroupPath::none);
}

TEST_CASE("SwiGLU by quick units is the formula's once rounded, for every gate of bfloat16") {
  const std::uint16_t ups[] = {0x3f80, 0xbfb5, 0x0001, 0x8080, 0x7f7f, 0xff80, 0x7fc0, 0x0000, 0x4123};
  const auto wide = [](std::uint32_t bits) { return pl::BFloat16{static_cast<std::uint16_t>(bits)}.to_float(); };
  index wrong = 0, unsure = 0;
  for (std::uint32_t first = 0; first < 0x10000; first += 8)
    for (const std::uint16_t up : ups) {
      cuda::Vector16 gates, others, quick;
      float x[8], y[8], z[8];
      for (std::uint32_t i = 0; i < 8; ++i) x[i] = wide(first + i), y[i] = wide(up);
      for (std::uint32_t w = 0; w < 4; ++w) {
        gates.words[w] = (first + 2 * w) | (first + 2 * w + 1) << 16;
        others.words[w] = std::uint32_t{up} * 0x00010001u;
      }
      pl::kernels::reference::swiglu_rows({x, 1, 8}, {y, 1, 8}, {z, 1, 8});
      const bool sure = cuda::nearly_gated(gates, others, quick);
      const cuda::Vector16 made = cuda::gated_rounded<pl::BFloat16>(gates, others);
      unsure += !sure;
      for (std::uint32_t i = 0; i < 8; ++i) {
        const auto half = [i](const cuda::Vector16& v) { return v.words[i / 2] >> (16 * (i % 2)) & 0xffffu; };
        const auto same = [&](const cuda::Vector16& v) {
          return z[i] != z[i] ? wide(half(v)) != wide(half(v)) : half(v) == pl::BFloat16::from_float(z[i]).bits;
        };
        wrong += !same(made) + (sure && !same(quick));
      }
    }
  CHECK(wrong == 0);
  CHECK(unsure > 0x4000 / 8);  // the gates below -80 at least
  CHECK(unsure < 0x10000 / 8 * 9 / 3);
  // Right on a tie, and beside it as far as doubt goes.
  index near = 0;
  for (std::uint32_t off = 0; off <= 4 * cuda::swiglu_doubt; ++off) {
    const std::uint32_t low = 0x8000u - 2 * cuda::swiglu_doubt + off;
    const std::uint32_t least = cuda::least_sum_pairs(low, 0x8000u + cuda::swiglu_doubt, 0xffffffffu) & 0xffffu;
    near += least <= 2 * cuda::swiglu_doubt;
  }
  CHECK(near == 2 * cuda::swiglu_doubt + 1);
}

TEST_CASE("what a prologue cannot take is refused in a sentence") {
  alignas(16) float gain[80] = {};
  alignas(16) std::uint16_t rows[2 * 72] = {};
  const auto refusal = [&](Prologue prologue, const cuda::PrologueArguments& p) {
    cuda::KroneckerShape shape{.rows = 1, .n1 = 8, .n2 = 8};
    shape.prologue = prologue;
    const auto plan = cuda::plan_kronecker(shape, emulator::small_device);
    cuda::KroneckerArguments a;
    a.x = rows;
    a.row_stride = 64;
    a.factors.n1 = a.factors.n2 = 8;
    a.y = rows;
    a.prologue = p;
    return std::string(cuda::check(*plan, a).message());
  };
  CHECK(refusal(Prologue::rms_norm, {gain, 1e-5f}) == "");
  CHECK(refusal(Prologue::swiglu, {nullptr, 0.0f, rows + 64, 64}) == "");
  CHECK(refusal(Prologue::rms_norm, {gain, -1.0f}) == "the epsilon of a norm before a transform must be in [0, 1)");
  CHECK(refusal(Prologue::rms_norm, {gain + 1, 1e-5f}) ==
        "gains of a norm before a transform must lie on a multiple of 16 bytes");
  CHECK(refusal(Prologue::swiglu, {}) == "a transform planned for SwiGLU needs `up` beside x, which is the gate");
  for (const bool scales : {false, true})
    CHECK(refusal(Prologue::none, {.offset = scales ? nullptr : gain, .scale = scales ? gain : nullptr}) ==
          "offsets and scales of columns before a transform need float32 arithmetic");
  CHECK(refusal(Prologue::swiglu, {nullptr, 0.0f, rows + 1, 64}) == "rows of `up` must begin on multiples of 16 bytes");
}

}  // namespace
