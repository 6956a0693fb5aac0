#include "export_parameters.hpp"

#include <utility>

namespace llama {
namespace {

using planish::ClipPair;
using planish::calibration::ClipVariables;
using planish::calibration::FactorVariables;
using planish::calibration::MatrixPair;

std::vector<float> values_of(tape::Variable<float> x) {
  const auto v = x.value();
  return {v.data(), v.data() + v.size()};
}

MatrixPair pair_of(const std::optional<FactorVariables<float>>& factor) {
  return factor ? MatrixPair{values_of(factor->matrix), values_of(factor->inverse_transpose)} : MatrixPair{};
}

std::vector<ClipPair> pairs_of(const std::optional<ClipVariables<float>>& clip) {
  std::vector<ClipPair> pairs;
  if (clip)
    for (index r = 0; r < clip->positive.rows(); ++r)
      pairs.push_back({clip->positive.value()(r, 0), clip->negative.value()(r, 0)});
  return pairs;
}

/// A factor that stands beside another one must be there: the identity.
void complete(MatrixPair& pair, index size) {
  if (!pair.empty()) return;
  pair.matrix.assign(static_cast<std::size_t>(size * size), 0.0f);
  for (index i = 0; i < size; ++i) pair.matrix[static_cast<std::size_t>(i * size + i)] = 1.0f;
  pair.inverse_transpose = pair.matrix;
}

}  // namespace

FlatQuantParameters export_parameters(const Config& config, const LearnedBlock<float>& block) {
  FlatQuantParameters made;
  for (SiteKind kind : site_kinds) {
    const auto& site = block.site_at(kind);
    auto& transform = made.transform(block_site(kind));
    if (site.scale()) transform.scale = values_of(*site.scale());
    transform.left = pair_of(site.left());
    transform.right = pair_of(site.right());
    if (site.left().has_value() != site.right().has_value()) {
      complete(transform.left, channels_at(kind, config) / site.description().right);
      complete(transform.right, site.description().right);
    }
    std::size_t consumer = 0;
    for (Projection p : projections) {
      if (site_of(p) != kind) continue;
      auto& clips = made.clips_of(block_matrix(p));
      clips.weight_rows = pairs_of(block.linear_at(p).clip());
      if (!site.clips().empty())
        clips.activation = pairs_of(site.clips()[site.clips().size() == 1 ? 0 : consumer]).front();
      ++consumer;
    }
  }
  made.key_head = pair_of(block.key_factor());
  complete(made.key_head, config.head_size);
  if (block.key_clip()) made.key_cache = pairs_of(block.key_clip()).front();
  if (block.value_clip()) made.value_cache = pairs_of(block.value_clip()).front();
  return in_rotate_half_order(std::move(made), config);
}

}  // namespace llama
