#pragma once
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <planish/calibration/tape/buffer_pool.hpp>
#include <planish/calibration/tape/products.hpp>
#include <planish/calibration/tape/real.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

template <MustBeReal T>
class Tape;

/// A matrix that a tape has recorded: a small handle, valid until the tape is cleared.
template <MustBeReal T>
class Variable {
 public:
  [[nodiscard]] index rows() const { return value().rows(); }
  [[nodiscard]] index columns() const { return value().columns(); }
  [[nodiscard]] MatrixView<const T> value() const { return tape_->value_of(id_); }
  [[nodiscard]] bool needs_gradient() const { return tape_->needs_gradient(id_); }
  [[nodiscard]] Tape<T>& tape() const noexcept { return *tape_; }

 private:
  friend class Tape<T>;
  Variable(Tape<T>* tape, std::size_t id) : tape_(tape), id_(id) {}

  Tape<T>* tape_;
  std::size_t id_;
};

/// Where an operation puts its share of an input's gradient: assigns where `fresh`, for the memory holds nothing yet,
/// and adds otherwise.
template <class T>
struct GradientTarget {
  MatrixView<T> at{};
  bool fresh = false;
};

/// Reverse-mode differentiation over matrices. Operations are free functions that compute their value at once and
/// record how a gradient flows back; `backward` walks the record once. Memory is kept between steps: after the first,
/// a step of the same shapes allocates no buffers. Misuse (shapes that do not fit) throws Error.
///
///     Tape<float> tape(executor);
///     auto w = tape.parameter(weights, weight_gradients);
///     auto loss = mean_squared_error(multiply_transposed(tape.constant(x), w), target);
///     tape.backward(loss);     // adds to weight_gradients
///     tape.clear();
template <MustBeReal T>
class Tape {
 public:
  /// Adds the shares of the inputs' gradients, given the gradient of the result.
  using Backward = std::function<void(MatrixView<const T> gradient)>;

  explicit Tape(ExecutorReference executor = {}) : executor_(executor) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  [[nodiscard]] ExecutorReference executor() const noexcept { return executor_; }

  /// How large products are computed. Set those of split bfloat16 only where can_split_products says so.
  [[nodiscard]] Products products() const noexcept { return products_; }
  void set_products(Products products) noexcept { products_ = products; }

  /// A leaf that gets no gradient. The memory (dense rows) stays the caller's and must outlive the record.
  [[nodiscard]] Variable<T> constant(MatrixView<const T> value) {
    check_leaf(value);
    return add({.value = value});
  }

  /// A leaf whose gradient `backward` adds to `gradient`. Both stay the caller's.
  [[nodiscard]] Variable<T> parameter(MatrixView<const T> value, MatrixView<T> gradient) {
    check_leaf(value);
    if (gradient.rows() != value.rows() || gradient.columns() != value.columns())
      fail("a parameter of ", value.rows(), " x ", value.columns(), " has a gradient of ", gradient.rows(), " x ",
           gradient.columns());
    return add({.value = value, .gradient = gradient, .needs_gradient = true, .is_leaf = true});
  }

  /// The same elements in rows of another length; shares memory with `x`.
  [[nodiscard]] Variable<T> reshape(Variable<T> x, index rows, index columns) {
    const MatrixView<const T> v = x.value();
    if (rows * columns != v.size() || v.row_stride() != v.columns())
      fail("cannot read ", v.rows(), " x ", v.columns(), " elements as ", rows, " x ", columns);
    return add({.value = {v.data(), rows, columns}, .needs_gradient = x.needs_gradient(), .alias_of = x.id_ + 1});
  }

  /// For operations: a result of undefined content, to be filled through the returned view at once.
  [[nodiscard]] std::pair<Variable<T>, MatrixView<T>> result(index rows, index columns,
                                                             std::initializer_list<Variable<T>> inputs) {
    const MatrixView<T> memory = scratch(rows, columns);
    bool needs = false;
    for (const Variable<T>& input : inputs) needs = needs || input.needs_gradient();
    return {add({.value = memory, .needs_gradient = needs}), memory};
  }

  /// For operations: what to do once the gradient of `result` is known. Dropped where no input needs a gradient.
  void on_backward(Variable<T> result, Backward backward) {
    if (nodes_[result.id_].needs_gradient) nodes_[result.id_].backward = std::move(backward);
  }

  /// For operations: dense memory of undefined content that lives until the tape is cleared.
  [[nodiscard]] MatrixView<T> scratch(index rows, index columns) {
    return {held_.emplace_back(pool_.take(rows * columns)).data(), rows, columns};
  }

