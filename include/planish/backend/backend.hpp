#pragma once
#include <concepts>

#include <planish/core/copyable.hpp>
#include <planish/core/executor.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/float_panels.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>
#include <planish/transform/identity.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {
template <class B>
concept HasAName = requires {
  { B::name } -> std::convertible_to<const char*>;
};
template <class B>
concept AppliesStages = requires(const B& b, const Identity& stage, MatrixView<const float> x, MatrixView<float> y,
                                 std::span<float> s) {
  apply(b, stage, x, y, s);
};
template <class B>
concept QuantizesRows = requires(const B& b, MatrixView<const float> x, MatrixView<float> y, const RowQuantizer& q,
                                 QuantizedRowsSpan rows) {
  { quantize(b, x, q, rows) } -> std::same_as<index>;
  dequantize(b, QuantizedRowsView(rows), y);
};
template <class B, class X, class W>
concept MultipliesBy = requires(const B& b, X x, const W& w, const Epilogue& e, MatrixView<float> y, Range panels,
                                std::span<std::byte> scratch) {
  { multiply_scratch_bytes(b, index{}, index{}, index{}) } -> std::same_as<std::size_t>;
  multiply(b, x, w, e, y, panels, scratch);
};
}  // namespace detail

/// A tag whose functions, found beside it, run values of this library on one kind of machine.
template <class B>
concept Backend = Copyable<B> && detail::HasAName<B> && detail::AppliesStages<B> && detail::QuantizesRows<B> &&
    detail::MultipliesBy<B, QuantizedRowsView, PackedWeightsView> &&
    detail::MultipliesBy<B, MatrixView<const float>, PackedWeightsView> &&
    detail::MultipliesBy<B, MatrixView<const float>, FloatPanelsView>;

namespace detail {
template <class B>
struct BackendOrSentence {
  static constexpr bool value = Backend<B>;
  static_assert(Backend<B>, "planish: a backend is Cpu or Reference, or a tag of your own that satisfies Backend");
};
/// Backend, with a sentence in front of the compiler's own words.
template <class B>
concept MustBeBackend = BackendOrSentence<B>::value;
}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
