#pragma once
#include <planish/linear/any_linear.hpp>
#include <planish/linear/any_site.hpp>

#include "rows.hpp"
#include "weight_source.hpp"

namespace llama {

/// From the last normalised hidden states to logits. Exact by default: the file's own 8-bit codes, weight-only, where
/// it has them, else floats. With 8 bits, one scale per token of vocabulary and 8-bit activations.
class Head {
 public:
  /// `bits` 16: exact; 2 to 8: quantized. Throws Error.
  Head(const WeightSource& source, int bits);

  [[nodiscard]] index hidden_size() const noexcept { return linear_->columns(); }
  [[nodiscard]] index vocabulary() const noexcept { return linear_->rows(); }
  [[nodiscard]] const planish::AnyLinear& linear() const noexcept { return *linear_; }
  [[nodiscard]] const planish::AnySite& site() const noexcept { return *site_; }

  /// rows × hidden size → rows × vocabulary.
  void logits(MatrixView<const float> hidden, MatrixView<float> out, ScratchBytes& scratch,
              ExecutorReference executor) const;

  [[nodiscard]] std::string describe() const;

 private:
  std::optional<planish::AnySite> site_;
  std::optional<planish::AnyLinear> linear_;
};

}  // namespace llama
