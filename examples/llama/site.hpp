#pragma once
#include <planish/core/matrix_view.hpp>

#include "recipe.hpp"
#include "weight_source.hpp"

namespace llama {

/// The site whose activation a matrix reads.
[[nodiscard]] constexpr SiteKind site_of(Projection p) noexcept {
  switch (p) {
    case Projection::query:
    case Projection::key:
    case Projection::value:
      return SiteKind::attention;
    case Projection::output:
      return SiteKind::output;
    case Projection::gate:
    case Projection::up:
      return SiteKind::mlp;
    case Projection::down:
      return SiteKind::down;
  }
  return SiteKind::attention;
}

/// Channels of the activation at a site.
[[nodiscard]] inline index channels_at(SiteKind site, const Config& c) noexcept {
  switch (site) {
    case SiteKind::attention:
    case SiteKind::mlp:
      return c.hidden_size;
    case SiteKind::output:
      return c.query_size();
    case SiteKind::down:
      return c.ffn_size;
  }
  return 0;
}

/// Sees the input of every site as a block runs, before any transform; what calibration and tests hang on.
class SiteObserver {
 public:
  virtual ~SiteObserver() = default;
  virtual void see(SiteKind site, planish::MatrixView<const float> x) = 0;
};

}  // namespace llama
