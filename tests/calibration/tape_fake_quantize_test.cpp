#include <bit>
#include <cstdint>
#include <limits>
#include <optional>

#include <planish/calibration/tape/clamp_rows.hpp>
#include <planish/calibration/tape/fake_quantize.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>
#include <planish/quantizer/quantizer.hpp>

#include "tape_runs.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using planish::Affine;
using planish::MatrixView;
using planish::Symmetry;
using tape_runs::check_float;
namespace tape = planish::calibration::tape;
using tape::FakeQuantizer;
using tape::Tape;
using tape::Variable;

namespace {

constexpr Symmetry both[] = {Symmetry::symmetric, Symmetry::asymmetric};

/// Clip factors of a test: none, a pair for all rows, or a pair per row.
enum class Clips { none, shared, per_row };

/// What the documentation of fake_quantize_rows says, one element at a time, with nothing shared but the formulas. The
/// gradient is that of Σ weight ⊙ y.
struct QuantizeOracle {
  std::vector<double> y, dx, positive, negative;  // the last two by row

  QuantizeOracle(Parameter& x, const FakeQuantizer& q, const std::vector<double>& cp, const std::vector<double>& cn,
                 const std::vector<double>& weight)
      : y(x.values.size()),
        dx(x.values.size()),
        positive(static_cast<std::size_t>(x.rows)),
        negative(static_cast<std::size_t>(x.rows)) {
    const planish::index width = q.group_size == 0 ? x.columns : q.group_size;
    for (planish::index r = 0; r < x.rows; ++r)
      for (planish::index first = 0; first < x.columns; first += width)
        add(x, q, r, first, std::min(x.columns, first + width), cp[static_cast<std::size_t>(r)],
            cn[static_cast<std::size_t>(r)], weight);
  }

 private:
  void add(const Parameter& x, const FakeQuantizer& q, planish::index row, planish::index first, planish::index last,
           double cp, double cn, const std::vector<double>& weight) {
    const bool symmetric = q.symmetry == Symmetry::symmetric;
    const double levels = symmetric ? (1 << (q.bits - 1)) - 1 : (1 << q.bits) - 1;
    const double least_code = symmetric ? -(1 << (q.bits - 1)) : 0, most_code = symmetric ? levels : levels;
    const auto at = [&](planish::index c) { return static_cast<std::size_t>(row * x.columns + c); };
    std::size_t highest = at(first), lowest = at(first);
    for (planish::index c = first; c < last; ++c) {
      if (x.values[at(c)] > x.values[highest]) highest = at(c);
      if (x.values[at(c)] < x.values[lowest]) lowest = at(c);
    }
    const double most = std::max(x.values[highest], 0.0), least = std::min(x.values[lowest], 0.0);
    const bool from_above = cp * most > -cn * least;
    double s = symmetric ? std::max(cp * most, -cn * least) / levels : (cp * most - cn * least) / levels;
    const bool has_range = s >= 0x1p-126;
    if (!has_range) s = 1.0;
    const double z = symmetric || !has_range ? 0.0 : std::clamp(std::nearbyint(-cn * least / s), 0.0, levels);
    double ds = 0.0;
    for (planish::index c = first; c < last; ++c) {
      const double steps = std::nearbyint(x.values[at(c)] / s), code = std::clamp(steps + z, least_code, most_code);
      const bool inside = steps + z == code;
      y[at(c)] = (code - z) * s;
      dx[at(c)] += inside ? weight[at(c)] : 0.0;
      ds += weight[at(c)] * (code - z - (inside ? x.values[at(c)] / s : 0.0));
    }
    if (!has_range) return;
    if (most > 0.0 && (!symmetric || from_above)) {
      dx[highest] += ds * cp / levels;
      positive[static_cast<std::size_t>(row)] += ds * most / levels;
    }
    if (least < 0.0 && (!symmetric || !from_above)) {
      dx[lowest] -= ds * cn / levels;
      negative[static_cast<std::size_t>(row)] -= ds * least / levels;
    }
  }
};

std::vector<double> by_row(const Parameter& factor, planish::index rows) {
  std::vector<double> all;
  for (planish::index r = 0; r < rows; ++r)
    all.push_back(factor.values[factor.rows == 1 ? 0 : static_cast<std::size_t>(r)]);
  return all;
}

Parameter clip_parameter(Clips clips, planish::index rows, unsigned seed) {
  Parameter clip(clips == Clips::per_row ? rows : 1, 1, seed, 0.8, 0.05);
  if (clips == Clips::none) clip.values[0] = 1.0;
  return clip;
}

/// Some rows all zero, one all of one sign.
void make_rows_awkward(Parameter& x) {
  for (planish::index c = 0; c < x.columns; ++c) {
    if (x.rows > 2) x.view()(2, c) = 0.0;
    if (x.rows > 3) x.view()(3, c) = -std::fabs(x.view()(3, c));
    if (x.rows > 4) x.view()(4, c) = std::fabs(x.view()(4, c));
  }
}

struct RowsShape {
  planish::index rows, columns, group;
};
constexpr RowsShape rows_shapes[] = {{1, 1, 0}, {1, 7, 0}, {5, 13, 0}, {5, 13, 4}, {6, 64, 64}, {5, 67, 16}, {7, 5, 1}};

std::vector<float> floats(const std::vector<double>& values) {
  std::vector<float> result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](double v) { return static_cast<float>(v); });
  return result;
}

