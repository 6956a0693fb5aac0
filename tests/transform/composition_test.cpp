// How compositions cut rows into tiles, what scratch they ask for, which kinds they are of, and rows of any strides.
#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/reference/kronecker_bfloat16.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>
#include <planish/kernels/reference/norm_rows.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/in_place.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/rotation.hpp>

#include "guarded_memory.hpp"
#include "laws/transform_laws.hpp"
#include "transform/samples.hpp"

namespace compositions {
namespace {

namespace pl = planish;
using laws::Matrix;
using pl::index;

/// The identity, which notes of how many rows it was told. `own` elements of scratch per row.
struct Noting {
  index n, own;
  std::vector<index>*applied, *asked;
  [[nodiscard]] index size() const { return n; }
  [[nodiscard]] index scratch_size(index rows) const {
    asked->push_back(rows);
    return rows * own;
  }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T> scratch) const {
    REQUIRE(static_cast<index>(scratch.size()) >= x.rows() * own);
    applied->push_back(x.rows());
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < n; ++c) y(r, c) = x(r, c);
  }
  [[nodiscard]] Noting dual() const { return *this; }
};

/// `rows` in runs of at most `most`.
std::vector<index> runs_of(index rows, index most) {
  std::vector<index> runs;
  for (; rows > 0; rows -= runs.back()) runs.push_back(std::min(rows, most));
  return runs;
}

TEST_CASE("a composition carries eight rows at a time through its stages, the rest last") {
  for (const index rows : {0, 1, 7, 8, 9, 16, 17, 40}) {
    INFO("rows ", rows);
    std::vector<index> first, second, asked;
    const pl::Transform both{Noting{5, 0, &first, &asked}, Noting{5, 3, &second, &asked}};
    Matrix<double> x = Matrix<double>::random(rows, 5, 1), y(rows, 5);
    std::vector<double> scratch(static_cast<std::size_t>(both.scratch_size(rows)));
    both.apply(std::as_const(x).view(), y.view(), std::span<double>(scratch));
    CHECK(first == runs_of(rows, pl::transform_tile_rows));
    CHECK(second == first);
    CHECK(y.values() == x.values());
  }
}

TEST_CASE("scratch of a composition is that of one tile: a tile between stages, and what the hungriest stage needs") {
  std::vector<index> applied, asked;
  const Noting small{5, 2, &applied, &asked}, large{5, 3, &applied, &asked};
  for (const index rows : {0, 1, 7, 8, 9, 1000}) {
    const index tile = std::min<index>(rows, 8);
    CHECK(pl::Transform{small}.scratch_size(rows) == tile * 2);
    CHECK(pl::Transform{small, large}.scratch_size(rows) == tile * 5 + tile * 3);
    CHECK(pl::Transform{large, small, small}.scratch_size(rows) == tile * 5 + tile * 3);
    CHECK(pl::BlockDiagonal(std::vector<Noting>{large, small}).scratch_size(rows) == rows * 3);
    CHECK(pl::BlockDiagonal(std::vector<Noting>{small, large}).scratch_size(rows) == rows * 3);
    CHECK(pl::Kronecker(small, large).scratch_size(rows) == (rows == 0 ? 0 : 2 * 25 + 5 * 3));
    CHECK(pl::Kronecker(large, small).scratch_size(rows) == (rows == 0 ? 0 : 2 * 25 + 5 * 3));
  }
}

TEST_CASE("stages are applied in place sixteen rows at a time, on scratch for no more than these") {
  for (const index rows : {0, 1, 15, 16, 17, 32, 33}) {
    INFO("rows ", rows);
    std::vector<index> applied, asked;
    Matrix<double> w = Matrix<double>::random(rows, 5, 1);
    const Matrix<double> before = w;
    pl::detail::apply_in_place(Noting{5, 1, &applied, &asked}, w.view());
    CHECK(applied == runs_of(rows, 16));
    CHECK(asked == std::vector<index>{std::min<index>(rows, 16)});
    CHECK(w.values() == before.values());
  }
}

TEST_CASE("a composition of two differs from that of three stages in which buffer comes first, not in what it does") {
  const index n = 6, rows = 19;
  const pl::Scale a = samples::scale(n, 1), b = samples::scale(n, 2), c = samples::scale(n, 3),
                  d = samples::scale(n, 4);
  const auto x = Matrix<double>::random(rows, n, 5);
  const Matrix<double> two = laws::apply(b, laws::apply(a, x)), three = laws::apply(c, two),
                       four = laws::apply(d, three);
  CHECK(laws::apply(pl::Transform{a, b}, x).values() == two.values());
  CHECK(laws::apply(pl::Transform{a, b, c}, x).values() == three.values());
  CHECK(laws::apply(pl::Transform{a, b, c, d}, x).values() == four.values());
}

