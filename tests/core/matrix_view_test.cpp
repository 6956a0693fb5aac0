#include <array>
#include <span>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/matrix_view.hpp>

using planish::MatrixView;

static_assert(std::is_trivially_copyable_v<MatrixView<float>>);
static_assert(std::is_convertible_v<MatrixView<float>, MatrixView<const float>>);
static_assert(!std::is_convertible_v<MatrixView<const float>, MatrixView<float>>, "constness is never lost");
static_assert(MatrixView<float>(nullptr, 0, 7).middle_columns(3, 4).columns() == 4, "no address is made of null");

namespace {

// What the Eigen constructor asks for, without Eigen.
struct ColumnMajor {
  static constexpr bool IsRowMajor = false;
  float values[6] = {1, 4, 2, 5, 3, 6};
  float* data() { return values; }
  int rows() const { return 2; }
  int cols() const { return 3; }
  int innerStride() const { return 1; }
  int outerStride() const { return 2; }
};

}  // namespace

TEST_CASE("MatrixView: element (r, c) of every view of one buffer") {
  std::array<float, 24> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  const MatrixView<float> whole(std::span<float>(memory), 4, 6);
  CHECK(whole(2, 3) == 15.0f);
  CHECK(whole.row(3)[5] == 23.0f);
  CHECK(whole.middle_rows(1, 2)(1, 4) == whole(2, 4));
  CHECK(whole.middle_columns(2, 3)(3, 0) == whole(3, 2));
  CHECK(whole.transposed()(5, 1) == whole(1, 5));
  CHECK(whole.has_dense_rows());
  CHECK_FALSE(whole.transposed().has_dense_rows());
  const MatrixView<float> padded(memory.data(), 3, 5, 8);
  CHECK(padded(2, 1) == 17.0f);
  const MatrixView<const float> read_only = whole;
  CHECK(&read_only(1, 1) == &whole(1, 1));
}

TEST_CASE("MatrixView: zero rows and default views are empty") {
  CHECK(MatrixView<float>().empty());
  CHECK(MatrixView<float>(nullptr, 0, 7).empty());
  CHECK(MatrixView<float>(nullptr, 0, 7).columns() == 7);
}

TEST_CASE("MatrixView: a dense matrix of the Eigen kind, column major") {
  ColumnMajor matrix;
  const MatrixView<float> view(matrix);
  CHECK(view.rows() == 2);
  CHECK(view.columns() == 3);
  CHECK(view(0, 2) == 3.0f);
  CHECK(view(1, 0) == 4.0f);
}

TEST_CASE("MatrixView: parts of a view with a stride of its own for columns, and which rows are dense") {
  std::array<float, 60> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  const MatrixView<float> view(memory.data(), 3, 5, 20, 3);
  CHECK(view.size() == 15);
  CHECK(view(2, 4) == 52.0f);
  CHECK(view.middle_columns(2, 3)(1, 1) == view(1, 3));
  CHECK(view.middle_columns(2, 3).columns() == 3);
  CHECK(view.middle_rows(1, 2).middle_columns(1, 1)(1, 0) == view(2, 1));
  CHECK(view.transposed().middle_rows(2, 3)(2, 1) == view(1, 4));
  CHECK(view.row(2) == &view(2, 0));
  CHECK_FALSE(view.has_dense_rows());
  CHECK_FALSE(view.middle_columns(0, 2).has_dense_rows());
  CHECK(view.middle_columns(3, 1).has_dense_rows());
  CHECK(MatrixView<float>(memory.data(), 3, 2, 20).has_dense_rows());
  CHECK(MatrixView<float>(memory.data(), 3, 0).empty());
  CHECK(MatrixView<float>(memory.data(), 0, 3).empty());
  CHECK_FALSE(MatrixView<float>(memory.data(), 1, 1).empty());
}