void check_bits(float a, float b) { CHECK(std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b)); }

/// The values of the reference kernel, rows quantized one by one (a row per clip pair, a group as a row).
void check_against_reference(MatrixView<const float> y, MatrixView<const float> x, const FakeQuantizer& q,
                             const std::vector<float>& cp, const std::vector<float>& cn) {
  const planish::index width = q.group_size == 0 ? x.columns() : q.group_size;
  std::vector<std::int8_t> codes(static_cast<std::size_t>((x.columns() + 63) / 64 * 64));
  std::vector<float> values(static_cast<std::size_t>(x.columns()));
  for (planish::index r = 0; r < x.rows(); ++r)
    for (planish::index first = 0; first < x.columns(); first += width) {
      const planish::index count = std::min(width, x.columns() - first);
      float scale = 0.0f;
      std::int32_t sum = 0, zero_point = 0;
      const planish::QuantizedRowsSpan rows{codes.data(),
                                            1,
                                            count,
                                            static_cast<planish::index>(codes.size()),
                                            &scale,
                                            &sum,
                                            q.symmetry == Symmetry::symmetric ? nullptr : &zero_point};
      planish::kernels::reference::quantize_rows(
          x.middle_rows(r, 1).middle_columns(first, count),
          {.bits = q.bits,
           .symmetry = q.symmetry,
           .clip = {cp[static_cast<std::size_t>(r)], cn[static_cast<std::size_t>(r)]}},
          rows);
      planish::kernels::reference::dequantize_rows(rows, {values.data(), 1, count});
      for (planish::index c = 0; c < count; ++c) check_bits(y(r, first + c), values[static_cast<std::size_t>(c)]);
    }
}

}  // namespace

TEST_CASE("fake_quantize_rows: value and gradients are the documented ones") {
  unsigned seed = 1;
  for (const RowsShape& shape : rows_shapes)
    for (Symmetry symmetry : both)
      for (int bits : {2, 3, 4, 8})
        for (Clips clips : {Clips::none, Clips::shared, Clips::per_row}) {
          const planish::index rows = shape.rows, columns = shape.columns, group = shape.group;
          CAPTURE(rows);
          CAPTURE(columns);
          CAPTURE(group);
          CAPTURE(bits);
          Parameter x(rows, columns, seed++, 0.1);
          make_rows_awkward(x);
          Parameter cp = clip_parameter(clips, rows, seed++), cn = clip_parameter(clips, rows, seed++);
          const FakeQuantizer q{bits, symmetry, group};
          std::vector<double> weight(x.values.size());
          Tape<double> t;
          const auto v = t.parameter(x.view(), x.gradient_view());
          const auto y = clips == Clips::none
                             ? tape::fake_quantize_rows(v, q)
                             : tape::fake_quantize_rows(v, q, t.parameter(cp.view(), cp.gradient_view()),
                                                        t.parameter(cn.view(), cn.gradient_view()));
          for (planish::index r = 0; r < rows; ++r)
            for (planish::index c = 0; c < columns; ++c)
              weight[static_cast<std::size_t>(r * columns + c)] =
                  std::sin(1.0 + 0.7 * static_cast<double>(r * 131 + c));
          const QuantizeOracle expected(x, q, by_row(cp, rows), by_row(cn, rows), weight);
          CHECK(tape_runs::difference(tape_runs::elements(y.value()), expected.y) < 1e-14);  // compilers may fuse

          t.backward(weighted_sum(y));
          CHECK(tape_runs::difference(x.gradient, expected.dx) < 1e-12);
          if (clips == Clips::none) continue;
          for (auto [clip, by_rows] : {std::pair(&cp, &expected.positive), std::pair(&cn, &expected.negative)}) {
            std::vector<double> wanted = *by_rows;
            if (clip->rows == 1 && rows > 1) {
              wanted.assign(1, 0.0);
              for (double g : *by_rows) wanted[0] += g;
            }
            for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(std::fabs(clip->gradient[i] - wanted[i]) < 1e-11);
          }
        }
}

