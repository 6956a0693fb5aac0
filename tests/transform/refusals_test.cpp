// What stages and folding refuse, and small things about them that nothing else asks for.
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/dense.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

namespace pl = planish;
using pl::ErrorCode;

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity();

/// The code of a Result that failed, and its sentence, which names the stage.
template <class S>
void check_refused(const pl::Result<S>& result, ErrorCode code, const char* stage) {
  CHECK(result.status().code() == code);
  CHECK(std::string(result.status().message()).starts_with(stage));
}

}  // namespace

TEST_CASE("matrices of wrong sizes, with NaN or infinity, and without a float32 inverse") {
  const std::vector<float> identity{1, 0, 0, 1}, spoiled{1, 0, 0, infinite}, three{1, 0, 0}, tiny{1e-39f, 0, 0, 1e-39f};
  check_refused(pl::Rotation::make(three, 2), ErrorCode::shape_mismatch, "rotation: 3 values");
  check_refused(pl::Rotation::make(identity, 0), ErrorCode::shape_mismatch, "rotation: ");
  check_refused(pl::Rotation::make(spoiled, 2), ErrorCode::not_finite, "rotation: ");
  check_refused(pl::Dense::make(identity, three, 2), ErrorCode::shape_mismatch, "dense: 4 and 3 values");
  check_refused(pl::Dense::make(identity, identity, 0), ErrorCode::shape_mismatch, "dense: ");
  check_refused(pl::Dense::make(identity, spoiled, 2), ErrorCode::not_finite, "dense: ");
  check_refused(pl::Dense::make(spoiled, identity, 2), ErrorCode::not_finite, "dense: ");
  check_refused(pl::Dense::make(tiny, 2), ErrorCode::singular, "dense: the inverse of the 2 x 2 matrix overflows");
}

TEST_CASE("base matrices of Hadamard: Sylvester's too, none of orders that no construction makes") {
  for (const pl::index order : {1, 2, 64}) CHECK(pl::hadamard_base(order).status().ok());
  for (const pl::index order : {0, 3, 92 + 1, 8192})
    check_refused(pl::hadamard_base(order), ErrorCode::unsupported, "hadamard: no construction");
}

TEST_CASE("a Hadamard transform that is assigned is the other one") {
  pl::Hadamard assigned = *pl::Hadamard::make(12, 1);
  const pl::Hadamard other = *pl::Hadamard::make(24, 2);
  assigned = other;
  const std::vector<float> x(24, 1.0f);
  std::vector<float> first(24), second(24), scratch(static_cast<std::size_t>(other.scratch_size(1)));
  assigned.apply(pl::MatrixView<const float>(x.data(), 1, 24), pl::MatrixView<float>(first.data(), 1, 24),
                 std::span<float>(scratch));
  other.apply(pl::MatrixView<const float>(x.data(), 1, 24), pl::MatrixView<float>(second.data(), 1, 24),
              std::span<float>(scratch));
  CHECK(first == second);
  const auto permutation = *pl::Permutation::make(std::vector<std::int32_t>{2, 0, 1});
  CHECK(permutation.sources()[0] == 2);
}

TEST_CASE("a composition is made of stages of one size") {
  using Both = pl::Transform<pl::Identity, pl::Identity>;
  CHECK(Both::make(pl::Identity(4), pl::Identity(4))->size() == 4);
  CHECK(Both::make(pl::Identity(4), pl::Identity(5)).status().code() == ErrorCode::shape_mismatch);
}

TEST_CASE("producers: each has a name, and an orthogonal stage passes a norm without gain; one stage alone folds") {
  const char* const names[] = {"none",          "norm_gain", "layer_norm", "gain_free_norm", "attention_values",
                               "gated_product", "linear"};
  for (std::size_t i = 0; i < std::size(names); ++i)
    CHECK(std::string(pl::producer_name(static_cast<pl::Producer>(i))) == names[i]);
  pl::Producer producer = pl::Producer::gain_free_norm;
  CHECK(pl::admits(producer, pl::stage_kind<pl::Hadamard>));
  CHECK_FALSE(pl::admits(producer, pl::stage_kind<pl::Scale>));
  const auto parts = pl::fold<pl::after_gain_free_norm>(*pl::Hadamard::make(8));
  CHECK(parts.absorbed.size() == 8);
  CHECK(std::is_same_v<std::remove_cvref_t<decltype(parts.online)>, pl::Transform<pl::Identity>>);
}

TEST_CASE("values without a bias absorb no offset") {
  const pl::Shift shift({1.0f, 1.0f, 1.0f, 1.0f});
  std::vector<double> w(8, 1.0);
  const pl::Status status = pl::absorb_into_values(shift, 2, pl::MatrixView<double>(w.data(), 4, 2));
  CHECK(std::string(status.message()) == "absorb: a transform with an offset needs values with a bias");
  CHECK(w == std::vector<double>(8, 1.0));
}
