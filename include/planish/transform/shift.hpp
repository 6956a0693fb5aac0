#pragma once
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/parameter.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// x − z: centres every channel (Outlier Suppression+, arXiv 2304.09145). The weights stay; the bias takes W z.
class Shift {
 public:
  static constexpr const char* name = "shift";
  static constexpr StageKind kind{.shift = true};

  /// Offsets z, one per channel, all finite.
  PLANISH_LAZY explicit Shift(Array<float> offsets) : offsets_(std::move(offsets)) {}

  /// Refuses NaN and infinity.
  PLANISH_LAZY [[nodiscard]] static Result<Shift> make(std::span<const float> offsets) {
    if (const index bad = detail::first_not_finite(offsets); bad >= 0)
      return Status(ErrorCode::not_finite, "shift: the offset of channel ", bad, " is NaN or infinite");
    return Shift(Array<float>(offsets.data(), offsets.data() + offsets.size()));
  }

  [[nodiscard]] index size() const noexcept { return static_cast<index>(offsets_.size()); }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }
  [[nodiscard]] std::span<const float> offsets() const noexcept { return {offsets_.data(), offsets_.size()}; }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    detail::map_rows(x, offsets_.data(), y, [](T value, float z) { return value - static_cast<T>(z); });
  }

  [[nodiscard]] Identity dual() const noexcept { return Identity(size()); }

  /// bias += W z; w is out × n.
  void fold_bias(MatrixView<const double> w, std::span<double> bias) const noexcept {
    for (index r = 0; r < w.rows(); ++r) {
      double sum = 0.0;
      for (index c = 0; c < w.columns(); ++c)
        sum += w(r, c) * static_cast<double>(offsets_[static_cast<std::size_t>(c)]);
      bias[static_cast<std::size_t>(r)] += sum;
    }
  }

  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    visitor("offsets", offsets(), index{1}, size());
  }

 private:
  Array<float> offsets_;  // n
};

static_assert(TransformStage<Shift> && HasOffset<Shift>);

}  // namespace planish::inline PLANISH_ABI
