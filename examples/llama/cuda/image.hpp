#pragma once
// A model as plain values, between the units that hold it for the CPU and those that the CUDA compiler makes: nothing
// of planish but what crosses between instruction sets.
#include <cstdint>
#include <string>
#include <vector>

namespace llama::gpu {

/// One step of a transform of rows: x ← ((x − offset) ⊙ scale) · (L ⊗ R) · factor.
struct StepImage {
  std::vector<float> offset = {}, scale = {};  // of every channel; empty: 0 and 1
  int n1 = 0, n2 = 0;                          // of the factors; 0: there are none
  std::vector<float> left = {}, right = {};    // n1 × n1 and n2 × n2, row-major; empty: the identity
  float factor = 1.0f;

  [[nodiscard]] bool is_kronecker() const noexcept { return n1 != 0; }
};

/// How rows become codes; 16 bits: they stay float32.
struct QuantizerImage {
  int bits = 16;
  bool asymmetric = false;
  float positive_clip = 1.0f, negative_clip = 1.0f;
  float static_scale = 0.0f;  // 0: of each row
  int static_zero_point = 0;

  friend bool operator==(const QuantizerImage&, const QuantizerImage&) = default;
};

/// What an input meets before matrices read it.
struct SiteImage {
  int channels = 0;
  std::vector<StepImage> steps = {};
  std::vector<QuantizerImage> quantizers = {};  // each distinct one once
  std::vector<int> input_of = {};               // matrix → its quantizer
};

/// A matrix: canonical codes, or float32.
struct LinearImage {
  std::string name = {};  // for messages
  int rows = 0, columns = 0;
  int bits = 16;  // of the codes; 16: weights
  bool asymmetric = false;
  int group_columns = 0;                 // that share a scale
  std::vector<std::uint8_t> codes = {};  // rows × columns
  std::vector<float> scales = {};        // rows × groups
  std::vector<std::uint8_t> zeros = {};  // rows × groups, or empty
  std::vector<float> weights = {};       // rows × columns, without codes
  std::vector<float> bias = {};          // rows, or empty
  bool reads_codes = false;              // its input has codes
};

/// Everything that one block computes with; sites and matrices in the order that data meets them.
struct LayerImage {
  std::vector<float> attention_gain = {}, mlp_gain = {};
  std::vector<float> query_gain = {}, key_gain = {};               // of a head, or empty
  SiteImage sites[4] = {};                                         // attention, output, mlp, down
  LinearImage linears[7] = {};                                     // q, k, v, o, gate, up, down
  std::vector<StepImage> key = {}, query = {};                     // of every head, after RoPE
  int key_bits = 16, value_bits = 16;                              // both 16, or both fewer
  float key_clip[2] = {1.0f, 1.0f}, value_clip[2] = {1.0f, 1.0f};  // positive, negative
};

/// What is around the blocks.
struct FrameImage {
  int hidden_size = 0, ffn_size = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0;
  float norm_epsilon = 0.0f;
  bool interleaved = false;              // RoPE turns neighbours, not halves
  std::vector<double> frequencies = {};  // radians per position, one per pair that turns
  std::vector<float> norm_gain = {};
  std::vector<float> embedding = {};  // vocabulary × hidden size
  SiteImage head_site = {};
  LinearImage head = {};
};

}  // namespace llama::gpu