TEST_CASE("fake_quantize_rows: with the codes held, gradients are central differences") {
  // Held codes turn a row into the smooth Σ weight · s(x, clips) · code; what the straight-through rounding adds for
  // elements within the range is the derivative of s · (x / s) around the point: x and −s · (x₀ / s₀).
  constexpr planish::index rows = 5, columns = 33;
  for (Symmetry symmetry : both) {
    Parameter x(rows, columns, 7), cp(rows, 1, 8, 0.7, 0.05), cn(rows, 1, 9, 0.7, 0.05);
    Tape<double> t;
    t.backward(weighted_sum(tape::fake_quantize_rows(t.parameter(x.view(), x.gradient_view()), {4, symmetry},
                                                     t.parameter(cp.view(), cp.gradient_view()),
                                                     t.parameter(cn.view(), cn.gradient_view()))));
    const bool symmetric = symmetry == Symmetry::symmetric;
    const auto ends = [&](planish::index r) {
      double up = 0.0, down = 0.0;
      for (planish::index c = 0; c < columns; ++c) {
        up = std::max(up, cp.view()(r, 0) * x.view()(r, c));
        down = std::max(down, -cn.view()(r, 0) * x.view()(r, c));
      }
      return std::pair(up, down);
    };
    const auto scale = [&](planish::index r) {
      const auto range = ends(r);
      return symmetric ? std::max(range.first, range.second) / 7.0 : (range.first + range.second) / 15.0;
    };
    const Parameter start = x;
    std::vector<double> scales, zero_points;
    for (planish::index r = 0; r < rows; ++r) {
      scales.push_back(scale(r));
      zero_points.push_back(symmetric ? 0.0 : std::nearbyint(ends(r).second / scales.back()));
    }
    const auto held = [&](planish::index r) {
      const double s0 = scales[static_cast<std::size_t>(r)], z = zero_points[static_cast<std::size_t>(r)];
      double sum = 0.0;
      for (planish::index c = 0; c < columns; ++c) {
        const double quotient = start.values[static_cast<std::size_t>(r * columns + c)] / s0;
        const double steps = std::nearbyint(quotient);
        const double code = std::clamp(steps, symmetric ? -8.0 : -z, symmetric ? 7.0 : 15.0 - z);
        const bool inside = steps == code;
        sum += std::sin(1.0 + 0.7 * static_cast<double>(r * 131 + c)) *
               (scale(r) * (code - (inside ? quotient : 0.0)) + (inside ? x.view()(r, c) : 0.0));
      }
      return sum;
    };
    for (Parameter* p : {&x, &cp, &cn})
      for (std::size_t i = 0; i < p->values.size(); ++i) {
        const auto row = static_cast<planish::index>(i) / p->columns;
        const double saved = p->values[i], step = 1e-6;
        p->values[i] = saved + step;
        const double above = held(row);
        p->values[i] = saved - step;
        const double below = held(row);
        p->values[i] = saved;
        CAPTURE(i);
        CHECK(std::fabs(p->gradient[i] - (above - below) / (2.0 * step)) < 1e-7);
      }
  }
}

TEST_CASE("fake_quantize_rows: of equal ends the first, of equal sides the negative one is differentiated") {
  Parameter x(1, 7, 10);
  x.values = {0.3, 3.0, -3.0, 3.0, -3.0, 1.0, -0.9};
  for (Symmetry symmetry : both) {
    std::fill(x.gradient.begin(), x.gradient.end(), 0.0);
    Tape<double> t;
    t.backward(weighted_sum(tape::fake_quantize_rows(t.parameter(x.view(), x.gradient_view()), {3, symmetry})));
    std::vector<double> weight;
    for (int c = 0; c < 7; ++c) weight.push_back(std::sin(1.0 + 0.7 * c));
    const QuantizeOracle expected(x, {3, symmetry}, {1.0}, {1.0}, weight);
    CHECK(tape_runs::difference(x.gradient, expected.dx) < 1e-13);
    for (std::size_t later : {3u, 4u}) CHECK((x.gradient[later] == weight[later] || x.gradient[later] == 0.0));
    CHECK(x.gradient[2] != weight[2]);
  }
}

