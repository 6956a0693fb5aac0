#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// Small reproducible generator (SplitMix64): the same seed gives the same numbers on every platform, which the
/// distributions of the standard library do not promise.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] constexpr std::uint64_t bits() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1), 53 random bits.
  [[nodiscard]] constexpr double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

  /// Uniform whole number in [0, bound).
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t bound) noexcept { return bits() % bound; }

  /// +1 or −1.
  [[nodiscard]] constexpr float sign() noexcept { return (bits() >> 63) != 0 ? -1.0f : 1.0f; }

  /// Standard normal (Box–Muller).
  [[nodiscard]] double normal() noexcept {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

}  // namespace planish::inline PLANISH_ABI
