#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Element types of the safetensors format.
enum class Dtype : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};

namespace detail {
struct DtypeFacts {
  std::string_view name;  // as files spell it
  int bytes;
};
inline constexpr std::array<DtypeFacts, 15> dtype_facts{{{"BOOL", 1},
                                                         {"U8", 1},
                                                         {"I8", 1},
                                                         {"F8_E5M2", 1},
                                                         {"F8_E4M3", 1},
                                                         {"I16", 2},
                                                         {"U16", 2},
                                                         {"F16", 2},
                                                         {"BF16", 2},
                                                         {"I32", 4},
                                                         {"U32", 4},
                                                         {"F32", 4},
                                                         {"F64", 8},
                                                         {"I64", 8},
                                                         {"U64", 8}}};
}  // namespace detail

/// Bytes of one element.
[[nodiscard]] constexpr int size_of(Dtype dtype) noexcept {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].bytes;
}

/// Name as files spell it: "F32".
[[nodiscard]] constexpr std::string_view name_of(Dtype dtype) noexcept {
  return detail::dtype_facts[static_cast<std::size_t>(dtype)].name;
}

/// The dtype of that name in `dtype`; false, and nothing changed, if there is none: sizes are never guessed.
[[nodiscard]] constexpr bool dtype_from_name(std::string_view name, Dtype& dtype) noexcept {
  for (std::size_t i = 0; i < detail::dtype_facts.size(); ++i)
    if (detail::dtype_facts[i].name == name) {
      dtype = static_cast<Dtype>(i);
      return true;
    }
  return false;
}

}  // namespace planish::inline PLANISH_ABI::io
