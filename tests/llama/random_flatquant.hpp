#pragma once
// Random parameters of FlatQuant for random models.
#include <planish/transform/dense.hpp>

#include "llama/flatquant_build.hpp"
#include "random_model.hpp"

namespace llama::test {

using planish::calibration::BlockMatrix;
using planish::calibration::BlockSite;
using planish::calibration::FlatQuantTransform;
using planish::calibration::MatrixPair;

inline MatrixPair random_pair(index n, std::uint64_t seed) {
  const planish::Dense stage = planish::Dense::random(n, seed);
  const auto count = static_cast<std::size_t>(n * n);
  return {{stage.matrix<float>(), stage.matrix<float>() + count},
          {stage.inverse_transpose<float>(), stage.inverse_transpose<float>() + count}};
}

/// Neither orthogonal nor symmetric factors, and clips that are all different; `centred`: every site has a shift.
inline FlatQuantParameters random_parameters(const Config& config, std::uint64_t seed, bool centred = false) {
  planish::Random random(seed);
  const auto factor = [&] { return static_cast<float>(0.5 + 0.5 * random.uniform()); };
  const auto sizes = flatquant_sizes(config);
  FlatQuantParameters made;
  for (SiteKind kind : site_kinds) {
    const index channels = channels_at(kind, config);
    FlatQuantTransform& transform = made.transform(block_site(kind));
    const index left = kind == SiteKind::output ? config.heads : planish::kronecker_factors(channels).left;
    transform.left = random_pair(left, seed = seed * 31 + 1);
    transform.right = random_pair(channels / left, seed = seed * 31 + 1);
    for (index c = 0; centred && c < channels; ++c) transform.shift.push_back(0.2f * (factor() - 0.7f));
    if (kind == SiteKind::output) continue;
    for (index c = 0; c < channels; ++c) transform.scale.push_back(2.0f * factor());
  }
  made.key_head = random_pair(config.head_size, seed * 31 + 2);
  for (Projection p : projections) {
    auto& clips = made.clips_of(block_matrix(p));
    for (index r = 0; r < sizes.rows(block_matrix(p)); ++r) clips.weight_rows.push_back({factor(), factor()});
    clips.activation = {factor(), factor()};
  }
  made.key_cache = {0.9f, 0.95f};
  made.value_cache = {0.97f, 0.92f};
  return made;
}

inline BuildOptions options_for(std::string_view recipe, const Config& config, bool centred = false) {
  return {.recipe = require(parse_recipe(recipe)), .learned = [config, centred](index layer) {
            return random_parameters(config, 40 + static_cast<std::uint64_t>(layer), centred);
          }};
}

inline BlockParameters first_layer(const WeightSource& source, const BuildOptions& options) {
  return build_layer(source, 0, options, {}, {});
}

}  // namespace llama::test
