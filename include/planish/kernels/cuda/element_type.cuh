#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What the elements of a caller's buffer are; `int32` only for accumulators.
enum class ElementType : std::uint8_t { float32, bfloat16, half, int32 };

[[nodiscard]] PLANISH_HOST_DEVICE constexpr int element_bytes(ElementType type) noexcept {
  return type == ElementType::float32 || type == ElementType::int32 ? 4 : 2;
}

[[nodiscard]] constexpr const char* element_name(ElementType type) noexcept {
  return type == ElementType::float32    ? "float32"
         : type == ElementType::bfloat16 ? "bfloat16"
         : type == ElementType::half     ? "half"
                                         : "int32";
}

/// Element `at` of a float buffer, widened.
[[nodiscard]] PLANISH_HOST_DEVICE inline float load_element(const void* data, ElementType type,
                                                            std::int64_t at) noexcept {
  if (type == ElementType::bfloat16) return static_cast<const BFloat16*>(data)[at].to_float();
  if (type == ElementType::half) return static_cast<const Half*>(data)[at].to_float();
  return static_cast<const float*>(data)[at];
}

/// Stores a value rounded to nearest even.
PLANISH_HOST_DEVICE inline void store_element(void* data, ElementType type, std::int64_t at, float value) noexcept {
  if (type == ElementType::bfloat16)
    static_cast<BFloat16*>(data)[at] = BFloat16::from_float(value);
  else if (type == ElementType::half)
    static_cast<Half*>(data)[at] = Half::from_float(value);
  else
    static_cast<float*>(data)[at] = value;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
