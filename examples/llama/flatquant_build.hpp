#pragma once
#include <string>

#include <planish/calibration/methods/flatquant_file.hpp>
#include <planish/linear/any_transform.hpp>

#include "site.hpp"

namespace llama {

using planish::calibration::FlatQuantParameters;

/// The library's names of sites and matrices; both list them in the order the data meets them.
[[nodiscard]] constexpr planish::calibration::BlockSite block_site(SiteKind site) noexcept {
  return static_cast<planish::calibration::BlockSite>(site);
}
[[nodiscard]] constexpr planish::calibration::BlockMatrix block_matrix(Projection p) noexcept {
  return static_cast<planish::calibration::BlockMatrix>(p);
}

/// What a file of FlatQuant's parameters is checked against.
[[nodiscard]] planish::calibration::FlatQuantSizes flatquant_sizes(const Config& config);

/// FlatQuantParameters are in the order of rotate_half, a model's rows of q and k in that of its own RoPE pairs: these
/// take one to the other. With pairs (i, i + n/2) both leave them as they are.
[[nodiscard]] FlatQuantParameters in_model_order(FlatQuantParameters parameters, const Config& config);
[[nodiscard]] FlatQuantParameters in_rotate_half_order(FlatQuantParameters parameters, const Config& config);

/// The transform of a site: Scale, then Kronecker; what is empty is left out. Throws Error, naming `where`.
[[nodiscard]] planish::AnyTransform flatquant_transform(const FlatQuantParameters& parameters, SiteKind site,
                                                        const Config& config, const std::string& where);

/// What keys of one head meet after RoPE, for parameters in model order; the identity if nothing was learned.
[[nodiscard]] planish::AnyTransform flatquant_keys(const FlatQuantParameters& parameters, const Config& config,
                                                   const std::string& where);

}  // namespace llama
