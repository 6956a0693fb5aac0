#include <planish/calibration/tape/fake_quantize.hpp>
#include <planish/calibration/tape/product.hpp>
#include <planish/calibration/tape/split_products.hpp>

#include "tape_against_double.hpp"
#include "tape_runs.hpp"

namespace tape = planish::calibration::tape;
using planish::MatrixView;
using tape::FakeQuantizer;

namespace {

struct CodeProductSizes {
  planish::index m, n, k;
};

tape_check::Leaf<float> leaf(planish::index rows, planish::index columns, unsigned seed) {
  return {{rows, columns}, seed};
}

}  // namespace

TEST_CASE("a quantized matrix keeps its codes: times their scales they are its values, to the bit") {
  for (int bits : {2, 4, 8}) {
    const auto x = leaf(37, 70, 1);
    tape::Tape<float> t;
    const auto y = tape::fake_quantize_rows(t.constant({x.values.data(), 37, 70}), {.bits = bits});
    REQUIRE(t.codes_of(y));
    const planish::QuantizedRowsView codes = *t.codes_of(y);
    CHECK(codes.rows == 37);
    CHECK(codes.columns == 70);
    for (planish::index r = 0; r < 64; ++r) {  // up to a whole panel of weights
      std::int32_t sum = 0;
      for (planish::index c = 0; c < codes.stride; ++c) {
        if (r < 37 && c < 70)
          CHECK(static_cast<float>(codes.row(r)[c]) * codes.scales[r] == y.value()(r, c));
        else
          CHECK(codes.row(r)[c] == 0);
        sum += codes.row(r)[c];
      }
      CHECK(codes.sums[r] == sum);
    }
  }
}

TEST_CASE("codes are kept where one scale times a code is the value") {
  const auto x = leaf(3, 40, 1);
  tape::Tape<float> t;
  const auto in = t.constant({x.values.data(), 3, 40});
  CHECK(t.codes_of(tape::fake_quantize_rows(in, {.bits = 4})));
  CHECK_FALSE(t.codes_of(tape::fake_quantize_rows(in, {.bits = 4, .symmetry = planish::Symmetry::asymmetric})));
  CHECK_FALSE(t.codes_of(tape::fake_quantize_rows(in, {.bits = 4, .group_size = 20})));
  CHECK_FALSE(t.codes_of(tape::fake_quantize_rows(in, {.bits = 4, .rounds = false})));
  CHECK_FALSE(t.codes_of(t.reshape(tape::fake_quantize_rows(in, {.bits = 4}), 6, 20)));
  CHECK_FALSE(t.codes_of(in));
}

TEST_CASE("products of codes: the integer product, rescaled as the kernels do it, on any number of threads") {
  for (const auto& s : {CodeProductSizes{1, 1, 1}, {13, 33, 17}, {70, 96, 200}, {65, 31, 1536}, {530, 70, 66}})
    for (int bits : {4, 8}) {
      CAPTURE(s.m);
      CAPTURE(s.n);
      CAPTURE(s.k);
      auto x = leaf(s.m, s.k, 1);
      const auto w = leaf(s.n, s.k, 2);
      if (s.m > 2) x.values[static_cast<std::size_t>(2 * s.k)] = std::numeric_limits<float>::quiet_NaN();
      for (int workers : {1, 3}) {
        ThreadPerWorker pool{workers};
        tape::Tape<float> t(pool);
        const auto a = tape::fake_quantize_rows(t.constant({x.values.data(), s.m, s.k}), {.bits = bits});
        const auto b = tape::fake_quantize_rows(t.constant({w.values.data(), s.n, s.k}), {.bits = bits});
        const auto y = tape::multiply_transposed(a, b).value();
        const planish::QuantizedRowsView left = *t.codes_of(a), right = *t.codes_of(b);
        planish::index wrong = 0;
        for (planish::index r = 0; r < s.m; ++r)
          for (planish::index c = 0; c < s.n; ++c) {
            std::int32_t sum = 0;
            for (planish::index k = 0; k < s.k; ++k) sum += left.row(r)[k] * right.row(c)[k];
            const float expected = std::fma(static_cast<float>(sum) * left.scales[r], right.scales[c], 0.0f);
            wrong += y(r, c) == expected || (s.m > 2 && r == 2 && std::isnan(y(r, c))) ? 0 : 1;
          }
        CHECK(wrong == 0);
      }
    }
}

