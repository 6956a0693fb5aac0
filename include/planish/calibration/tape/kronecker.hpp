#pragma once
#include <algorithm>
#include <optional>

#include <planish/calibration/tape/kronecker_blocks.hpp>
#include <planish/calibration/tape/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// A Kronecker transform of which one factor may be missing, then it is the identity: y = Lᵀ (M R) row by row.
template <class T>
class KroneckerRecord {
 public:
  KroneckerRecord(Variable<T> x, index n1, index n2, std::optional<Variable<T>> left, std::optional<Variable<T>> right)
      : x_(x), left_(left), right_(right), n1_(n1), n2_(n2), in_(without_gaps(x)) {
    constexpr index elements = 32 * 1024;  // of a block: a few such arrays stay in the second-level cache
    block_ = std::clamp<index>(elements / std::max<index>(n1 * n2, 1), 1, std::max<index>(x.rows(), 1));
    blocks_ = (x.rows() + block_ - 1) / block_;
  }

  /// Fills y.
  void forward(MatrixView<T> y) const {
    Tape<T>& tape = x_.tape();
    const index size = block_ * n1_ * n2_, scratch_size = left_factor_scratch(n1_, n2_);
    auto rooms = tape.borrow(tape.executor().workers() * (size + scratch_size));
    for_blocks([&](index, index first, index count, int worker) {
      T* const room = rooms.data() + worker * (size + scratch_size);
      for_groups(first, count, [&](index at, index rows) {
        prefetch_rows(in_, at + rows, rows);
        MatrixView<const T> m = in_.middle_rows(at, rows);
        const MatrixView<T> to = y.middle_rows(at, rows);
        if (right_) {
          const MatrixView<T> product = left_ ? MatrixView<T>(room, rows, n1_ * n2_) : to;
          block_product(stacked(m), right_->value(), stacked(product));
          m = product;
        }
        if (left_) apply_left_factor(m, n1_, left_->value().data(), to, {room + size, extent(scratch_size)});
      });
    });
  }

  /// Gives every factor and x its share. With G = L dY: dx = G Rᵀ, dR = Σ Mᵀ G, dL = Σ (M R) dYᵀ.
  void backward(MatrixView<const T> dy) const {
    Tape<T>& tape = x_.tape();
    const bool to_left = left_ && left_->needs_gradient(), to_right = right_ && right_->needs_gradient();
    const bool to_x = x_.needs_gradient();
    const index size = block_ * n1_ * n2_, scratch_size = left_factor_scratch(n1_, n2_),
                room_size = 3 * size + scratch_size;
    auto rooms = tape.borrow(tape.executor().workers() * room_size);
    auto left_transposed = tape.borrow(n1_ * n1_), right_transposed = tape.borrow(n2_ * n2_);
    if (left_) copy_transposed(*left_, left_transposed.data());
    if (right_) copy_transposed(*right_, right_transposed.data());
    auto left_partials = tape.borrow(to_left ? blocks_ * n1_ * n1_ : 0);
    auto right_partials = tape.borrow(to_right ? blocks_ * n2_ * n2_ : 0);
    const GradientTarget<T> dx = to_x ? tape.gradient(x_) : GradientTarget<T>{};
    for_blocks([&](index block, index first, index count, int worker) {
      T* const room = rooms.data() + worker * room_size;
      const MatrixView<T> products(room, count, n1_ * n2_), inner(room + size, count, n1_ * n2_);
      for_groups(first, count, [&](index at, index rows) {
        if (to_x || to_right || right_) prefetch_rows(in_, at + rows, rows);
        prefetch_rows(dy, at + rows, rows);
        const MatrixView<const T> m = in_.middle_rows(at, rows);
        // M R once more: cheaper than to keep it, for that is two passes through memory.
        if (to_left && right_)
          block_product(stacked(m), right_->value(), stacked(products.middle_rows(at - first, rows)));
        MatrixView<const T> g = dy.middle_rows(at, rows);
        const MatrixView<T> share =
            dx.fresh ? dx.at.middle_rows(at, rows) : MatrixView<T>(room + 2 * size, rows, n1_ * n2_);
        if (left_ && (to_x || to_right)) {
          const MatrixView<T> to = right_ ? inner.middle_rows(at - first, rows) : share;
          apply_left_factor(g, n1_, left_transposed.data(), to, {room + 3 * size, extent(scratch_size)});
          g = to;
        }
        if (!to_x) return;
        if (right_) block_product(stacked(g), {right_transposed.data(), n2_, n2_}, stacked(share));
        if (!dx.fresh)
          for (index r = 0; r < rows; ++r)
            accumulate(dx.at.row(at + r), n1_ * n2_, false, [&](index c) { return share(r, c); });
      });
      const MatrixView<const T> m = in_.middle_rows(first, count), outer = dy.middle_rows(first, count);
      if (to_left)
        sum_left_products(right_ ? MatrixView<const T>(products) : m, outer, n1_,
                          left_partials.data() + block * n1_ * n1_);
      if (to_right)
        block_product(stacked(m).transposed(), stacked(left_ ? MatrixView<const T>(inner) : outer),
                      {right_partials.data() + block * n2_ * n2_, n2_, n2_});
    });
    if (to_left) sum_partials(left_partials.data(), blocks_, tape.gradient(*left_));
    if (to_right) sum_partials(right_partials.data(), blocks_, tape.gradient(*right_));
  }

