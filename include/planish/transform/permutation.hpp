#pragma once
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Reorders channels: y[c] = x[sources[c]] (DuQuant's zigzag, arXiv 2406.01721). Orthogonal, so it is its own dual.
class Permutation {
 public:
  static constexpr const char* name = "permutation";
  static constexpr StageKind kind{.permutation = true, .orthogonal = true};

  /// The channel that each output channel is read from; every channel once.
  PLANISH_LAZY explicit Permutation(Array<std::int32_t> sources) : sources_(std::move(sources)) {}

  /// Refuses anything that is not a permutation of 0 .. n − 1.
  PLANISH_LAZY [[nodiscard]] static Result<Permutation> make(std::span<const std::int32_t> sources) {
    Array<std::uint8_t> seen(sources.size(), 0);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const std::int32_t source = sources[i];
      if (source < 0 || static_cast<std::size_t>(source) >= sources.size())
        return Status(ErrorCode::invalid_argument, "permutation: entry ", i, " is ", source, ", outside of 0 .. ",
                      static_cast<index>(sources.size()) - 1);
      if (seen[static_cast<std::size_t>(source)] != 0)
        return Status(ErrorCode::invalid_argument, "permutation: channel ", source, " appears twice (entry ", i, ")");
      seen[static_cast<std::size_t>(source)] = 1;
    }
    return Permutation(Array<std::int32_t>(sources.data(), sources.data() + sources.size()));
  }

  [[nodiscard]] index size() const noexcept { return static_cast<index>(sources_.size()); }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }
  [[nodiscard]] std::span<const std::int32_t> sources() const noexcept { return {sources_.data(), sources_.size()}; }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c) y(r, c) = x(r, sources_[static_cast<std::size_t>(c)]);
  }

  PLANISH_LAZY [[nodiscard]] Permutation dual() const { return *this; }

  /// Indices as floats: exact, since a row is far shorter than 2^24.
  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    Array<float> values(sources_.begin(), sources_.end());
    visitor("sources", std::span<const float>(values.data(), values.size()), index{1}, size());
  }

 private:
  Array<std::int32_t> sources_;  // n
};

static_assert(TransformStage<Permutation>);

}  // namespace planish::inline PLANISH_ABI
