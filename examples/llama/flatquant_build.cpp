#include "flatquant_build.hpp"

#include <algorithm>
#include <cmath>

#include <planish/transform/dense.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

namespace llama {
namespace {

using planish::AnyTransform;
using planish::Dense;
using planish::calibration::BlockMatrix;
using planish::calibration::BlockSite;
using planish::calibration::FlatQuantClips;
using planish::calibration::FlatQuantTransform;
using planish::calibration::MatrixPair;

static_assert(block_site(SiteKind::attention) == BlockSite::attention &&
              block_site(SiteKind::output) == BlockSite::output && block_site(SiteKind::mlp) == BlockSite::mlp &&
              block_site(SiteKind::down) == BlockSite::down);
static_assert(block_matrix(Projection::query) == BlockMatrix::query &&
              block_matrix(Projection::key) == BlockMatrix::key &&
              block_matrix(Projection::value) == BlockMatrix::value &&
              block_matrix(Projection::output) == BlockMatrix::output &&
              block_matrix(Projection::gate) == BlockMatrix::gate && block_matrix(Projection::up) == BlockMatrix::up &&
              block_matrix(Projection::down) == BlockMatrix::down);

/// Channel of a head in rotate_half order that the model keeps as its channel j.
index rotate_half_channel(index j, const Config& config) {
  const auto turned =
      static_cast<index>(config.rotary_frequencies.size());  // pairs; what lies behind them is not moved
  if (config.pairs == RotaryPairs::halves || j >= 2 * turned) return j;
  return j / 2 + j % 2 * turned;
}

/// channels[j] is where channel j of a head comes from.
std::vector<std::size_t> head_order(const Config& config, bool to_model) {
  std::vector<std::size_t> from(static_cast<std::size_t>(config.head_size));
  for (index j = 0; j < config.head_size; ++j) {
    const auto model = static_cast<std::size_t>(j), half = static_cast<std::size_t>(rotate_half_channel(j, config));
    (to_model ? from[model] : from[half]) = to_model ? half : model;
  }
  return from;
}

/// Π A Πᵀ: with x' = x Πᵀ, x' (Π A Πᵀ) = (x A) Πᵀ. The inverse transpose follows the same rule, since Π⁻ᵀ = Π.
void reorder(std::vector<float>& matrix, const std::vector<std::size_t>& from) {
  const std::size_t n = from.size();
  if (matrix.size() != n * n) return;  // empty, or refused where it is used
  const std::vector<float> old = matrix;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) matrix[i * n + j] = old[from[i] * n + from[j]];
}

void reorder(std::vector<planish::ClipPair>& rows, const std::vector<std::size_t>& from) {
  const std::vector<planish::ClipPair> old = rows;
  const std::size_t n = from.size();
  for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = old[r / n * n + from[r % n]];
}

void reorder(planish::calibration::FlatQuantWeights& weights, const std::vector<std::size_t>& from) {
  const std::vector<float> old = weights.values;
  const auto columns = static_cast<std::size_t>(weights.columns);
  const std::size_t n = from.size();
  for (std::size_t r = 0; r < static_cast<std::size_t>(weights.rows); ++r) {
    const std::size_t row = r / n * n + from[r % n];
    std::copy_n(old.data() + row * columns, columns, weights.values.data() + r * columns);
  }
}

FlatQuantParameters reordered(FlatQuantParameters parameters, const std::vector<std::size_t>& from) {
  for (BlockMatrix matrix : {BlockMatrix::query, BlockMatrix::key}) {
    reorder(parameters.clips_of(matrix).weight_rows, from);
    reorder(parameters.weights_of(matrix), from);
  }
  reorder(parameters.key_head.matrix, from);
  reorder(parameters.key_head.inverse_transpose, from);
  return parameters;
}

Dense dense(const MatrixPair& pair, index size, const std::string& where) {
  return require(Dense::make(pair.matrix, pair.inverse_transpose, size), where);
}

index size_of(const MatrixPair& pair) {
  return static_cast<index>(std::llround(std::sqrt(static_cast<double>(pair.matrix.size()))));
}

/// left ⊗ right; an empty factor is the identity of the size that is left.
AnyTransform kronecker(const MatrixPair& left, const MatrixPair& right, index channels, const std::string& where) {
  const index n1 = size_of(left), n2 = size_of(right);
  if (left.empty() && right.empty()) return AnyTransform::identity(channels);
  if (left.empty()) return AnyTransform(planish::Kronecker(planish::Identity(channels / n2), dense(right, n2, where)));
  if (right.empty()) return AnyTransform(planish::Kronecker(dense(left, n1, where), planish::Identity(channels / n1)));
  return AnyTransform(planish::Kronecker(dense(left, n1, where), dense(right, n2, where)));
}

/// (x − z)(L ⊗ R) as x (I ⊗ R), which values carry, − z (I ⊗ R), then (L ⊗ I).
AnyTransform shifted_heads(const FlatQuantTransform& learned, index channels, const std::string& where) {
  AnyTransform made = kronecker({}, learned.right, channels, where);
  std::vector<float> turned(learned.shift.size());
  std::vector<float> scratch(static_cast<std::size_t>(made.scratch_size(1)));
  made.apply({learned.shift.data(), 1, channels}, {turned.data(), 1, channels}, scratch);
  require(made.append(AnyTransform(require(planish::Shift::make(turned), where))), where);
  require(made.append(kronecker(learned.left, {}, channels, where)), where);
  return made;
}

}  // namespace

planish::calibration::FlatQuantSizes flatquant_sizes(const Config& config) {
  return {.hidden = config.hidden_size,
          .ffn = config.ffn_size,
          .heads = config.heads,
          .kv_heads = config.kv_heads,
          .head_size = config.head_size};
}

FlatQuantParameters in_model_order(FlatQuantParameters parameters, const Config& config) {
  return reordered(std::move(parameters), head_order(config, true));
}

FlatQuantParameters in_rotate_half_order(FlatQuantParameters parameters, const Config& config) {
  return reordered(std::move(parameters), head_order(config, false));
}

AnyTransform flatquant_transform(const FlatQuantParameters& parameters, SiteKind site, const Config& config,
                                 const std::string& where) {
  const FlatQuantTransform& learned = parameters.transform(block_site(site));
  const index channels = channels_at(site, config);
  if (site == SiteKind::output && !learned.shift.empty()) return shifted_heads(learned, channels, where);
  AnyTransform made = AnyTransform::identity(channels);
  if (!learned.shift.empty())
    require(made.append(AnyTransform(require(planish::Shift::make(learned.shift), where))), where);
  if (!learned.scale.empty())
    require(made.append(AnyTransform(require(planish::Scale::make(learned.scale), where))), where);
  require(made.append(kronecker(learned.left, learned.right, channels, where)), where);
  return made;
}

AnyTransform flatquant_keys(const FlatQuantParameters& parameters, const Config& config, const std::string& where) {
  if (parameters.key_head.empty()) return AnyTransform::identity(config.head_size);
  return AnyTransform(dense(parameters.key_head, config.head_size, where));
}

}  // namespace llama
