#pragma once
#include <cmath>

#include <planish/calibration/tape/attention_backward.hpp>
#include <planish/calibration/tape/attention_forward.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// How attention sees its matrices.
struct CausalAttention {
  index head_size;
  index window;        ///< tokens of a sequence; attention never looks beyond
  double scale = 0.0;  ///< of the scores; 0: 1 / √head_size
};

namespace detail {

template <class T>
[[nodiscard]] AttentionPlan plan_attention(Variable<T> q, Variable<T> k, Variable<T> v, const CausalAttention& a) {
  if (a.head_size < 1 || q.columns() % a.head_size != 0 || k.columns() % a.head_size != 0)
    Tape<T>::fail("queries of ", q.columns(), " and keys of ", k.columns(), " columns are not heads of ", a.head_size);
  if (k.rows() != q.rows() || v.rows() != q.rows() || v.columns() != k.columns())
    Tape<T>::fail("attention of ", q.rows(), " queries to keys of ", k.rows(), " x ", k.columns(), " and values of ",
                  v.rows(), " x ", v.columns());
  if (a.window < 1 || q.rows() % a.window != 0) Tape<T>::fail(q.rows(), " tokens are not windows of ", a.window);
  const index heads = q.columns() / a.head_size, kv_heads = k.columns() / a.head_size;
  if (kv_heads < 1 || heads % kv_heads != 0)
    Tape<T>::fail(heads, " query heads cannot share ", kv_heads, " KV heads evenly");
  return {a.window, q.rows() / a.window, heads, kv_heads, a.head_size};
}

template <class T>
void differentiate_attention(Tape<T>& tape, const AttentionPlan& plan, Variable<T> q, Variable<T> k, Variable<T> v,
                             AttentionGradients<T> g) {
  const KeyChunks chunks(plan);
  auto values = tape.borrow(plan.transposed_size());
  transpose_keys<T>(tape.executor(), plan, v.value(), values.data());
  g.transposed_values = values.data();
  const index rows = q.rows(), columns = q.columns(), room_size = BackwardRoom<T>::size(plan, chunks);
  auto room = tape.borrow(tape.executor().workers() * room_size);
  auto shares_memory = tape.borrow(g.to_queries ? chunks.count * rows * columns : 0);
  const MatrixView<T> shares(shares_memory.data(), g.to_queries ? chunks.count * rows : 0, columns);
  const auto dk = g.to_keys ? tape.gradient(k) : GradientTarget<T>{};
  const auto dv = g.to_values ? tape.gradient(v) : GradientTarget<T>{};
  const index heads = plan.sequences * plan.kv_heads;
  // the first chunks meet the most queries, so they come first
  tape.executor().run(static_cast<int>(chunks.count * heads), [&](int task, int worker) {
    const index number = task / heads, sequence = task % heads / plan.kv_heads, kv_head = task % plan.kv_heads;
    const Range chunk{number * chunks.size, std::min(plan.window, (number + 1) * chunks.size)};
    const BackwardRoom<T> mine(plan, chunks, room.data() + worker * room_size);
    differentiate_chunk<T>(plan, g, sequence, kv_head, chunk, mine,
                           g.to_queries ? shares.middle_rows(number * rows, rows) : shares);
    // the packed queries carry log₂e besides the scale
    if (g.to_keys) scatter_chunk<T>(plan, sequence, kv_head, chunk, mine.key_sums, std::numbers::ln2_v<T>, dk);
    if (g.to_values) scatter_chunk<T>(plan, sequence, kv_head, chunk, mine.value_sums, T{1}, dv);
  });
  if (g.to_queries) add_query_shares<T>(tape.executor(), plan, chunks, shares, g.scale, tape.gradient(q));
}

}  // namespace detail

/// Causal softmax attention with shared KV heads: y = softmax(scale · q kᵀ) v, each token over itself and the tokens
/// before it in its window. q is tokens × H · head size, k and v are tokens × Hk · head size, Hk a divisor of H: query
/// head h reads KV head h / (H / Hk).
///
/// Neither direction stores a matrix of tokens × tokens: the backward pass computes the probabilities of a tile again
/// from the logarithm of each row's sum (FlashAttention-2, arXiv 2307.08691). Sums have a fixed order.
template <class T>
[[nodiscard]] Variable<T> causal_attention(Variable<T> q, Variable<T> k, Variable<T> v,
                                           const CausalAttention& attention) {
  const detail::AttentionPlan plan = detail::plan_attention(q, k, v, attention);
  Tape<T>& tape = q.tape();
  const T scale = static_cast<T>(attention.scale == 0.0 ? 1.0 / std::sqrt(static_cast<double>(attention.head_size))
                                                        : attention.scale);
  auto [y, result] = tape.result(q.rows(), q.columns(), {q, k, v});
  const MatrixView<T> logarithms = tape.scratch(q.rows(), plan.heads);
  T* const transposed_keys = tape.scratch(1, plan.transposed_size()).data();
  detail::transpose_keys<T>(tape.executor(), plan, k.value(), transposed_keys);
  {
    const index room_size = detail::ForwardRoom<T>::size(plan), tiles = plan.query_tiles();
    const index heads = plan.sequences * plan.kv_heads;
    auto room = tape.borrow(tape.executor().workers() * room_size);
    // the last tiles see the most keys, so they come first
    tape.executor().run(static_cast<int>(heads * tiles), [&, out = result](int task, int worker) {
      const detail::QueryTile tile =
          plan.query_tile(task % heads / plan.kv_heads, task % plan.kv_heads, tiles - 1 - task / heads);
      detail::attend_queries<T>(plan, tile, scale, q.value(), transposed_keys, v.value(),
                                detail::ForwardRoom<T>(plan, room.data() + worker * room_size), out, logarithms);
    });
  }
  tape.on_backward(y, [&tape, plan, q, k, v, out = result, logarithms, transposed_keys, scale](MatrixView<const T> dy) {
    detail::differentiate_attention<T>(tape, plan, q, k, v,
                                       {q.value(), k.value(), out, dy, logarithms, transposed_keys, nullptr, scale,
                                        q.needs_gradient(), k.needs_gradient(), v.needs_gradient()});
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