TEST_CASE("products of split bfloat16: gradients by codes have 16 bits, the same ones on any number of threads") {
  static_cast<void>(planish::enable_amx());
  if (!tape::can_split_products()) return;
  for (const auto& s : {CodeProductSizes{128, 96, 96}, {401, 135, 129}, {37, 131, 523}, {770, 97, 1260}}) {
    CAPTURE(s.m);
    CAPTURE(s.n);
    CAPTURE(s.k);
    const auto build = [](bool splits) {
      return [splits](auto& p) {
        p[0].tape().set_products(splits ? tape::Products::split_bfloat16 : tape::Products::float32);
        const auto x = tape::fake_quantize_rows(p[0], {.bits = 4}), w = tape::fake_quantize_rows(p[1], {.bits = 4});
        return tape::add(tape::multiply_transposed(x, w), tape::multiply_transposed(x, w));  // the second is added
      };
    };
    const std::vector<tape_check::Shape> shapes{{s.m, s.k}, {s.n, s.k}};
    const auto split = tape_check::values_and_gradients<float>(1, shapes, build(true));
    const auto whole = tape_check::values_and_gradients<float>(1, shapes, build(false));
    CHECK(split[0] == whole[0]);  // integers
    for (std::size_t m = 1; m < 3; ++m) {
      CHECK(tape_runs::difference(split[m], whole[m]) < 2e-5);
      CHECK(split[m] != whole[m]);
    }
    for (int workers : {2, 5}) CHECK(tape_check::values_and_gradients<float>(workers, shapes, build(true)) == split);
  }
}

namespace {

/// A gradient, some rows of it NaN, infinite, zero or tiny, and codes of 8 bits.
struct GradientAndCodes {
  CodeProductSizes sizes;
  bool dense_rows;  // of the gradient, or else its columns
  tape_check::Leaf<float> a, b;
  tape::Tape<float> source;
  planish::QuantizedRowsView codes;

  GradientAndCodes(CodeProductSizes s, bool dense, bool tiny_rows)
      : sizes(s), dense_rows(dense), a(leaf(dense ? s.m : s.k, dense ? s.k : s.m, 1)), b(leaf(s.k, s.n, 2)) {
    codes = *source.codes_of(tape::fake_quantize_rows(source.constant({b.values.data(), s.k, s.n}), {.bits = 8}));
    if (s.m <= 8) return;
    const auto at = [&](planish::index r, planish::index k) -> float& {
      return a.values[static_cast<std::size_t>(dense_rows ? r * s.k + k : k * s.m + r)];
    };
    at(2, 5) = std::numeric_limits<float>::quiet_NaN();
    at(3, s.k - 1) = -std::numeric_limits<float>::infinity();
    for (planish::index k = 0; k < s.k; ++k) at(4, k) = 0.0f, at(5, k) *= tiny_rows ? 1e-35f : 1.0f;
  }

  [[nodiscard]] MatrixView<const float> left() const {
    const MatrixView<const float> stored(a.values.data(), a.shape.rows, a.shape.columns);
    return dense_rows ? stored : stored.transposed();
  }
  [[nodiscard]] float term(planish::index r, planish::index k) const { return left()(r, k) * codes.scales[k]; }

  /// The largest term of a row and run; NaN if one is not finite.
  [[nodiscard]] float largest(planish::index r, planish::Range run) const {
    float most = 0.0f;
    for (planish::index k = run.begin; k < run.end; ++k) {
      if (!std::isfinite(term(r, k))) return std::numeric_limits<float>::quiet_NaN();
      most = std::max(most, std::fabs(term(r, k)));
    }
    return most;
  }
};

/// `add(problem, row, run, largest, to)` adds the share of a run to a row of the expected product, `to`; `multiply` is
/// what must make the same, to the bit, on any number of threads.
template <class Add, class Multiply>
void check_gradient_product(bool tiny_rows, Add&& add, Multiply&& multiply) {
  for (const auto& s : {CodeProductSizes{128, 96, 96}, {401, 135, 129}, {37, 131, 523}, {13, 70, 1261}, {1, 33, 40}}) {
    CAPTURE(s.m);
    CAPTURE(s.n);
    CAPTURE(s.k);
    for (bool dense_rows : {true, false}) {
      const GradientAndCodes problem(s, dense_rows, tiny_rows);
      for (bool fresh : {true, false}) {
        std::vector<float> expected(static_cast<std::size_t>(s.m * s.n), fresh ? 0.0f : 0.5f);
        planish::kernels::cpu::for_each_run(s.k, 512, [&](planish::Range run) {
          for (planish::index r = 0; r < s.m; ++r)
            add(problem, r, run, problem.largest(r, run), expected.data() + r * s.n);
        });
        for (int workers : {1, 3}) {
          ThreadPerWorker pool{workers};
          tape::Tape<float> t(pool);
          std::vector<float> made(expected.size(), 0.5f);
          multiply(t, problem.left(), problem.codes, tape::GradientTarget<float>{{made.data(), s.m, s.n}, fresh});
          planish::index wrong = 0;
          for (std::size_t i = 0; i < made.size(); ++i)
            wrong += made[i] == expected[i] || (std::isnan(made[i]) && std::isnan(expected[i])) ? 0 : 1;
          CHECK(wrong == 0);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("products of int16: gradients rounded row by row times codes, to the bit, on any number of threads") {
  check_gradient_product(
      true,
      [](const GradientAndCodes& p, planish::index r, planish::Range run, float largest, float* to) {
        if (largest < 1e-30f) return;
        for (planish::index c = 0; c < p.sizes.n; ++c) {
          std::int64_t sum = 0;
          for (planish::index k = run.begin; k < run.end && std::isfinite(largest); ++k)
            sum += std::lrint(p.term(r, k) * (32767.0f / largest)) * p.codes.row(k)[c];
          to[c] = std::fma(static_cast<float>(sum), largest / 32767.0f, to[c]);
        }
      },
      [](auto&&... product) { tape::detail::multiply_rounded(product...); });
}

TEST_CASE("products of int8: gradients quantized row by row times codes, to the bit, on any number of threads") {
  check_gradient_product(
      false,
      [](const GradientAndCodes& p, planish::index r, planish::Range run, float largest, float* to) {
        const float scale = largest == 0.0f ? 1.0f : largest / 127.0f;
        for (planish::index c = 0; c < p.sizes.n; ++c) {
          std::int32_t sum = 0;
          for (planish::index k = run.begin; k < run.end && std::isfinite(largest); ++k)
            sum += static_cast<std::int32_t>(std::nearbyint(p.term(r, k) / scale)) * p.codes.row(k)[c];
          to[c] += std::fma(static_cast<float>(sum), scale, 0.0f);  // rounded by itself, then added
        }
      },
      [](auto&&... product) { tape::detail::multiply_bytes(product...); });
}

TEST_CASE("products of integers: a step's gradients are those of float32 to their digits, its value to the bit") {
  for (const auto& s : {CodeProductSizes{128, 96, 96}, {401, 135, 129}, {770, 97, 1260}}) {
    CAPTURE(s.m);
    const auto build = [](tape::Products products) {
      return [products](auto& p) {
        p[0].tape().set_products(products);
        const auto x = tape::fake_quantize_rows(p[0], {.bits = 4}), w = tape::fake_quantize_rows(p[1], {.bits = 4});
        return tape::add(tape::multiply_transposed(x, w), tape::multiply_transposed(x, w));  // the second is added
      };
    };
    const std::vector<tape_check::Shape> shapes{{s.m, s.k}, {s.n, s.k}};
    const auto whole = tape_check::values_and_gradients<float>(1, shapes, build(tape::Products::float32));
    for (const auto& [products, error] : {std::pair{tape::Products::int16, 1e-4}, {tape::Products::int8, 1.5e-2}}) {
      const auto rounded = tape_check::values_and_gradients<float>(1, shapes, build(products));
      CHECK(rounded[0] == whole[0]);
      for (std::size_t m = 1; m < 3; ++m) {
        CHECK(tape_runs::difference(rounded[m], whole[m]) < error);
        CHECK(rounded[m] != whole[m]);
      }
    }
  }
}