TEST_CASE("fake_quantize_rows: in float, the run-time quantizer's values to the bit") {
  unsigned seed = 100;
  for (const RowsShape& shape : {RowsShape{1, 1, 0}, {1, 7, 0}, {9, 131, 0}, {9, 131, 16}, {5, 576, 0}, {33, 64, 0}})
    for (Symmetry symmetry : both)
      for (int bits = 2; bits <= 8; ++bits)
        for (Clips clips : {Clips::none, Clips::shared, Clips::per_row}) {
          const planish::index rows = shape.rows, columns = shape.columns, group = shape.group;
          Parameter x(rows, columns, seed++, 0.1);
          make_rows_awkward(x);
          if (rows > 5)
            for (planish::index c = 0; c < columns; ++c) x.view()(5, c) = static_cast<double>(c % 7) - 3.0;  // ties
          if (rows > 6)
            for (planish::index c = 0; c < columns; ++c) x.view()(6, c) *= 1e-39;  // below every scale
          const auto values = floats(x.values);
          const Parameter cp = clip_parameter(clips, rows, seed++), cn = clip_parameter(clips, rows, seed++);
          const auto up = floats(cp.values), down = floats(cn.values);
          const FakeQuantizer q{bits, symmetry, group};
          Tape<float> t;
          const auto v = t.constant({values.data(), rows, columns});
          const auto y = clips == Clips::none ? tape::fake_quantize_rows(v, q)
                                              : tape::fake_quantize_rows(v, q, t.constant({up.data(), cp.rows, 1}),
                                                                         t.constant({down.data(), cn.rows, 1}));
          CAPTURE(rows);
          CAPTURE(columns);
          CAPTURE(bits);
          check_against_reference(y.value(), {values.data(), rows, columns}, q, floats(by_row(cp, rows)),
                                  floats(by_row(cn, rows)));
        }
}

TEST_CASE("fake_quantize_rows: equal to Quantizer on weights, and idempotent") {
  Parameter w(17, 96, 300);
  const auto values = floats(w.values);
  const MatrixView<const float> view(values.data(), 17, 96);
  Tape<float> t;
  const auto y = tape::fake_quantize_rows(t.constant(view), {4, Symmetry::asymmetric, 32});
  const planish::Quantizer<4, planish::PerGroup<32>, planish::Asymmetric> quantizer;
  const auto made = quantizer.quantize(view);
  for (planish::index r = 0; r < 17; ++r)
    for (planish::index c = 0; c < 96; ++c) {
      const auto tile = static_cast<std::size_t>(r * 3 + c / 32);
      const Affine affine{made.scales()[tile], made.zero_points()[tile]};
      check_bits(y.value()(r, c), planish::to_value(made.codes()[static_cast<std::size_t>(r * 96 + c)], affine));
    }
  const auto rows = tape::fake_quantize_rows(t.constant(view), {8, Symmetry::symmetric});
  CHECK(tape_runs::difference(tape_runs::elements(tape::fake_quantize_rows(rows, {8, Symmetry::symmetric}).value()),
                              tape_runs::elements(rows.value())) < 1e-6);
}

TEST_CASE("fake_quantize_rows: NaN and infinity make their run NaN and no other") {
  for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                     -std::numeric_limits<double>::infinity()}) {
    Parameter x(3, 37, 400);
    x.view()(1, 35) = bad;
    const auto values = floats(x.values);
    Tape<float> t;
    const auto y = tape::fake_quantize_rows(t.constant({values.data(), 3, 37}), {4, Symmetry::asymmetric, 20}).value();
    for (planish::index r = 0; r < 3; ++r)
      for (planish::index c = 0; c < 37; ++c) CHECK(std::isnan(y(r, c)) == (r == 1 && c >= 20));
  }
}

TEST_CASE("clamp_rows: gradients equal central differences") {
  for (const RowsShape& shape : rows_shapes) {
    const planish::index rows = shape.rows, columns = shape.columns;
    Parameter w(rows, columns, 500 + static_cast<unsigned>(columns), 0.1), upper(rows, 1, 501, 0.6, 0.05),
        lower(rows, 1, 502, 0.5, 0.05), one(1, 1, 503, 0.7, 0.01);
    if (rows > 3)
      for (planish::index c = 0; c < columns; ++c) w.view()(3, c) = -std::fabs(w.view()(3, c));
    CAPTURE(rows);
    CAPTURE(columns);
    const auto build = [](auto&, auto& p) { return weighted_sum(tape::clamp_rows(p[0], p[1], p[2])); };
    check({&w, &upper, &lower}, build, 1e-7);
    check({&w, &one, &lower}, build, 1e-7);
    check({&upper, &lower},
          [&](auto& t, auto& p) { return weighted_sum(tape::clamp_rows(t.constant(w.view()), p[0], p[1])); });
    check(
        {&w},
        [&](auto& t, auto& p) {
          return weighted_sum(tape::clamp_rows(p[0], t.constant(upper.view()), t.constant(lower.view())));
        },
        1e-7);
  }
}

