#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::kernels {

/// A ±1 matrix H with H Hᵀ = order · I, as bits. Bit i of `signs[j * order / 4 + g]` is set where H(4g + i, j) = −1: a
/// byte holds the signs of four neighbouring inputs of output j. The order is a multiple of 4.
struct HadamardBaseView {
  index order = 0;
  const std::uint8_t* signs = nullptr;  // order × order / 4
};

/// n = bases[0].order · bases[1].order · … · 2^doublings; the power of two is the fastest index of a row.
struct HadamardPlanView {
  index size = 1;
  int doublings = 0;
  index base_count = 0;
  const HadamardBaseView* bases = nullptr;
};

/// The widest vector of any backend, in elements: rows in scratch carry as much slack.
inline constexpr index hadamard_slack = 16;

/// Rows that are transformed side by side as one long row: several where a row is too short to fill vectors.
[[nodiscard]] constexpr index hadamard_joint_rows(index n) noexcept {
  constexpr index enough = 512;  // elements
  return n >= enough ? 1 : enough / n;
}

/// Scratch elements of hadamard_rows on every backend: two joint rows with slack for alignment and for the last vector,
/// and the partial sums of one base.
[[nodiscard]] constexpr index hadamard_scratch_size(const HadamardPlanView& plan) noexcept {
  index largest = 0;
  for (index i = 0; i < plan.base_count; ++i)
    if (plan.bases[i].order > largest) largest = plan.bases[i].order;
  return 2 * (plan.size * hadamard_joint_rows(plan.size) + 3 * hadamard_slack) + 4 * largest * hadamard_slack;
}

}  // namespace planish::inline PLANISH_ABI::kernels
