#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// How the large products of a step are computed that are not of two quantized matrices, which are exact integers
/// anyway.
enum class Products : std::uint8_t {
  float32,
  /// Of operands rounded to 16 bits of significand, each a pair of bfloat16, on the matrix tiles of AMX-BF16: some
  /// three times as fast where there are such tiles, and an error elsewhere. The host calls enable_amx() before.
  split_bfloat16,
  /// Those of gradients and quantized matrices: a gradient's rows are rounded to 16 bits, by the largest of each run
  /// of up to 512 terms, and multiply codes in integers. The same bits everywhere; faster where there are
  /// instructions for pairs of 16 bits. The others in float32.
  int16,
  /// The same with 8 bits, by the integer products that run behind a model: faster where there are dot products of
  /// bytes. A step's gradients are worth two digits.
  int8,
};

}  // namespace planish::inline PLANISH_ABI::calibration::tape