  /// For operations: bytes, on a cache line, of undefined content that live until the tape is cleared.
  [[nodiscard]] std::span<std::byte> scratch_bytes(std::size_t count) {
    return {held_bytes_.emplace_back(byte_pool_.take(static_cast<index>(count))).data(), count};
  }
  [[nodiscard]] typename BufferPool<std::byte>::Loan borrow_bytes(std::size_t count) {
    return {byte_pool_, static_cast<index>(count)};
  }

  /// For operations: that the value of x is, to the bit, these symmetric codes times the scale of their row. Rows of
  /// zeros follow up to a multiple of panel_width; the memory lives as long as the record.
  void set_codes(Variable<T> x, const QuantizedRowsView& codes) { nodes_[x.id_].codes = codes; }
  [[nodiscard]] const std::optional<QuantizedRowsView>& codes_of(Variable<T> x) const { return nodes_[x.id_].codes; }

  /// For operations: memory of undefined content for as long as the loan lives, which is not past the operation.
  [[nodiscard]] typename BufferPool<T>::Loan borrow(index count) { return {pool_, count}; }

  /// For operations, inside Backward: where the gradient of `x` is collected. Call only if `x` needs one, and leave
  /// nothing of a fresh target unassigned.
  [[nodiscard]] GradientTarget<T> gradient(Variable<T> x) {
    Node& node = nodes_[x.id_];
    if (node.alias_of != 0) {
      const GradientTarget<T> whole = gradient(Variable<T>(this, node.alias_of - 1));
      return {{whole.at.data(), node.value.rows(), node.value.columns()}, whole.fresh};
    }
    const bool fresh = !node.has_gradient && !node.is_leaf;
    if (fresh) {
      node.memory = pool_.take(node.value.size());
      node.gradient = {node.memory.data(), node.value.rows(), node.value.columns()};
    }
    node.has_gradient = true;
    return {node.gradient, fresh};
  }

  /// Adds d loss / d p to the gradient of every parameter p. `loss` is 1 × 1. Once per record.
  void backward(Variable<T> loss) {
    if (loss.value().size() != 1) fail("the loss is ", loss.rows(), " x ", loss.columns(), ", not a number");
    if (!loss.needs_gradient()) fail("the loss depends on no parameter");
    const GradientTarget<T> start = gradient(loss);
    start.at(0, 0) = start.fresh ? T{1} : start.at(0, 0) + T{1};
    for (std::size_t id = loss.id_ + 1; id-- > 0;) {
      Node& node = nodes_[id];
      if (node.is_leaf || !node.has_gradient) continue;
      if (node.backward) node.backward(node.gradient);
      pool_.give_back(std::move(node.memory));
      node.has_gradient = false;
    }
  }

  /// Forgets the record; keeps the memory for the next.
  void clear() {
    nodes_.clear();
    for (auto& buffer : held_) pool_.give_back(std::move(buffer));
    held_.clear();
    for (auto& buffer : held_bytes_) byte_pool_.give_back(std::move(buffer));
    held_bytes_.clear();
  }

  /// Forgets the record and frees its memory.
  void release() {
    clear();
    pool_.release();
    byte_pool_.release();
  }

  /// Bytes that the tape holds for values, gradients and scratch, in use or kept.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return pool_.total_bytes() + byte_pool_.total_bytes(); }

  [[nodiscard]] MatrixView<const T> value_of(std::size_t id) const { return nodes_[id].value; }
  [[nodiscard]] bool needs_gradient(std::size_t id) const { return nodes_[id].needs_gradient; }

  /// Throws Error: `parts` joined, shapes that do not fit together.
  template <class... Parts>
  [[noreturn]] static void fail(const Parts&... parts) {
    throw Error(Status(ErrorCode::shape_mismatch, parts...));
  }

 private:
  struct Node {
    MatrixView<const T> value{};
    MatrixView<T> gradient{};
    bool needs_gradient = false;
    bool is_leaf = false;       // a parameter: its gradient belongs to the caller
    bool has_gradient = false;  // something was added already
    std::size_t alias_of = 0;   // 1 + the node whose memory this one shares
    AlignedBuffer<T> memory{};  // of the gradient
    Backward backward{};
    std::optional<QuantizedRowsView> codes{};
  };

  Variable<T> add(Node node) {
    nodes_.push_back(std::move(node));
    return Variable<T>(this, nodes_.size() - 1);
  }

  static void check_leaf(MatrixView<const T> value) {
    if (!value.has_dense_rows()) fail("the rows of a leaf must be contiguous");
  }

  ExecutorReference executor_;
  Products products_ = Products::float32;
  BufferPool<T> pool_;
  BufferPool<std::byte> byte_pool_;
  std::vector<Node> nodes_;
  std::vector<AlignedBuffer<T>> held_;
  std::vector<AlignedBuffer<std::byte>> held_bytes_;
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape
