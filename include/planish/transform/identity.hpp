#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Rows of n channels, left as they are. As a factor of a Kronecker stage it makes per-head and across-head maps.
class Identity {
 public:
  static constexpr const char* name = "identity";
  static constexpr StageKind kind{
      .shift = true, .scale = true, .permutation = true, .orthogonal = true, .within_heads = true};

  explicit Identity(index size) noexcept : size_(size) {}

  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    detail::copy_rows(x, y);
  }

  [[nodiscard]] Identity dual() const noexcept { return *this; }

  /// Null: no matrix to multiply by.
  template <class T>
  [[nodiscard]] const T* matrix() const noexcept {
    return nullptr;
  }

  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    const float count = static_cast<float>(size_);
    visitor("size", std::span<const float>(&count, 1), index{1}, index{1});
  }

 private:
  index size_;
};

static_assert(TransformStage<Identity>);

}  // namespace planish::inline PLANISH_ABI
