#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/quantizer.hpp>
#include <planish/quantizer/weight_scheme.hpp>

#include "laws/quantizer_laws.hpp"

namespace pl = planish;

namespace {

template <class Q>
void check_twin(const Q& quantizer, pl::WeightScheme scheme, pl::index rows, pl::index columns) {
  INFO("bits " << scheme.bits << ", group " << scheme.group_size << ", " << rows << " x " << columns);
  const auto values = laws::sample_matrix(rows, columns, 21);
  const pl::MatrixView<const float> w(values.data(), rows, columns);
  const auto fixed = quantizer.try_quantize(w);
  const auto dynamic = pl::quantize_weights(w, scheme, quantizer.rule);
  REQUIRE((fixed && dynamic));
  pl::index wrong = 0;
  for (pl::index r = 0; r < rows; ++r)
    for (pl::index c = 0; c < columns; ++c)
      wrong += dynamic->view().code(r, c) != fixed->code(r, c) || dynamic->view().value(r, c) != fixed->value(r, c);
  CHECK(wrong == 0);
}

/// Runs tasks in reverse on three alternating workers.
struct Shuffled {
  int workers() const noexcept { return 3; }
  template <class Work>
  void run(int tasks, Work&& work) const noexcept {
    for (int task = tasks - 1; task >= 0; --task) work(task, task % 3);
  }
};

}  // namespace

TEST_CASE("quantize_weights is the run-time twin of Quantizer") {
  using pl::Symmetry;
  for (pl::index columns : {1, 7, 65, 576}) {
    check_twin(pl::Quantizer<4, pl::PerChannel>{}, {.bits = 4}, 5, columns);
    check_twin(pl::Quantizer<3, pl::PerChannel, pl::Asymmetric>{}, {.bits = 3, .symmetry = Symmetry::asymmetric}, 5,
               columns);
    check_twin(pl::Quantizer<4, pl::PerGroup<32>>{}, {.bits = 4, .group_size = 32}, 5, columns);
    check_twin(pl::Quantizer<8, pl::PerGroup<7>, pl::Asymmetric>{},
               {.bits = 8, .symmetry = Symmetry::asymmetric, .group_size = 7}, 5, columns);
    check_twin(pl::Quantizer<4, pl::PerChannel, pl::Symmetric, pl::MseShrink>{}, {.bits = 4}, 5, columns);
  }
}

TEST_CASE("a matrix of more codes than memory can hold is refused before a value is read") {
  const float value = 1.0f;
  const pl::index columns = pl::index{1} << 22, rows = pl::most_elements / columns + 1;
  for (const pl::index stride : {pl::index{0}, columns}) {
    const auto codes = pl::quantize_weights(pl::MatrixView<const float>(&value, rows, columns, stride), {.bits = 4});
    REQUIRE_FALSE(codes.has_value());
    CHECK(codes.status().code() == pl::ErrorCode::out_of_memory);
  }
  const auto none = pl::quantize_weights(pl::MatrixView<const float>(&value, 0, 5), {.bits = 4});
  REQUIRE(none.has_value());
  CHECK((none->view().rows == 0 && none->view().columns == 5));
}

TEST_CASE("doubles are cast to float once, and an executor changes nothing") {
  const auto values = laws::sample_matrix(20, 65, 4);
  const std::vector<double> doubles(values.begin(), values.end());
  const auto a = pl::quantize_weights(pl::MatrixView<const float>(values.data(), 20, 65), {.bits = 4});
  Shuffled executor;
  const auto b = pl::quantize_weights(pl::MatrixView<const double>(doubles.data(), 20, 65), {.bits = 4}, pl::MinMax{},
                                      {}, executor);
  REQUIRE((a && b));
  for (pl::index r = 0; r < 20; ++r)
    for (pl::index c = 0; c < 65; ++c) CHECK(a->view().value(r, c) == b->view().value(r, c));
}

TEST_CASE("a clip pair per row scales that row's range") {
  const float w[] = {7.0f, -3.0f, 7.0f, -3.0f};
  const pl::ClipPair clips[] = {{1.0f, 1.0f}, {0.5f, 1.0f}};
  const auto codes = pl::quantize_weights(pl::MatrixView<const float>(w, 2, 2), {.bits = 4}, pl::MinMax{}, clips);
  REQUIRE(codes);
  CHECK(codes->view().affine(0, 0).scale == 1.0f);
  CHECK(codes->view().affine(1, 0).scale == 0.5f);
}

TEST_CASE("what cannot be quantized is refused") {
  float w[] = {1.0f, 2.0f, 3.0f, 4.0f};
  const pl::MatrixView<const float> view(w, 2, 2);
  CHECK(pl::quantize_weights(view, {.bits = 9}).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(pl::quantize_weights(view, {.bits = 4, .group_size = -1}).status().code() == pl::ErrorCode::invalid_argument);
  const pl::ClipPair one[] = {{}};
  CHECK(pl::quantize_weights(view, {}, pl::MinMax{}, one).status().code() == pl::ErrorCode::shape_mismatch);
  const pl::ClipPair bad[] = {{}, {-1.0f, 1.0f}};
  CHECK(pl::quantize_weights(view, {}, pl::MinMax{}, bad).status().code() == pl::ErrorCode::invalid_argument);
  w[3] = std::numeric_limits<float>::infinity();
  CHECK(pl::quantize_weights(view, {}).status().message() ==
        "cannot quantize NaN or infinity, found in row 1, column 1");
  const double wide[] = {1e300, 0.0};
  CHECK(pl::quantize_weights(pl::MatrixView<const double>(wide, 1, 2), {}).status().code() ==
        pl::ErrorCode::not_finite);
}

TEST_CASE("no rows and no columns are fine") {
  CHECK(pl::quantize_weights(pl::MatrixView<const float>(nullptr, 0, 5), {})->rows() == 0);
  CHECK(pl::quantize_weights(pl::MatrixView<const float>(nullptr, 5, 0), {})->columns() == 0);
}

namespace {

/// Notes how many tasks it is given.
struct Noting {
  int number;
  int* tasks;
  int workers() const noexcept { return number; }
  template <class Work>
  void run(int count, Work&& work) const noexcept {
    *tasks = count;
    for (int task = 0; task < count; ++task) work(task, task % number);
  }
};

}  // namespace

TEST_CASE("weights are quantized in a task per row, at most sixteen per worker") {
  for (const int workers : {1, 2, 3})
    for (const pl::index rows : {2, 15, 16, 17, 32, 33, 47, 48, 49, 100}) {
      const auto values = laws::sample_matrix(rows, 3, 1);
      int tasks = 0;
      const Noting executor{workers, &tasks};
      REQUIRE(pl::quantize_weights(pl::MatrixView<const float>(values.data(), rows, 3), {}, pl::MinMax{}, {}, executor)
                  .has_value());
      CHECK(tasks == static_cast<int>(rows < 16 * workers ? rows : pl::index{16} * workers));
    }
}

TEST_CASE("whichever row is wrong, an executor's workers tell it") {
  int tasks = 0;
  const Noting executor{3, &tasks};
  for (const std::size_t row : {0u, 1u, 2u, 19u}) {
    auto values = laws::sample_matrix(20, 3, 1);
    values[row * 3 + 1] = std::numeric_limits<float>::quiet_NaN();
    const auto codes =
        pl::quantize_weights(pl::MatrixView<const float>(values.data(), 20, 3), {}, pl::MinMax{}, {}, executor);
    CHECK(codes.status().code() == pl::ErrorCode::not_finite);
  }
}