 private:
  /// The value of x, copied if its rows do not follow one another.
  static MatrixView<const T> without_gaps(Variable<T> x) {
    const MatrixView<const T> from = x.value();
    if (from.row_stride() == from.columns()) return from;
    const MatrixView<T> copy = x.tape().scratch(from.rows(), from.columns());
    for (index r = 0; r < from.rows(); ++r) std::copy_n(from.row(r), from.columns(), copy.row(r));
    return copy;
  }

  /// Asks for rows that come next, as far as there are any: the products take too many short runs at a time for the
  /// hardware to see what comes.
  static void prefetch_rows(MatrixView<const T> from, index first, index count) noexcept {
    constexpr index line = buffer_alignment / sizeof(T);
    const index end = std::min(first + count, from.rows()) * from.columns();
    for (index i = first * from.columns(); i < end; i += line) __builtin_prefetch(from.data() + i, 0, 2);
  }

  template <class U>
  [[nodiscard]] MatrixView<U> stacked(MatrixView<U> rows) const noexcept {
    return {rows.data(), rows.rows() * n1_, n2_};
  }

  static void copy_transposed(Variable<T> from, T* to) {
    transpose_into({}, from.value(), GradientTarget<T>{{to, from.columns(), from.rows()}, true});
  }

  [[nodiscard]] static std::size_t extent(index size) noexcept { return static_cast<std::size_t>(size); }

  /// work(block, first row, rows, worker) for every block.
  template <class Work>
  void for_blocks(Work&& work) const {
    x_.tape().executor().run(static_cast<int>(blocks_), [&](int block, int worker) {
      work(static_cast<index>(block), block * block_, std::min(block_, in_.rows() - block * block_), worker);
    });
  }

  /// work(first row, rows) for the rows of a block, as many at a time as stay in the first cache.
  template <class Work>
  void for_groups(index first, index count, Work&& work) const {
    constexpr index elements = 4 * 24 * 24;
    const index group = std::max<index>(elements / std::max<index>(n1_ * n2_, 1), 1);
    for (index at = 0; at < count; at += group) work(first + at, std::min(group, count - at));
  }

  Variable<T> x_;
  std::optional<Variable<T>> left_, right_;
  index n1_, n2_, block_ = 1, blocks_ = 0;
  MatrixView<const T> in_;
};

template <class T>
[[nodiscard]] Variable<T> record_kronecker(Variable<T> x, index n1, index n2, std::optional<Variable<T>> left,
                                           std::optional<Variable<T>> right) {
  for (const auto& factor : {left, right})
    if (factor && (factor->rows() != factor->columns()))
      Tape<T>::fail("a factor of a Kronecker product is ", factor->rows(), " x ", factor->columns(), ", not square");
  auto [y, out] = x.tape().result(x.rows(), x.columns(), {x, left.value_or(x), right.value_or(x)});
  const KroneckerRecord<T> record(x, n1, n2, left, right);
  record.forward(out);
  x.tape().on_backward(y, [record](MatrixView<const T> dy) { record.backward(dy); });
  return y;
}

}  // namespace detail

/// Every row of x, reshaped row-major to M (n1 × n2), becomes leftᵀ M right: y = x (left ⊗ right). left: n1 × n1,
/// right: n2 × n2.
template <class T>
[[nodiscard]] Variable<T> kronecker(Variable<T> x, Variable<T> left, Variable<T> right) {
  if (left.rows() * right.rows() != x.columns())
    Tape<T>::fail("a Kronecker product of ", left.rows(), " x ", left.columns(), " and ", right.rows(), " x ",
                  right.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, left.rows(), right.rows(), left, right);
}

/// leftᵀ M, M the n1 × (columns / n1) matrix in a row of x: y = x (left ⊗ I).
template <class T>
[[nodiscard]] Variable<T> kronecker_left(Variable<T> x, Variable<T> left) {
  if (left.rows() == 0 || x.columns() % left.rows() != 0)
    Tape<T>::fail("a left factor of ", left.rows(), " x ", left.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, left.rows(), x.columns() / left.rows(), left, std::nullopt);
}

/// M right, M the (columns / n2) × n2 matrix in a row of x: y = x (I ⊗ right).
template <class T>
[[nodiscard]] Variable<T> kronecker_right(Variable<T> x, Variable<T> right) {
  if (right.rows() == 0 || x.columns() % right.rows() != 0)
    Tape<T>::fail("a right factor of ", right.rows(), " x ", right.columns(), " on rows of ", x.columns());
  return detail::record_kronecker<T>(x, x.columns() / right.rows(), right.rows(), std::nullopt, right);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
