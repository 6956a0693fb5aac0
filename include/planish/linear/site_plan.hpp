#pragma once
// What a site does with its input: which quantizers its consumers have, and which of them share one quantized input.
#include <array>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/result.hpp>
#include <planish/linear/quantized_input.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI {

/// Consumers of one site that may have quantizers of their own. A quantizer that all share serves any number.
inline constexpr int most_site_quantizers = 8;

namespace detail {

/// Ok if a site can quantize that way: bits 2 to 8, or 16 for activations that stay float.
PLANISH_LAZY [[nodiscard]] Status check_site_quantizer(const RowQuantizer& q) noexcept {
  if (q.bits == 16) return {};
  if (!is_code_width(q.bits))
    return Status(ErrorCode::invalid_argument, "activations of ", q.bits, " bits; 2 to 8, or 16 for float");
  if (!is_valid_clip(q.clip))
    return Status(ErrorCode::invalid_argument, "clip factors of activations are from 2^-20 to 16");
  if (q.is_static() && !(is_finite(q.static_scale) && q.static_scale >= least_scale))
    return Status(ErrorCode::invalid_argument, "a static scale is a normal positive number");
  if (q.is_static() && q.symmetry == Symmetry::asymmetric &&
      (q.static_zero_point < 0 || q.static_zero_point >= (1 << q.bits)))
    return Status(ErrorCode::invalid_argument, "the static zero point ", q.static_zero_point, " is not a ", q.bits,
                  "-bit code");
  return {};
}

/// The quantizers of a site's consumers, each distinct one once.
class SitePlan {
 public:
  /// One quantizer per consumer. Errors: none or too many of them, and what check_site_quantizer refuses.
  PLANISH_LAZY [[nodiscard]] static Result<SitePlan> make(std::span<const RowQuantizer> quantizers,
                                                          SiteMode mode) noexcept {
    if (const Status status = check_count(quantizers.size()); !status) return status;
    SitePlan plan(mode);
    for (std::size_t i = 0; i < quantizers.size(); ++i) {
      if (const Status status = check_site_quantizer(quantizers[i]); !status) return status;
      plan.add(quantizers[i]);
    }
    return plan;
  }

  PLANISH_LAZY [[nodiscard]] static Status check_count(std::size_t quantizers) noexcept {
    if (quantizers >= 1 && quantizers <= std::size_t{most_site_quantizers}) return {};
    return Status(ErrorCode::invalid_argument, "a site has 1 to ", most_site_quantizers, " quantizers, not ",
                  quantizers);
  }

  [[nodiscard]] SiteMode mode() const noexcept { return mode_; }

  /// Consumers that were named; one quantizer serves any number.
  [[nodiscard]] int consumers() const noexcept { return consumers_; }

  /// Quantized inputs that the site makes: one per distinct quantizer.
  [[nodiscard]] int inputs() const noexcept { return inputs_; }
  [[nodiscard]] const RowQuantizer& quantizer(int input) const noexcept { return distinct_[at(input)]; }
  [[nodiscard]] int input_of(std::size_t consumer) const noexcept { return inputs_ == 1 ? 0 : input_of_[consumer]; }

  /// True if the site can serve so many consumers.
  [[nodiscard]] bool serves(std::size_t consumers) const noexcept {
    return consumers >= 1 && (inputs_ == 1 || consumers == at(consumers_));
  }

  [[nodiscard]] bool quantizes(int input) const noexcept { return quantizer(input).bits != 16; }
  [[nodiscard]] bool asymmetric(int input) const noexcept { return quantizer(input).symmetry == Symmetry::asymmetric; }
  /// True if consumers of this input read floats.
  [[nodiscard]] bool has_values(int input) const noexcept { return !quantizes(input) || mode_ == SiteMode::fake; }

  /// The input that stays float, or −1.
  [[nodiscard]] int float_input() const noexcept {
    for (int i = 0; i < inputs_; ++i)
      if (!quantizes(i)) return i;
    return -1;
  }

 private:
  explicit SitePlan(SiteMode mode) noexcept : mode_(mode) {}

  [[nodiscard]] static std::size_t at(int i) noexcept { return static_cast<std::size_t>(i); }

  void add(RowQuantizer q) noexcept {
    if (q.bits == 16) q = RowQuantizer{.bits = 16};  // nothing else of it is read
    int input = 0;
    while (input < inputs_ && !(distinct_[at(input)] == q)) ++input;
    if (input == inputs_) distinct_[at(inputs_++)] = q;
    input_of_[at(consumers_++)] = static_cast<std::uint8_t>(input);
  }

  std::array<RowQuantizer, most_site_quantizers> distinct_{};
  std::array<std::uint8_t, most_site_quantizers> input_of_{};  // by consumer
  int inputs_ = 0, consumers_ = 0;
  SiteMode mode_;
};

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