/// The stage on rows and columns of any distance gives what it gives on dense ones, and touches nothing between.
template <class T, class S>
void check_strides(const S& stage) {
  const index n = stage.size(), rows = 3;
  const Matrix<T> x = Matrix<T>::random(rows, n, 9);
  const Matrix<T> expected = laws::apply(stage, x);
  for (const index from : {1, 2, 3})
    for (const index to : {1, 2, 3}) {
      INFO("n ", n, ", columns ", from, " and ", to, " apart");
      std::vector<T> in(static_cast<std::size_t>(rows * (from * n + 2)), T(-5)),
          out(static_cast<std::size_t>(rows * (to * n + 1)), T(-7));
      const pl::MatrixView<T> read(in.data(), rows, n, from * n + 2, from),
          written(out.data(), rows, n, to * n + 1, to);
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < n; ++c) read(r, c) = x(r, c);
      std::vector<T> scratch(static_cast<std::size_t>(stage.scratch_size(rows)));
      stage.apply(pl::MatrixView<const T>(read), written, std::span<T>(scratch));
      index wrong = 0;
      for (index r = 0; r < rows; ++r)
        for (index c = 0; c < to * n + 1; ++c)
          wrong += out[static_cast<std::size_t>(r * (to * n + 1) + c)] !=
                           (c < to * n && c % to == 0 ? expected(r, c / to) : T(-7))
                       ? 1
                       : 0;
      CHECK(wrong == 0);
    }
}

TEST_CASE("stages read and write columns of any distance") {
  const auto both = [](const auto& stage) {
    check_strides<float>(stage);
    check_strides<double>(stage);
  };
  for (const index n : {1, 6, 16, 40}) {
    both(pl::Identity(n));
    both(samples::shift(n, 1));
    both(samples::scale(n, 2));
    both(samples::permutation(n, 3));
    both(pl::Rotation::random(n, 4));
    both(pl::Dense::random(n, 5));
    both(pl::Kronecker(pl::Dense::random(2, 6), pl::Dense::random(n, 7)));
    both(pl::Kronecker(samples::scale(3, 8), samples::permutation(n, 9)));
    both(pl::Kronecker(pl::Identity(2), pl::Identity(n)));
    both(pl::Transform{samples::shift(n, 10), samples::scale(n, 11)});
  }
  both(*pl::Hadamard::make(24, 12));
  both(*pl::Hadamard::make(64));
}

TEST_CASE("maps of single values, and copies, touch what they are given and nothing behind it") {
  for (const index n : {1, 15, 16, 17, 32, 48})
    for (const guarded::Edge edge : guarded::edges)
      for (const index rows : {0, 1, 3}) {
        INFO("n ", n, ", rows ", rows);
        const guarded::Buffer<float> x(rows * n, edge), factors(n, edge), y(rows * n, edge);
        for (float& value : x.span()) value = 3.0f;
        for (float& value : factors.span()) value = 2.0f;
        const pl::MatrixView<const float> in(x.data(), rows, n);
        const pl::MatrixView<float> out(y.data(), rows, n);
        pl::detail::map_rows(in, static_cast<const float*>(factors.data()), out,
                             [](float a, float b) { return a * b; });
        index wrong = 0;
        for (const float value : y.span()) wrong += value != 6.0f ? 1 : 0;
        pl::detail::copy_rows(in, out);
        for (const float value : y.span()) wrong += value != 3.0f ? 1 : 0;
        for (const pl::MatrixView<const float>& turned : {in.transposed()}) {
          const guarded::Buffer<float> z(rows * n, edge);
          pl::detail::copy_rows(turned, pl::MatrixView<float>(z.data(), n, rows));
          for (const float value : z.span()) wrong += value != 3.0f ? 1 : 0;
        }
        CHECK(wrong == 0);
      }
}

constexpr pl::StageKind kind_from(unsigned bits) {
  return {(bits & 1u) != 0, (bits & 2u) != 0, (bits & 4u) != 0, (bits & 8u) != 0, (bits & 16u) != 0};
}

TEST_CASE("what a producer admits depends on these kinds and on no others") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 32; ++bits) {
    const pl::StageKind kind = kind_from(bits);
    const auto is = [&](pl::Producer producer, bool expected) {
      wrong += pl::admits(producer, kind) != expected ? 1 : 0;
    };
    is(pl::Producer::none, bits == 31);
    is(pl::Producer::norm_gain, kind.scale);
    is(pl::Producer::layer_norm, (bits & 3u) != 0);
    is(pl::Producer::gain_free_norm, kind.orthogonal);
    is(pl::Producer::attention_values, kind.within_heads);
    is(pl::Producer::gated_product, (bits & 6u) != 0);
    is(pl::Producer::linear, true);
  }
  CHECK(wrong == 0);
}

