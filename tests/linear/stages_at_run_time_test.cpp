// Sequences of stages at run time: what they ask for, how they are reordered, which parameters make a stage.
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/linear/any_transform.hpp>
#include <planish/linear/overlap.hpp>

namespace at_run_time {
namespace {

namespace pl = planish;
using pl::index;

pl::AnyTransform scales(index n, float factor) {
  return pl::AnyTransform(pl::Scale(std::vector<float>(static_cast<std::size_t>(n), factor)));
}
pl::AnyTransform shifts(index n, float offset) {
  return pl::AnyTransform(pl::Shift(std::vector<float>(static_cast<std::size_t>(n), offset)));
}

/// The stages of all of them, one behind another.
template <class... Rest>
pl::AnyTransform chain(pl::AnyTransform first, Rest... rest) {
  REQUIRE((first.append(std::move(rest)).ok() && ...));
  return first;
}

/// The identity, which notes of how many rows it was told.
struct Noted {
  index n, own;
  std::vector<index>* applied;
  [[nodiscard]] index size() const { return n; }
  [[nodiscard]] index scratch_size(index rows) const { return rows * own; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    applied->push_back(x.rows());
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < n; ++c) y(r, c) = x(r, c);
  }
  [[nodiscard]] Noted dual() const { return *this; }
};

std::vector<double> applied(const pl::AnyTransform& transform, const std::vector<double>& x) {
  const index n = transform.size(), rows = static_cast<index>(x.size()) / n;
  std::vector<double> y(x.size()), scratch(static_cast<std::size_t>(transform.scratch_size(rows)));
  transform.apply(pl::MatrixView<const double>(x.data(), rows, n), pl::MatrixView<double>(y.data(), rows, n),
                  std::span<double>(scratch));
  return y;
}

TEST_CASE("a sequence of a size of its own takes none of another size, an empty one of no size takes any") {
  pl::AnyTransform seven = pl::AnyTransform::identity(7), none;
  CHECK(seven.append(scales(2, 1.0f)).code() == pl::ErrorCode::shape_mismatch);
  CHECK(seven.size() == 7);
  CHECK(none.append(scales(2, 1.0f)).ok());
  CHECK(none.append(scales(3, 1.0f)).code() == pl::ErrorCode::shape_mismatch);
  CHECK(none.size() == 2);
}

TEST_CASE("scratch of a sequence is that of one tile of eight rows, and eight rows go through all stages at a time") {
  std::vector<index> calls;
  const pl::AnyTransform small(Noted{5, 2, &calls}), large(Noted{5, 3, &calls});
  for (const index rows : {0, 1, 7, 8, 9, 16, 17, 1000}) {
    INFO("rows ", rows);
    const index tile = std::min<index>(rows, 8);
    CHECK(pl::AnyTransform::identity(5).scratch_size(rows) == 0);
    CHECK(small.scratch_size(rows) == tile * 2);
    CHECK(chain(small, large).scratch_size(rows) == tile * 8);
    CHECK(chain(large, small, small).scratch_size(rows) == tile * 8);
    for (const auto& transform : {small, chain(small, scales(5, 1.0f))}) {
      calls.clear();
      static_cast<void>(applied(transform, std::vector<double>(static_cast<std::size_t>(rows * 5))));
      std::vector<index> expected;
      for (index first = 0; first < rows; first += 8) expected.push_back(std::min<index>(8, rows - first));
      CHECK(calls == expected);
    }
  }
}

TEST_CASE("a norm's gain takes the scale from behind any number of shifts, and nothing where none follows") {
  const index n = 6;
  const std::vector<double> x{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
  for (int before = 1; before <= 3; ++before) {
    pl::AnyTransform shifted = pl::AnyTransform::identity(n);
    for (int i = 0; i < before; ++i) shifted = chain(shifted, shifts(n, static_cast<float>(i + 1)));
    const auto kept = shifted.split(pl::Producer::norm_gain);
    CHECK(kept.absorbed.is_identity());
    CHECK(kept.online.stage_count() == before);
    const auto turned = chain(shifted, pl::AnyTransform(pl::Rotation::random(n, 1)), scales(n, 2.0f));
    CHECK(turned.split(pl::Producer::norm_gain).absorbed.is_identity());

    const auto whole = chain(scales(n, 0.5f), shifted, scales(n, 3.0f), pl::AnyTransform(pl::Rotation::random(n, 1)));
    const auto parts = whole.split(pl::Producer::norm_gain);
    REQUIRE(parts.absorbed.stage_count() == 2);
    REQUIRE(parts.online.stage_count() == before + 1);
    CHECK(parts.absorbed.stages()[1].get_if<pl::Scale>()->factors()[0] == 3.0f);
    for (int i = 0; i < before; ++i)
      CHECK(parts.online.stages()[static_cast<std::size_t>(i)].get_if<pl::Shift>()->offsets()[5] ==
            3.0f * static_cast<float>(i + 1));
    const auto expected = applied(whole, x), made = applied(parts.online, applied(parts.absorbed, x));
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(made[i] == doctest::Approx(expected[i]).epsilon(1e-9));
  }
}

TEST_CASE("the part across heads stays in front of the stages behind it") {
  const index n = 12;
  const std::vector<double> x{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
  const pl::AnyTransform both(pl::Kronecker(pl::Dense::random(3, 1), pl::Dense::random(4, 2)));
  const pl::AnyTransform within(pl::Kronecker(pl::Identity(3), pl::Dense::random(4, 3)));
  for (const auto& behind : {pl::AnyTransform::identity(n), scales(n, 2.0f),
                             chain(shifts(n, 1.0f), pl::AnyTransform(pl::Rotation::random(n, 4)), scales(n, 3.0f))})
    for (const auto& before : {pl::AnyTransform::identity(n), within}) {
      const auto whole = chain(before, both, behind);
      const auto parts = whole.split(pl::Producer::attention_values, 4);
      CHECK(parts.absorbed.stage_count() == before.stage_count() + 1);
      CHECK(parts.online.stage_count() == behind.stage_count() + 1);
      const auto expected = applied(whole, x), made = applied(parts.online, applied(parts.absorbed, x));
      for (std::size_t i = 0; i < x.size(); ++i) CHECK(made[i] == doctest::Approx(expected[i]).epsilon(1e-9));
      CHECK(whole.split(pl::Producer::norm_gain, 4).absorbed.is_identity());
    }
}

TEST_CASE("sizes in files are whole numbers from 1 to 2^24, indices from 0 to below 2^24") {
  const auto size = [](std::vector<float> values) {
    const auto count = static_cast<index>(values.size());
    const std::vector<pl::StageParameter> all{{"size", std::move(values), 1, count}};
    const auto made = pl::AnyTransform::from("identity", all);
    return made.has_value() ? std::to_string(made->size()) : std::string(made.status().message());
  };
  const std::string refused = "identity: the parameter 'size' is not a size";
  CHECK(size({1.0f}) == "1");
  CHECK(size({0x1p24f}) == "16777216");
  for (const float value : {0.0f, 0.5f, -1.0f, 1.5f, 0x1p24f + 2.0f, 0x1p100f}) CHECK(size({value}) == refused);
  CHECK(size({}) == refused);
  CHECK(size({3.0f, 3.0f}) == refused);

  const auto sources = [](std::vector<float> values) {
    const auto count = static_cast<index>(values.size());
    const std::vector<pl::StageParameter> all{{"sources", std::move(values), 1, count}};
    const auto made = pl::AnyTransform::from("permutation", all);
    return made.has_value() ? std::string() : std::string(made.status().message());
  };
  CHECK(sources({1.0f, 0.0f}) == "");
  CHECK(sources({0.0f, -1.0f}) == "permutation: entry 1 is not an index");
  CHECK(sources({0x1p24f}) == "permutation: entry 0 is not an index");
  CHECK(sources({0.0f, 0.25f}) == "permutation: entry 1 is not an index");
  CHECK(sources({0.0f, 0x1p24f - 1.0f}) == "permutation: entry 1 is 16777215, outside of 0 .. 1");
}

TEST_CASE("matrices of rows that run down, lie on one another or are one alone may overlap where their memory does") {
  std::vector<float> memory(1000);
  const pl::MatrixView<float> whole(memory.data(), 10, 100);
  CHECK_FALSE(pl::may_overlap(whole.middle_rows(5, 5), whole.middle_rows(0, 5)));
  CHECK(pl::may_overlap(whole.middle_rows(4, 2), whole.middle_rows(0, 5)));
  // Rows 8 to 4, from the last one down.
  const pl::MatrixView<float> down(memory.data() + 800, 5, 50, -100);
  for (const index row : {0, 3, 9}) {
    CHECK_FALSE(pl::may_overlap(down, whole.middle_rows(row, 1)));
    CHECK_FALSE(pl::may_overlap(whole.middle_rows(row, 1), down));
  }
  for (const index row : {4, 6, 8}) {
    CHECK(pl::may_overlap(down, whole.middle_rows(row, 1)));
    CHECK(pl::may_overlap(whole.middle_rows(row, 1), down));
  }
  CHECK_FALSE(pl::may_overlap(down, whole.middle_columns(50, 50)));
  CHECK(pl::may_overlap(down, whole.middle_columns(49, 50)));
  // A row alone is not at the distance of others: what counts is the memory that is spanned.
  const auto left = whole.middle_columns(0, 50), right = whole.middle_columns(50, 50);
  CHECK(pl::may_overlap(left, right.middle_rows(3, 1)));
  CHECK(pl::may_overlap(right.middle_rows(3, 1), left));
  CHECK_FALSE(pl::may_overlap(left, right.middle_rows(9, 1)));
  // Every row the same.
  const pl::MatrixView<const float> same(memory.data() + 10, 4, 20, 0), other(memory.data() + 29, 4, 20, 0),
      apart(memory.data() + 30, 4, 20, 0);
  CHECK(pl::may_overlap(same, other));
  CHECK(pl::may_overlap(other, same));
  CHECK_FALSE(pl::may_overlap(same, apart));
  CHECK_FALSE(pl::may_overlap(apart, same));
  CHECK(pl::may_overlap(same, left));
  CHECK_FALSE(pl::may_overlap(pl::MatrixView<float>(memory.data(), 4, 0), left));
}

}  // namespace
}  // namespace at_run_time
