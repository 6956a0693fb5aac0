#include "block.hpp"

#include <cmath>

namespace llama {
namespace {

using planish::AnyLinear;
using planish::AnySite;
using planish::AnyTransform;
using planish::KvCache;
using planish::QuantizedInput;
using planish::Workspace;

constexpr index least_rows = 4;  // of a task: fewer are not worth waking a thread

AnyLinear make_linear(LinearParameters p, MatrixShape shape, planish::SiteMode mode, const std::string& where) {
  if (p.codes) return require(AnyLinear::make(p.codes->view(), p.bias, mode), where);
  if (p.packed) {
    auto linear = require(AnyLinear::make(require(planish::PackedWeights::borrow(*p.packed), where), p.bias), where);
    if (linear.rows() == shape.rows && linear.columns() == shape.columns) return linear;
    throw Error(where + ": " + std::to_string(linear.rows()) + " x " + std::to_string(linear.columns()) +
                " packed weights, not " + std::to_string(shape.rows) + " x " + std::to_string(shape.columns));
  }
  if (static_cast<index>(p.weights.size()) != shape.rows * shape.columns)
    throw Error(where + ": " + std::to_string(p.weights.size()) + " weights, not " + std::to_string(shape.rows) +
                " x " + std::to_string(shape.columns));
  return require(AnyLinear::make_float({p.weights.data(), shape.rows, shape.columns}, p.bias), where);
}

/// y = transform(x), head by head.
void transform_heads(const AnyTransform& transform, MatrixView<const float> x, MatrixView<float> y,
                     ExecutorReference executor) {
  const index size = transform.size(), heads = x.columns() / size;
  for_rows(executor, x.rows(), least_rows, [&](index first, index count) {
    std::vector<float> scratch(static_cast<std::size_t>(transform.scratch_size(count * heads)));
    transform.apply(MatrixView<const float>{x.row(first), count * heads, size},
                    MatrixView<float>{y.row(first), count * heads, size}, std::span<float>(scratch));
  });
}

planish::AttentionPrecision precision_of(const CacheParameters& cache, planish::SiteMode mode) {
  using planish::AttentionPrecision;
  if (!cache.integer_attention) return AttentionPrecision::floats;
  return mode == planish::SiteMode::fake ? AttentionPrecision::q8p8_simulated : AttentionPrecision::q8p8;
}

/// RMSNorm of every head in place; without a gain there is none.
void normalise_heads(MatrixView<float> x, const std::vector<float>& gain, float epsilon) noexcept {
  const auto size = static_cast<index>(gain.size());
  if (size == 0) return;
  const MatrixView<float> heads(x.data(), x.rows() * (x.columns() / size), size);
  rms_norm(planish::DefaultBackend{}, heads, gain.data(), epsilon, heads);
}

}  // namespace

Block::Block(const Config& config, BlockParameters parameters, planish::SiteMode mode, const std::string& where)
    : config_(config),
      attention_gain_(std::move(parameters.attention_gain)),
      mlp_gain_(std::move(parameters.mlp_gain)),
      query_gain_(std::move(parameters.query_gain)),
      key_gain_(std::move(parameters.key_gain)),
      key_(std::move(parameters.key)),
      query_(std::move(parameters.query)),
      cache_(parameters.cache),
      attention_precision_(precision_of(cache_, mode)) {
  for (SiteKind kind : site_kinds) {
    SiteParameters& site = parameters.sites[static_cast<std::size_t>(kind)];
    sites_.push_back(require(AnySite::make(std::move(site.online), site.quantizers, mode),
                             where + "." + std::string(to_string(kind))));
  }
  for (Projection p : projections)
    linears_.push_back(make_linear(std::move(parameters.linears[static_cast<std::size_t>(p)]), shape_of(p, config),
                                   mode, where + "." + std::string(name_of(p))));
}

KvCache Block::make_cache(index capacity) const {
  return require(KvCache::make({.kv_heads = config_.kv_heads,
                                .head_size = config_.head_size,
                                .capacity = capacity,
                                .key_bits = cache_.key_bits,
                                .value_bits = cache_.value_bits,
                                .key_clip = cache_.key_clip,
                                .value_clip = cache_.value_clip,
                                .precision = attention_precision_}),
                 "key/value cache");
}

void Block::forward(MatrixView<float> x, const BlockPass& pass) const {
  attend(x, pass);
  feed_forward(x, pass);
}

/// x ← x + o · attention(q, k, v) of the normalised x.
void Block::attend(MatrixView<float> x, const BlockPass& pass) const {
  BlockScratch& scratch = *pass.scratch;
  const index rows = x.rows();
  const auto query = scratch.query.view(rows, config_.query_size());
  const auto key = scratch.key.view(rows, config_.kv_size());
  const auto value = scratch.value.view(rows, config_.kv_size());

  const planish::RmsNormRows<> normed(x, attention_gain_.data(), config_.norm_epsilon);
  prepare(SiteKind::attention, normed, pass, [&](const QuantizedInput* in, Workspace workspace) {
    multiply({{&linear(Projection::query), &in[0], query},
              {&linear(Projection::key), &in[1], key},
              {&linear(Projection::value), &in[2], value}},
             workspace, pass.executor);
  });
  rotate(query, key, pass);

  const auto attended = scratch.attended.view(rows, config_.query_size());
  if (key_.is_identity()) {
    attend_to_caches(query, key, value, attended, pass);
  } else {
    const auto turned_query = scratch.turned_query.view(rows, config_.query_size());
    const auto turned_key = scratch.turned_key.view(rows, config_.kv_size());
    {
      const Timed timed(pass.clock, Phase::transform);
      transform_heads(query_, query, turned_query, pass.executor);
      transform_heads(key_, key, turned_key, pass.executor);
    }
    attend_to_caches(turned_query, turned_key, value, attended, pass);
  }
  prepare(SiteKind::output, MatrixView<const float>(attended), pass,
          [&](const QuantizedInput* in, Workspace workspace) {
            multiply({{&linear(Projection::output), &in[0], x, x}}, workspace, pass.executor);
          });
}

/// x ← x + down · (silu(gate) ⊙ up) of the normalised x.
void Block::feed_forward(MatrixView<float> x, const BlockPass& pass) const {
  BlockScratch& scratch = *pass.scratch;
  const index rows = x.rows();
  const auto gate = scratch.gate.view(rows, config_.ffn_size);
  const auto up = scratch.up.view(rows, config_.ffn_size);

  const planish::RmsNormRows<> normed(x, mlp_gain_.data(), config_.norm_epsilon);
  prepare(SiteKind::mlp, normed, pass, [&](const QuantizedInput* in, Workspace workspace) {
    multiply({{&linear(Projection::gate), &in[0], gate}, {&linear(Projection::up), &in[1], up}}, workspace,
             pass.executor);
  });
  prepare(SiteKind::down, planish::SwigluRows<>(gate, up), pass, [&](const QuantizedInput* in, Workspace workspace) {
    multiply({{&linear(Projection::down), &in[0], x, x}}, workspace, pass.executor);
  });
}

/// Normalises the heads of queries and keys where the model asks for it, then turns them to the positions at which
/// their sequences continue.
void Block::rotate(MatrixView<float> query, MatrixView<float> key, const BlockPass& pass) const {
  index row = 0;
  for (const Segment& segment : pass.segments) {
    const index position = pass.caches[static_cast<std::size_t>(segment.sequence)].tokens();
    for_rows(pass.executor, segment.rows, least_rows, [&](index first, index count) {
      const auto queries = query.middle_rows(row + first, count), keys = key.middle_rows(row + first, count);
      normalise_heads(queries, query_gain_, config_.norm_epsilon);
      normalise_heads(keys, key_gain_, config_.norm_epsilon);
      pass.rope->apply(queries, position + first);
      pass.rope->apply(keys, position + first);
    });
    row += segment.rows;
  }
}

/// Stores the new keys and values, then attends. A single segment is spread over the workers inside; of several, each
/// is one task.
void Block::attend_to_caches(MatrixView<const float> query, MatrixView<const float> key, MatrixView<const float> value,
                             MatrixView<float> attended, const BlockPass& pass) const {
  const Timed timed(pass.clock, Phase::attention);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_size));
  const auto one = [&](const Segment& segment, index row, std::span<std::byte> workspace, ExecutorReference executor) {
    KvCache& cache = pass.caches[static_cast<std::size_t>(segment.sequence)];
    const index position = cache.tokens();
    planish::Status status = cache.append(key.middle_rows(row, segment.rows), value.middle_rows(row, segment.rows));
    if (status.ok())
      status = cache.attend(query.middle_rows(row, segment.rows), position, scale,
                            attended.middle_rows(row, segment.rows), Workspace(workspace), executor);
    return status;
  };

  const auto count = static_cast<int>(pass.segments.size());
  const KvCache& any = pass.caches.front();
  if (count == 1) {
    const std::size_t bytes = any.workspace_size(query.rows(), config_.heads, pass.executor.workers());
    require(one(pass.segments.front(), 0, pass.scratch->workspace.span(bytes), pass.executor), "attention");
    return;
  }
  std::vector<index> first_rows;
  index row = 0, longest = 0;
  for (const Segment& segment : pass.segments) {
    first_rows.push_back(row);
    row += segment.rows;
    longest = std::max(longest, segment.rows);
  }
  const std::size_t each =
      planish::workspace_bytes<std::byte>(static_cast<index>(any.workspace_size(longest, config_.heads, 1)));
  const auto workspace = pass.scratch->workspace.span(each * static_cast<std::size_t>(pass.executor.workers()));
  std::vector<planish::Status> statuses(pass.segments.size());
  pass.executor.run(count, [&](int task, int worker) {
    const auto i = static_cast<std::size_t>(task);
    statuses[i] = one(pass.segments[i], first_rows[i], workspace.subspan(each * static_cast<std::size_t>(worker), each),
                      ExecutorReference{});
  });
  for (const planish::Status& status : statuses) require(status, "attention");
}

