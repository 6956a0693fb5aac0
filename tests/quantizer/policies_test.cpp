#include <cmath>
#include <limits>
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
  CHECK(policies::OutlierSuppressionSymmetric::codes(4).highest == 7);
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

TEST_CASE("scales and zero points of every policy, worked by hand") {
  const auto check = [](const char* name, pl::Affine made, float scale, int zero_point) {
    CAPTURE(name);
    CHECK(made.scale == scale);
    CHECK(made.zero_point == zero_point);
  };
  const auto check_all = [&](pl::ValueRange range, pl::ClipPair clip, int bits, float reach, float width, int zero) {
    const auto levels = static_cast<float>((1 << bits) - 1);
    const int half = (1 << (bits - 1)) - 1;
    const float symmetric = reach / static_cast<float>(half);
    check("SmoothQuant", policies::SmoothQuantSymmetric::affine(range, clip, bits), symmetric, 0);
    check("QuaRot", policies::QuaRotSymmetric::affine(range, clip, bits), symmetric, 0);
    check("Outlier Suppression+", policies::OutlierSuppressionSymmetric::affine(range, clip, bits), symmetric, 0);
    check("OmniQuant", policies::OmniQuantSymmetric::affine(range, clip, bits), symmetric, half);
    check("GPTQ", policies::GptqSymmetric::affine(range, clip, bits), 2 * reach / levels, half + 1);
    check("QuaRot, asymmetric", policies::QuaRotAsymmetric::affine(range, clip, bits), width / levels, zero);
    check("OmniQuant, asymmetric", policies::OmniQuantAsymmetric::affine(range, clip, bits), width / levels, zero);
    check("AWQ", policies::AwqAsymmetric::affine(range, clip, bits), width / levels, zero);
    check("Outlier Suppression+, asymmetric", policies::OutlierSuppressionAsymmetric::affine(range, clip, bits),
          width / levels, zero);
  };
  check_all({-3, 12}, {}, 4, 12, 15, 3);
  check_all({-3, 12}, {}, 8, 12, 15, 51);
  check_all({-14, 7}, {}, 3, 14, 21, 5);  // 4.67 steps below 0
  check_all({-4, 16}, {.positive = 0.25f, .negative = 0.5f}, 4, 4, 6, 5);
  check_all({-16, 4}, {.positive = 0.5f, .negative = 0.25f}, 4, 4, 6, 10);

  check("OmniQuant's bound", policies::OmniQuantSymmetric::affine({-3e5f, 6e5f}, {}, 4), 1e4f, 7);
  check("OmniQuant's bound", policies::OmniQuantAsymmetric::affine({-3e5f, 6e5f}, {}, 4), 1e4f, 30);
  check("AWQ's zero point is a code", policies::AwqAsymmetric::affine({-6, -3}, {}, 4), 0.2f, 15);
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

TEST_CASE("a range beyond float has no scale under a policy that does not bound it") {
  const float most = std::numeric_limits<float>::max();
  const pl::ValueRange range{-most, most};
  const pl::ClipPair clip{16.0f, 16.0f};
  const auto refuses = [&](auto policy) {
    const pl::Affine made = policy.affine(range, clip, 4);
    return std::isnan(made.scale) && made.zero_point == 0;
  };
  CHECK(refuses(policies::SmoothQuantSymmetric{}));
  CHECK(refuses(policies::QuaRotSymmetric{}));
  CHECK(refuses(policies::QuaRotAsymmetric{}));
  CHECK(refuses(policies::GptqSymmetric{}));
  CHECK(refuses(policies::AwqAsymmetric{}));
  CHECK(refuses(policies::OutlierSuppressionSymmetric{}));
  CHECK(refuses(policies::OutlierSuppressionAsymmetric{}));
  CHECK(policies::OmniQuantSymmetric::affine(range, clip, 4).scale == 1e4f);
  CHECK(policies::OmniQuantAsymmetric::affine(range, clip, 4).scale == 1e4f);
}
