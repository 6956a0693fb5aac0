#pragma once
// Inputs of a site that are made where they are read: norm → transform → quantize, or gate → transform → quantize, pass
// memory once.
#include <concepts>

#include <planish/backend/default.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/linear/sixteen_bit_rows.hpp>

namespace planish::inline PLANISH_ABI {

/// Rows × columns float32 values that are not in memory: `fill(first, rows)` writes rows [first, first + rows.rows())
/// into dense rows. It runs on the executor's workers, several at once, and must give the same values whatever the cut.
template <class P>
concept ProducedRows = requires(const P& produced, index first, MatrixView<float> rows) {
  { produced.rows() } -> std::same_as<index>;
  { produced.columns() } -> std::same_as<index>;
  { produced.fill(first, rows) }
  noexcept;
};

namespace detail {
template <class B>
concept HasRmsNorm = requires(const B& b, MatrixView<const float> x, MatrixView<float> y) {
  rms_norm(b, x, static_cast<const float*>(nullptr), 0.0f, y);
};
template <class B>
concept HasSwiglu = requires(const B& b, MatrixView<const float> x, MatrixView<float> y) {
  swiglu(b, x, x, y);
};
}  // namespace detail

/// RMSNorm of x (arXiv 1910.07467): x / sqrt(mean(x²) + epsilon) ⊙ gain. x: rows × n; gain: n values. Both must stay.
template <class B = DefaultBackend>
class RmsNormRows {
  static_assert(detail::HasRmsNorm<B>,
                "planish: RmsNormRows is computed by Cpu or Reference, or by a tag with rms_norm");

 public:
  RmsNormRows(MatrixView<const float> x, const float* gain, float epsilon, B backend = {}) noexcept
      : x_(x), gain_(gain), epsilon_(epsilon), backend_(backend) {}

  [[nodiscard]] index rows() const noexcept { return x_.rows(); }
  [[nodiscard]] index columns() const noexcept { return x_.columns(); }
  void fill(index first, MatrixView<float> rows) const noexcept {
    rms_norm(backend_, x_.middle_rows(first, rows.rows()), gain_, epsilon_, rows);
  }

 private:
  MatrixView<const float> x_;
  const float* gain_;
  float epsilon_;
  [[no_unique_address]] B backend_;
};

/// SwiGLU (arXiv 2002.05202): silu(gate) ⊙ up, both rows × n, which must stay.
template <class B = DefaultBackend>
class SwigluRows {
  static_assert(detail::HasSwiglu<B>, "planish: SwigluRows is computed by Cpu or Reference, or by a tag with swiglu");

 public:
  SwigluRows(MatrixView<const float> gate, MatrixView<const float> up, B backend = {}) noexcept
      : gate_(gate), up_(up), backend_(backend) {}

  [[nodiscard]] index rows() const noexcept { return gate_.rows(); }
  [[nodiscard]] index columns() const noexcept { return gate_.columns(); }
  void fill(index first, MatrixView<float> rows) const noexcept {
    swiglu(backend_, gate_.middle_rows(first, rows.rows()), up_.middle_rows(first, rows.rows()), rows);
  }

 private:
  MatrixView<const float> gate_, up_;
  [[no_unique_address]] B backend_;
};

static_assert(ProducedRows<RmsNormRows<>> && ProducedRows<SwigluRows<>>);

namespace detail {

template <class X>
concept SixteenBitRows = requires {
  typename X::value_type;
}
&&SixteenBitFloat<typename X::value_type> &&
    (std::same_as<X, MatrixView<typename X::value_type>> || std::same_as<X, MatrixView<const typename X::value_type>>);
template <class X>
concept SiteInput =
    std::convertible_to<X&, MatrixView<const float>> || ProducedRows<X> || SixteenBitRows<std::remove_cv_t<X>>;
template <class X>
struct SiteInputOrSentence {
  static constexpr bool value = SiteInput<X>;
  static_assert(SiteInput<X>,
                "planish: a site reads a view of float, Half or BFloat16, or produced rows: rows() and columns() of "
                "type index, and fill(first, rows) noexcept, all const");
};
/// What a site reads, with a sentence in front of the compiler's own words.
template <class X>
concept MustBeSiteInput = SiteInputOrSentence<X>::value;

/// Rows of a matrix, seen as a source of dense float rows.
template <class E>
struct MatrixRows {
  static constexpr bool is_float = std::same_as<E, float>;
  MatrixView<const E> x;

  [[nodiscard]] index rows() const noexcept { return x.rows(); }
  [[nodiscard]] index columns() const noexcept { return x.columns(); }
  /// The rows themselves where they are dense floats, else a copy in `room`.
  [[nodiscard]] MatrixView<const float> dense(index first, MatrixView<float> room) const noexcept {
    const MatrixView<const E> rows = x.middle_rows(first, room.rows());
    if constexpr (is_float) {
      if (rows.has_dense_rows()) return rows;
      copy_rows(rows, room);
    } else {
      widen_rows(rows, room);
    }
    return room;
  }
};

/// Produced rows, likewise.
template <ProducedRows P>
struct FilledRows {
  static constexpr bool is_float = false;  // there is no matrix that consumers could read instead
  const P& produced;

  [[nodiscard]] index rows() const noexcept { return produced.rows(); }
  [[nodiscard]] index columns() const noexcept { return produced.columns(); }
  [[nodiscard]] MatrixView<const float> dense(index first, MatrixView<float> room) const noexcept {
    produced.fill(first, room);
    return room;
  }
};

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
