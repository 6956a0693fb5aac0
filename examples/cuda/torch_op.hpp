#pragma once
// What torch_op.cpp, which knows PyTorch, and torch_op.cu, which knows planish, have in common: each compiles without
// the other's headers. Functions throw std::invalid_argument with planish's sentence.
#include <cstdint>

namespace fused {

/// y = codes(x · (L ⊗ R)) · Wᵀ + bias; pointers of device memory but where said.
struct Call {
  const void* x = nullptr;  // bfloat16, rows × (n1 · n2)
  int rows = 0, n1 = 0, n2 = 0;
  const std::int16_t *left = nullptr, *right = nullptr, *panels = nullptr;  // as `pack_factors` made them
  const std::uint8_t* units = nullptr;                                      // as `pack_weights` made them
  const float* scales = nullptr;
  const std::int32_t* sums = nullptr;
  int channels = 0, weight_bits = 4, bits = 4;  // of the weights; of the activations
  const float* bias = nullptr;                  // null: none
  void* y = nullptr;                            // bfloat16, rows × channels
  std::int8_t* codes = nullptr;                 // room: rows × (n1 · n2)
  float* token_scales = nullptr;                // room: rows
  void* workspace = nullptr;                    // zeroed
  void* stream = nullptr;                       // cudaStream_t
};

/// Bytes of workspace that a call wants; its pointers are not looked at.
std::int64_t workspace_bytes(const Call& call);
/// Two launches.
void run(const Call& call);

/// Elements of packed weights: bytes of units, and scales or sums. Of packed factors: the left and the right one, and
/// both as panels.
std::int64_t unit_bytes(int channels, int columns, int bits);
std::int64_t side_count(int channels, int columns, int bits);
std::int64_t left_size(int n1);
std::int64_t right_size(int n2);
std::int64_t panels_size(int n1, int n2);

/// Symmetric codes (channels × columns) with a scale per channel, and square float32 factors, laid out in host memory.
void pack_weights(const std::int8_t* codes, const float* scales, int channels, int columns, int bits,
                  std::uint8_t* units, float* unit_scales, std::int32_t* sums);
void pack_factors(const float* left, int n1, const float* right, int n2, std::int16_t* lefts, std::int16_t* rights,
                  std::int16_t* panels);

}  // namespace fused