TEST_CASE("clamp_rows: factors of one change nothing, and pass every gradient on") {
  Parameter w(5, 23, 510), one(1, 1, 511, 1.0, 0.0);
  Tape<double> t;
  const auto y = tape::clamp_rows(t.parameter(w.view(), w.gradient_view()),
                                  t.parameter(one.view(), one.gradient_view()), t.constant(one.view()));
  CHECK(tape_runs::elements(y.value()) == w.values);
  t.backward(weighted_sum(y));
  for (planish::index i = 0; i < 5 * 23; ++i)
    CHECK(w.gradient[static_cast<std::size_t>(i)] == std::sin(1.0 + 0.7 * static_cast<double>(i / 23 * 131 + i % 23)));
  CHECK(one.gradient[0] == 0.0);
}

TEST_CASE("quantizers: float equals double, and itself on any number of threads") {
  // Multiples of 1/64 with ends of 7 and 15: quotients are exact, no code depends on the precision.
  Parameter x(67, 301, 600), cp(67, 1, 601, 0.8, 0.05), cn(67, 1, 602, 0.8, 0.05);
  for (double& v : x.values) v = std::nearbyint(std::clamp(v * 2.0, -6.5, 6.5) * 64.0 + 0.25) / 64.0;
  for (planish::index r = 0; r < x.rows; ++r) {
    x.view()(r, r) = 7.0;
    x.view()(r, r + 1) = -8.0;
  }
  check_float({&x}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
    return tape::fake_quantize_rows(p[0], {4, Symmetry::asymmetric});
  });
  check_float({&x, &cp, &cn},
              []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::clamp_rows(p[0], p[1], p[2]); });
  // Learned clips: codes may differ between the precisions, not between numbers of threads.
  check_float(
      {&x, &cp, &cn},
      []<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
        return tape::fake_quantize_rows(p[0], {4, Symmetry::symmetric, 43}, p[1], p[2]);
      },
      0.2);
}

TEST_CASE("quantizers: heads by reshape, a second use of the input, one clip for both ends") {
  Parameter x(6, 20, 700), clip(1, 1, 701, 0.8, 0.0);
  Tape<double> t;
  const auto v = t.parameter(x.view(), x.gradient_view());
  const auto c = t.parameter(clip.view(), clip.gradient_view());
  const auto heads = tape::fake_quantize_rows(t.reshape(v, 24, 5), {4, Symmetry::asymmetric}, c, c);
  t.backward(weighted_sum(tape::add(t.reshape(heads, 6, 20), v)));
  std::vector<double> weight(x.values.size());
  for (std::size_t i = 0; i < weight.size(); ++i)
    weight[i] = std::sin(1.0 + 0.7 * static_cast<double>(i / 20 * 131 + i % 20));
  Parameter by_head = x;
  by_head.rows = 24;
  by_head.columns = 5;
  const QuantizeOracle expected(by_head, {4, Symmetry::asymmetric}, std::vector<double>(24, 0.8),
                                std::vector<double>(24, 0.8), weight);
  double clip_gradient = 0.0;
  for (std::size_t r = 0; r < 24; ++r) clip_gradient += expected.positive[r] + expected.negative[r];
  CHECK(clip.gradient[0] == doctest::Approx(clip_gradient).epsilon(1e-12));
  for (std::size_t i = 0; i < weight.size(); ++i)
    CHECK(x.gradient[i] == doctest::Approx(expected.dx[i] + weight[i]).epsilon(1e-12));
}

TEST_CASE("quantizers: misuse throws a sentence") {
  Parameter x(4, 6, 800), clip(3, 1, 801);
  Tape<double> t;
  const auto a = t.constant(x.view()), c = t.constant(clip.view());
  CHECK_THROWS_WITH_AS((void)tape::fake_quantize_rows(a, {9, Symmetry::symmetric}), "codes have 2 to 8 bits, not 9",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::fake_quantize_rows(a, {4, Symmetry::symmetric, -3}), "groups of -3 columns",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::fake_quantize_rows(a, {4, Symmetry::symmetric}, c, c),
                       "a clip of 4 rows is 1 x 1 or 4 x 1, not 3 x 1", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::clamp_rows(a, c, c), "an upper clamp factor of 4 rows is 1 x 1 or 4 x 1, not 3 x 1",
                       planish::Error);
}
