#pragma once
#include <bit>
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>
#include <planish/transform/hadamard_orders/constructions.hpp>

namespace planish::inline PLANISH_ABI {

/// n = product of base orders · 2^doublings.
struct HadamardFactors {
  Array<index> bases;  // falling
  int doublings = 0;
};

namespace detail {

/// Chooses base orders for a multiset of odd primes: the least number of operations per element among all ways to group
/// the primes that spend no more twos than there are.
class HadamardSearch {
 public:
  PLANISH_LAZY HadamardSearch(Array<index> primes, int twos) : primes_(std::move(primes)), twos_(twos) {
    used_.resize(primes_.size(), 0);
    group_rest(twos_, 0);
  }
  [[nodiscard]] bool found() const noexcept { return best_cost_ >= 0; }
  [[nodiscard]] const Array<index>& bases() const noexcept { return best_; }

 private:
  /// Opens a new group with the first prime that is left.
  PLANISH_LAZY void group_rest(int twos, index cost) {
    if (best_cost_ >= 0 && cost + twos >= best_cost_) return;
    std::size_t first = 0;
    while (first < primes_.size() && used_[first] != 0) ++first;
    if (first == primes_.size()) {
      best_cost_ = cost + twos;
      best_ = chosen_;
      return;
    }
    used_[first] = 1;
    grow_group(first, primes_[first], twos, cost);
    used_[first] = 0;
  }

  /// Closes the group with its smallest order, or takes one more prime into it.
  PLANISH_LAZY void grow_group(std::size_t last, index product, int twos, index cost) {
    for (int spent = 2; spent <= twos && (product << spent) <= most_hadamard_base; ++spent)
      if (const index order = product << spent; has_hadamard_base(order)) {
        chosen_.push_back(order);
        group_rest(twos - spent, cost + order);
        chosen_.pop_back();
        break;
      }
    for (std::size_t i = last + 1; i < primes_.size(); ++i) {
      if (used_[i] != 0 || (i > last + 1 && primes_[i] == primes_[i - 1] && used_[i - 1] == 0)) continue;
      if (product > most_hadamard_base / 4 / primes_[i]) break;
      used_[i] = 1;
      grow_group(i, product * primes_[i], twos, cost);
      used_[i] = 0;
    }
  }

  Array<index> primes_;  // odd, rising, with multiplicity
  int twos_;
  Array<std::uint8_t> used_;  // whether a group has it
  Array<index> chosen_, best_;
  index best_cost_ = -1;
};

/// Largest divisor of n for which hadamard_factors finds a plan.
PLANISH_LAZY [[nodiscard]] index largest_hadamard_divisor(index n);

}  // namespace detail

/// Factors n: every odd prime gets the smallest order that is known for it (or for its product with others, where twos
/// are scarce), the twos that are left become butterflies. Fails with `unsupported` and names the alternatives.
PLANISH_LAZY [[nodiscard]] Result<HadamardFactors> hadamard_factors(index n) {
  if (n < 1) return Status(ErrorCode::invalid_argument, "hadamard: size ", n);
  const int twos = std::countr_zero(static_cast<std::size_t>(n));
  Array<index> primes;
  index odd = n >> twos;
  for (index p = 3; odd > 1; p += 2) {
    if (p > odd / p) p = odd;
    for (; odd % p == 0; odd /= p) primes.push_back(p);
  }
  const detail::HadamardSearch search(primes, twos);
  if (!search.found()) {
    const index block = detail::largest_hadamard_divisor(n);
    if (block == 1)
      return Status(ErrorCode::unsupported, "hadamard: no matrix of order ", n, " is known here; use Rotation::random(",
                    n, ", seed), a random orthogonal matrix");
    return Status(ErrorCode::unsupported, "hadamard: no matrix of order ", n,
                  " is known here; use Kronecker of Identity(", n / block, ") and Hadamard::make(", block,
                  "), or Rotation::random(", n, ", seed), a random orthogonal matrix");
  }
  HadamardFactors factors{search.bases(), twos};
  for (index base : factors.bases) factors.doublings -= std::countr_zero(static_cast<std::size_t>(base));
  for (std::size_t i = 1; i < factors.bases.size(); ++i)
    for (std::size_t j = i; j > 0 && factors.bases[j] > factors.bases[j - 1]; --j)
      std::swap(factors.bases[j], factors.bases[j - 1]);
  return factors;
}

namespace detail {

template <int>
[[nodiscard]] index largest_hadamard_divisor(index n) {
  const int twos = std::countr_zero(static_cast<std::size_t>(n));
  index best = index{1} << twos;
  for (index order = 4; order <= most_hadamard_base && order <= n; order += 4)
    if (n % order == 0 && has_hadamard_base(order)) {
      const index block = order << (twos - std::countr_zero(static_cast<std::size_t>(order)));
      if (block > best) best = block;
    }
  return best;
}

}  // namespace detail

/// Owner of what hadamard_rows reads: the base matrices as sign bits, generated once. A template so that its copies too
/// cost those who make them.
template <int = 0>
class HadamardPlanOwner {
 public:
  [[nodiscard]] static Result<HadamardPlanOwner> make(index size) {
    auto factors = hadamard_factors(size);
    if (!factors) return factors.status();
    HadamardPlanOwner plan;
    plan.size_ = size;
    plan.doublings_ = factors->doublings;
    index bytes = 0;
    for (const index order : factors->bases) bytes += bytes_of(order);
    plan.signs_.resize(static_cast<std::size_t>(bytes), 0);
    std::uint8_t* signs = plan.signs_.data();
    for (const index order : factors->bases) {
      auto h = hadamard_base(order);
      if (!h) return h.status();
      for (index k = 0; k < order; ++k)
        for (index j = 0; j < order; ++j)
          if ((*h)(k, j) < 0) signs[(j * order + k) / 4] |= static_cast<std::uint8_t>(1u << (k % 4));
      plan.bases_.push_back({order, signs});
      signs += bytes_of(order);
    }
    return plan;
  }

  HadamardPlanOwner(HadamardPlanOwner&&) noexcept = default;
  HadamardPlanOwner& operator=(HadamardPlanOwner&&) noexcept = default;
  HadamardPlanOwner(const HadamardPlanOwner& other)
      : size_(other.size_), doublings_(other.doublings_), signs_(other.signs_), bases_(other.bases_) {
    const std::uint8_t* signs = signs_.data();
    for (kernels::HadamardBaseView& base : bases_) {
      base.signs = signs;
      signs += bytes_of(base.order);
    }
  }
  HadamardPlanOwner& operator=(const HadamardPlanOwner& other) { return *this = HadamardPlanOwner(other); }
  ~HadamardPlanOwner() = default;

  [[nodiscard]] kernels::HadamardPlanView view() const noexcept {
    return {size_, doublings_, static_cast<index>(bases_.size()), bases_.data()};
  }

 private:
  HadamardPlanOwner() = default;

  /// A base is a multiple of 4 rows; a byte holds the signs of four.
  [[nodiscard]] static constexpr index bytes_of(index order) noexcept { return order * order / 4; }

  index size_ = 1;
  int doublings_ = 0;
  Array<std::uint8_t> signs_;               // base by base
  Array<kernels::HadamardBaseView> bases_;  // into signs_
};
using HadamardPlan = HadamardPlanOwner<>;

}  // namespace planish::inline PLANISH_ABI
