#include "export_parameters.hpp"

#include <utility>

#include <planish/calibration/methods/flatquant/read_out.hpp>

namespace llama {
namespace {

using planish::calibration::clips_of;
using planish::calibration::MatrixPair;
using planish::calibration::pair_of;
using planish::calibration::values_of;

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
    transform.shift = site.shift();
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
      if (const auto& clip = block.linear_at(p).clip()) clips.weight_rows = clips_of(*clip);
      if (!site.clips().empty())
        clips.activation = clips_of(site.clips()[site.clips().size() == 1 ? 0 : consumer]).front();
      ++consumer;
    }
  }
  for (Projection p : projections)
    if (block.linear_at(p).learns_weights()) {
      const auto w = block.matrix_at(p);
      made.weights_of(block_matrix(p)) = {w.rows(), w.columns(), values_of(w)};
    }
  made.key_head = pair_of(block.key_factor());
  complete(made.key_head, config.head_size);
  if (block.key_clip()) made.key_cache = clips_of(*block.key_clip()).front();
  if (block.value_clip()) made.value_cache = clips_of(*block.value_clip()).front();
  return in_rotate_half_order(std::move(made), config);
}

}  // namespace llama