void Block::show(SiteKind kind, MatrixView<const float> x, const BlockPass& pass) { pass.observer->see(kind, x); }

template <planish::ProducedRows P>
void Block::show(SiteKind kind, const P& produced, const BlockPass& pass) {
  const MatrixView<float> rows = pass.scratch->observed.view(produced.rows(), produced.columns());
  produced.fill(0, rows);
  pass.observer->see(kind, rows);
}

/// Shows the site's input to the observer, quantizes it once per distinct quantizer, and hands the input of each
/// matrix, in the order of Projection, to `consume` with what is left of the workspace.
template <class Input, class Consume>
void Block::prepare(SiteKind kind, const Input& x, const BlockPass& pass, Consume&& consume) const {
  if (pass.observer != nullptr) show(kind, x, pass);
  const AnySite& site = this->site(kind);
  const int workers = pass.executor.workers();
  std::size_t multiply_bytes = 0, matrices = 0;
  for (Projection p : projections) {
    if (site_of(p) != kind) continue;
    multiply_bytes = std::max(multiply_bytes, linear(p).workspace_size(x.rows(), workers));
    ++matrices;
  }
  Workspace workspace(pass.scratch->workspace.span(site.workspace_size(x.rows(), workers) + multiply_bytes));
  std::array<QuantizedInput, 3> in;
  {
    const Timed timed(pass.clock, Phase::transform);
    require(site.prepare(x, std::span(in).first(matrices), workspace, pass.executor), to_string(kind));
  }
  const Timed timed(pass.clock, Phase::product);
  consume(in.data(), workspace);
}

/// The products of one site in one fork-join.
void Block::multiply(std::initializer_list<planish::SiteProduct<planish::DefaultBackend>> products, Workspace workspace,
                     ExecutorReference executor) {
  require(planish::multiply_together(products, workspace, executor), "products");
}

std::size_t Block::size_bytes() const noexcept {
  std::size_t bytes =
      (attention_gain_.size() + mlp_gain_.size() + query_gain_.size() + key_gain_.size()) * sizeof(float);
  for (const AnyLinear& linear : linears_) bytes += linear.size_bytes();
  return bytes;
}

std::string Block::describe() const {
  std::string text;
  for (SiteKind kind : site_kinds) {
    text += "  " + std::string(to_string(kind)) + " input: " + std::string(site(kind).describe()) + "\n";
    for (Projection p : projections)
      if (site_of(p) == kind)
        text += "    " + std::string(name_of(p)) + ": " + std::string(linear(p).describe()) + "\n";
  }
  text += "  keys after RoPE: " + key_.describe() + ", " + std::to_string(cache_.key_bits) +
          " bits; values: " + std::to_string(cache_.value_bits) + " bits" +
          (cache_.integer_attention ? "; queries and probabilities: 8 bits\n" : "\n");
  return text;
}

}  // namespace llama
