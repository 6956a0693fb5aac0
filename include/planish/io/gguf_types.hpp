#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Types of metadata values, numbered as files number them.
enum class GgufValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Bytes of one value; 0 for strings and arrays, whose size the file tells.
[[nodiscard]] constexpr int size_of(GgufValueType type) noexcept {
  constexpr std::array<int, 13> bytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return bytes[static_cast<std::size_t>(type)];
}

/// The type as messages spell it.
[[nodiscard]] constexpr std::string_view name_of(GgufValueType type) noexcept {
  constexpr std::array<std::string_view, 13> names{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                   "bool", "string", "array", "u64", "i64", "f64"};
  return names[static_cast<std::size_t>(type)];
}

/// Types of tensors, numbered as files number them: those whose layout is known here. Whose values are read,
/// `can_dequantize` tells (gguf_blocks.hpp).
enum class GgufType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q8_0 = 8,
  bf16 = 30,
  q5_0 = 6,
  q5_1 = 7,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
};

/// How a type lies in memory: runs of `values` values in `bytes` bytes.
struct GgufLayout {
  GgufType type;
  std::string_view name;
  index values;
  index bytes;
};

inline constexpr std::array<GgufLayout, 20> gguf_layouts{{
    {GgufType::f32, "F32", 1, 4},       {GgufType::f16, "F16", 1, 2},       {GgufType::bf16, "BF16", 1, 2},
    {GgufType::q4_0, "Q4_0", 32, 18},   {GgufType::q4_1, "Q4_1", 32, 20},   {GgufType::q8_0, "Q8_0", 32, 34},
    {GgufType::q5_0, "Q5_0", 32, 22},   {GgufType::q5_1, "Q5_1", 32, 24},   {GgufType::q8_1, "Q8_1", 32, 36},
    {GgufType::q2_k, "Q2_K", 256, 84},  {GgufType::q3_k, "Q3_K", 256, 110}, {GgufType::q4_k, "Q4_K", 256, 144},
    {GgufType::q5_k, "Q5_K", 256, 176}, {GgufType::q6_k, "Q6_K", 256, 210}, {GgufType::q8_k, "Q8_K", 256, 292},
    {GgufType::i8, "I8", 1, 1},         {GgufType::i16, "I16", 1, 2},       {GgufType::i32, "I32", 1, 4},
    {GgufType::i64, "I64", 1, 8},       {GgufType::f64, "F64", 1, 8},
}};

/// Layout of the type with that number, or nullptr: unknown and private types have none.
[[nodiscard]] constexpr const GgufLayout* gguf_layout(std::uint32_t number) noexcept {
  for (const auto& layout : gguf_layouts)
    if (static_cast<std::uint32_t>(layout.type) == number) return &layout;
  return nullptr;
}

/// Name of a type whose layout is not known here, for messages; empty for unknown and private numbers.
[[nodiscard]] constexpr std::string_view name_of_unread_type(std::uint32_t number) noexcept {
  constexpr struct {
    std::uint32_t number;
    std::string_view name;
  } names[] = {{16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"},
               {22, "IQ2_S"},   {23, "IQ4_XS"}, {29, "IQ1_M"},   {34, "TQ1_0"}, {35, "TQ2_0"},  {39, "MXFP4"}};
  for (const auto& type : names)
    if (type.number == number) return type.name;
  return {};
}

}  // namespace planish::inline PLANISH_ABI::io