/// The identity that claims to be of some kinds.
template <unsigned Bits>
struct Kind {
  static constexpr pl::StageKind kind = kind_from(Bits);
  [[nodiscard]] index size() const { return 1; }
  [[nodiscard]] index scratch_size(index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T>, pl::MatrixView<T>, std::span<T>) const {}
  [[nodiscard]] Kind dual() const { return *this; }
};

template <unsigned A, unsigned B>
constexpr bool composes = pl::stage_kind<pl::Kronecker<Kind<A>, Kind<B>>> == kind_from(A& B & 14u) &&
                          pl::stage_kind<pl::Transform<Kind<A>, Kind<B>>> == kind_from(A& B) &&
                          pl::stage_kind<pl::BlockDiagonal<Kind<A>>> == kind_from(A | 16u);

TEST_CASE("a composition is of the kinds that all of its stages are of") {
  CHECK((composes<0, 0> && composes<31, 31>));
  CHECK((composes<2, 31> && composes<31, 2> && composes<2, 0> && composes<0, 2> && composes<2, 2>));
  CHECK((composes<4, 31> && composes<31, 4> && composes<4, 0> && composes<0, 4> && composes<4, 4>));
  CHECK((composes<8, 31> && composes<31, 8> && composes<8, 0> && composes<0, 8> && composes<8, 8>));
  CHECK((composes<1, 31> && composes<31, 1> && composes<16, 31> && composes<31, 16>));
}

TEST_CASE("rows go through a left factor together where columns leave vectors partly empty") {
  namespace reference = pl::kernels::reference;
  for (index n2 = 1; n2 <= 300; ++n2) {
    const bool alone = n2 % 16 == 0 || n2 > 128;
    REQUIRE(reference::kronecker_joint_rows(n2) == (alone ? 1 : 4));
    REQUIRE(reference::kronecker_has_panels(n2) == (n2 >= 16 && n2 <= 256));
  }
  const auto scratch = [](index n1, index n2) { return reference::kronecker_scratch_size(n1, n2); };
  CHECK(scratch(3, 5) == 2 * 4 * 3 * 5);            // four rows and their results
  CHECK(scratch(3, 300) == 3 * 300);                // one row, no panels
  CHECK(scratch(24, 24) == 2 * 4 * 24 * 24);        // four rows take more than the panels
  CHECK(scratch(2, 24) == (2 * 2 + 24) * 48 + 16);  // two rows abreast, right factor in lines of 48
  CHECK(scratch(2, 17) == (2 * 2 + 17) * 48 + 16);  // 34 filled up to lines
  CHECK(scratch(2, 32) == (2 + 32) * 32 + 16);      // whole vectors
  CHECK(scratch(2, 256) == (2 + 256) * 256 + 16);
  CHECK(scratch(2, 257) == 2 * 257);
  CHECK(scratch(1, 16) == (1 + 16) * 16 + 16);
  CHECK(scratch(1, 15) == 2 * 4 * 15);
}

TEST_CASE("scratch of products of bfloat16 holds tiles of rows, pairs and results, or one row between factors") {
  namespace reference = pl::kernels::reference;
  for (const index n1 : {1, 16, 24, 33, 64, 200})
    for (const index n2 : {1, 16, 24, 33, 64, 200}) {
      const auto up = [](index value, index step) { return (value + step - 1) / step * step; };
      const pl::PairTiles tiles{n1, n2};
      const index height = 16, stride = tiles.stride(), most = std::max<index>(n1, 16);
      const index rows = height * (up(n2, 32) / 2 + stride), pairs = up(n1, 32) / 2 * stride;
      const index results = up(most, 16) * stride + 16;
      CAPTURE(n1);
      CAPTURE(n2);
      CHECK(reference::kronecker_bfloat16_scratch_size(n1, n2) ==
            std::max(2 * (rows + pairs) + 3 * results, 2 * n1 * stride) + 16);
    }
  const auto stage = pl::round_to_bfloat16(pl::Kronecker(pl::Dense::random(3, 1), pl::Dense::random(5, 2)));
  REQUIRE(stage.has_value());
  CHECK(stage->scratch_size(0) == 0);
  CHECK(stage->scratch_size(1) >= reference::kronecker_bfloat16_scratch_size(3, 5));
  CHECK(stage->scratch_size(1) >= reference::kronecker_scratch_size(3, 5));
}

TEST_CASE("the parts of a norm fold within themselves, and give the root of their mean") {
  for (const guarded::Edge edge : guarded::edges) {
    const guarded::Buffer<double> parts(pl::kernels::norm_parts, edge);
    double sum = 0.0;
    for (index p = 0; p < pl::kernels::norm_parts; ++p) sum += parts.data()[p] = static_cast<double>(p * p + 1);
    const float expected = static_cast<float>(1.0 / std::sqrt(sum / 8.0 + 0.5));
    CHECK(pl::kernels::inverse_norm(parts.data(), 8, 0.5f) == expected);
  }
}

}  // namespace
}  // namespace compositions
