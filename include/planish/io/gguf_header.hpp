#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/io/gguf_types.hpp>

namespace planish::inline PLANISH_ABI::io {

/// A metadata value where it lies in the file.
struct GgufValue {
  std::string key;
  GgufValueType type = GgufValueType::u8;
  GgufValueType item = GgufValueType::u8;  // of an array; never array
  std::uint64_t count = 1;                 // items of an array, else 1
  std::span<const std::byte> bytes;        // the value, or the items one after the other
};

/// A tensor where it lies in the file. Shapes are told slow to fast, the reverse of the file's order.
struct GgufTensor {
  std::string name;
  GgufLayout layout{};
  std::vector<index> shape;  // the last extent is contiguous; empty: one value
  std::span<const std::byte> bytes;

  [[nodiscard]] GgufType type() const noexcept { return layout.type; }
  [[nodiscard]] index columns() const noexcept { return shape.empty() ? 1 : shape.back(); }
  [[nodiscard]] index rows() const noexcept {
    index rows = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
  [[nodiscard]] index elements() const noexcept { return rows() * columns(); }
  [[nodiscard]] index row_bytes() const noexcept { return columns() / layout.values * layout.bytes; }
};

/// Everything before the data.
struct GgufHeader {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;  // bytes
  std::vector<GgufValue> values;
  std::vector<GgufTensor> tensors;
};

}  // namespace planish::inline PLANISH_ABI::io
