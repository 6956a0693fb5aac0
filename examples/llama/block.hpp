#pragma once
#include <array>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include <planish/kv_cache/kv_cache.hpp>
#include <planish/linear/any_linear.hpp>
#include <planish/linear/any_site.hpp>
#include <planish/linear/multiply_together.hpp>
#include <planish/packing/codes.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/row_quantizer.hpp>

#include "config.hpp"
#include "phase_clock.hpp"
#include "rope.hpp"
#include "rows.hpp"
#include "segment.hpp"
#include "site.hpp"

namespace llama {

/// A matrix as it is stored: codes, an image of packed codes in a file that stays open, or floats that stay floats.
struct LinearParameters {
  std::optional<planish::Codes> codes;
  std::optional<planish::PackedWeightsView> packed;  // instead of codes
  std::vector<float> weights;                        // out × in, used without codes
  std::vector<float> bias;                           // out, or empty
};

/// What a site does to its input before its matrices read it: one quantizer for all of them, or one for each in the
/// order of Projection. 16 bits: stays float.
struct SiteParameters {
  planish::AnyTransform online;
  std::vector<planish::RowQuantizer> quantizers{{.bits = 16}};
};

/// Bits and clips of the cached keys and values, and what attends to them.
struct CacheParameters {
  int key_bits = 16, value_bits = 16;
  planish::ClipPair key_clip{}, value_clip{};
  bool integer_attention = false;  // q8p8
};

/// Everything that one transformer block computes with: plain values that can be saved.
struct BlockParameters {
  std::vector<float> attention_gain, mlp_gain;  // RMSNorm gains, absorbed scales included
  std::vector<float> query_gain, key_gain;      // of every head's RMSNorm before RoPE; empty: none
  std::array<SiteParameters, site_kinds.size()> sites;
  std::array<LinearParameters, projections.size()> linears;
  planish::AnyTransform key, query;  // of each head, after RoPE; the query's is the dual of the key's
  CacheParameters cache;
};

/// Buffers that blocks share, because only one runs at a time.
struct BlockScratch {
  FloatRows observed, query, key, value, turned_query, turned_key, attended, gate, up;
  ScratchBytes workspace;
};

/// What a block runs on and with.
struct BlockPass {
  std::span<const Segment> segments;   // cover the rows of x in order
  std::span<planish::KvCache> caches;  // of this layer, by sequence
  const Rope* rope = nullptr;
  BlockScratch* scratch = nullptr;
  ExecutorReference executor{};
  SiteObserver* observer = nullptr;
  PhaseClock* clock = nullptr;
};

/// One pre-norm transformer block: attention with grouped queries, then SwiGLU; every matrix product quantized the way
/// its parameters say.
class Block {
 public:
  /// Packs the matrices. Throws Error. `where` names the block in messages.
  Block(const Config& config, BlockParameters parameters, planish::SiteMode mode, const std::string& where);

  /// x ← x + attention(norm(x)), then x ← x + mlp(norm(x)); x is tokens × hidden size. Appends the rows' keys and
  /// values to the caches and attends to the caches, so that prefill and decode see the same, quantized numbers.
  void forward(MatrixView<float> x, const BlockPass& pass) const;

  /// An empty cache for one sequence.
  [[nodiscard]] planish::KvCache make_cache(index capacity) const;

  [[nodiscard]] const planish::AnySite& site(SiteKind kind) const { return sites_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] const planish::AnyLinear& linear(Projection p) const { return linears_[static_cast<std::size_t>(p)]; }
  [[nodiscard]] std::span<const float> attention_gain() const noexcept { return attention_gain_; }
  [[nodiscard]] std::span<const float> mlp_gain() const noexcept { return mlp_gain_; }
  [[nodiscard]] std::span<const float> query_gain() const noexcept { return query_gain_; }
  [[nodiscard]] std::span<const float> key_gain() const noexcept { return key_gain_; }
  [[nodiscard]] const planish::AnyTransform& key_transform() const noexcept { return key_; }
  [[nodiscard]] const planish::AnyTransform& query_transform() const noexcept { return query_; }
  [[nodiscard]] const CacheParameters& cache() const noexcept { return cache_; }

  /// Bytes of packed weights, scales, biases and gains.
  [[nodiscard]] std::size_t size_bytes() const noexcept;

  /// One line per site and matrix: what runs, and why.
  [[nodiscard]] std::string describe() const;

 private:
  void attend(MatrixView<float> x, const BlockPass& pass) const;
  void feed_forward(MatrixView<float> x, const BlockPass& pass) const;
  void attend_to_caches(MatrixView<const float> query, MatrixView<const float> key, MatrixView<const float> value,
                        MatrixView<float> attended, const BlockPass& pass) const;
  void rotate(MatrixView<float> query, MatrixView<float> key, const BlockPass& pass) const;
  static void show(SiteKind kind, MatrixView<const float> x, const BlockPass& pass);
  template <planish::ProducedRows P>
  static void show(SiteKind kind, const P& produced, const BlockPass& pass);
  template <class Input, class Consume>
  void prepare(SiteKind kind, const Input& x, const BlockPass& pass, Consume&& consume) const;
  static void multiply(std::initializer_list<planish::SiteProduct<planish::DefaultBackend>> products,
                       planish::Workspace workspace, ExecutorReference executor);

  Config config_;
  std::vector<float> attention_gain_, mlp_gain_;
  std::vector<float> query_gain_, key_gain_;  // of a head, or empty
  std::vector<planish::AnySite> sites_;       // by SiteKind
  std::vector<planish::AnyLinear> linears_;   // by Projection
  planish::AnyTransform key_, query_;
  CacheParameters cache_;
  planish::AttentionPrecision attention_precision_;
};

}  // namespace llama
