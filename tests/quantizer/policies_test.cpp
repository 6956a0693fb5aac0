#include <vector>

#include <doctest/doctest.h>

#include <planish/quantizer/policies.hpp>
#include <planish/quantizer/quantizer.hpp>

#include "laws/quantizer_laws.hpp"

namespace pl = planish;
namespace policies = planish::policies;

namespace {

template <class Policy>
void check_laws() {
  for (pl::index columns : {1, 7, 64, 576}) {
    const auto seed = static_cast<std::uint64_t>(columns);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerChannel, Policy>{}, 6, columns, seed, /*packs=*/false);
    laws::quantizer_laws(pl::Quantizer<8, pl::PerGroup<32>, Policy>{}, 6, columns, seed, /*packs=*/false);
  }
}

}  // namespace

TEST_CASE("the published policies keep the laws") {
  check_laws<policies::SmoothQuantSymmetric>();
  check_laws<policies::QuaRotSymmetric>();
  check_laws<policies::QuaRotAsymmetric>();
  check_laws<policies::GptqSymmetric>();
  check_laws<policies::OmniQuantAsymmetric>();
  check_laws<policies::OmniQuantSymmetric>();
  check_laws<policies::AwqAsymmetric>();
  check_laws<policies::OutlierSuppressionSymmetric>();
  check_laws<policies::OutlierSuppressionAsymmetric>();
}

TEST_CASE("the published policies differ where their papers do") {
  const pl::ValueRange range{-2.0f, 6.0f};
  CHECK(policies::SmoothQuantSymmetric::affine(range, {}, 4).scale == 6.0f / 7.0f);
  CHECK(policies::GptqSymmetric::affine(range, {}, 4).scale == 12.0f / 15.0f);
  CHECK(policies::GptqSymmetric::affine(range, {}, 4).zero_point == 8);
  CHECK(policies::OmniQuantSymmetric::affine(range, {}, 4).zero_point == 7);
  CHECK(policies::OmniQuantSymmetric::affine(range, {}, 4).scale == 6.0f / 7.0f);
  CHECK(policies::OutlierSuppressionSymmetric::codes(4).lowest == -7);
  CHECK(policies::QuaRotAsymmetric::affine(range, {}, 4).zero_point == 4);  // rint(3.75)

  const pl::ValueRange above{3.0f, 6.0f};  // 0 is outside
  CHECK(policies::QuaRotAsymmetric::affine(above, {}, 4).scale == 6.0f / 15.0f);
  CHECK(policies::OutlierSuppressionAsymmetric::affine(above, {}, 4).scale == 6.0f / 15.0f);
  CHECK(policies::OmniQuantAsymmetric::affine(above, {}, 4).scale == 3.0f / 15.0f);
  CHECK(policies::OmniQuantAsymmetric::affine(above, {}, 4).zero_point == -15);
  CHECK(policies::AwqAsymmetric::affine(above, {}, 4).zero_point == 0);
  // Steps of 2: 0 lies five above the lowest.
  CHECK(policies::AwqAsymmetric::affine({-10, 20}, {}, 4).zero_point == 5);
  CHECK(policies::OmniQuantAsymmetric::affine({-10, 20}, {}, 4).zero_point == 5);
  CHECK(policies::QuaRotAsymmetric::affine({-10, 20}, {}, 4).zero_point == 5);
}

TEST_CASE("an all-zero tile is what each paper makes of it") {
  const pl::ValueRange zero{};
  CHECK(policies::SmoothQuantSymmetric::affine(zero, {}, 4).scale == 1e-5f / 7.0f);
  CHECK(policies::QuaRotAsymmetric::affine(zero, {}, 4).scale == 2.0f / 15.0f);
  CHECK(policies::GptqSymmetric::affine(zero, {}, 4).scale == 2.0f / 15.0f);
  CHECK(policies::OmniQuantAsymmetric::affine(zero, {}, 4).scale == 1e-5f);
  CHECK(policies::AwqAsymmetric::affine(zero, {}, 4).scale == 1e-5f / 15.0f);
  CHECK(policies::OutlierSuppressionSymmetric::affine(zero, {}, 4).scale == 0x1p-23f);
  CHECK(pl::Symmetric::affine(zero, {}, 4).scale == 1.0f);
}

TEST_CASE("codes whose zero point is no code do not become canonical codes") {
  const float row[] = {3.0f, 4.0f, 6.0f};
  const auto made = pl::Quantizer<4, pl::PerChannel, policies::OmniQuantAsymmetric>{}.try_quantize({row, 1, 3});
  REQUIRE(made);
  CHECK(made->value(0, 2) == doctest::Approx(6.0));
  const auto codes = made->to_codes();
  CHECK(codes.status().code() == pl::ErrorCode::unsupported);
  CHECK(codes.status().message() ==
        "the zero point -15 of row 0 is not a 4-bit code; use a policy that keeps 0 in the range");
  CHECK(pl::Quantizer<4, pl::PerChannel, policies::AwqAsymmetric>{}.try_quantize({row, 1, 3})->to_codes().has_value());
}
