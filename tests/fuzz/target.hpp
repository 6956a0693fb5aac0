#pragma once
// What the fuzz targets share. A target is one file NAME_fuzz.cpp with LLVMFuzzerTestOneInput.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/status.hpp>
#include <planish/io/mapped_file.hpp>

namespace fuzz {

/// The input as a file in memory, called "input" in messages.
inline planish::io::MappedFile file_of(std::span<const std::uint8_t> input) {
  std::vector<std::byte> bytes(input.size());
  if (!input.empty()) std::memcpy(bytes.data(), input.data(), input.size());
  return planish::io::MappedFile::from_bytes(std::move(bytes), "input");
}

inline std::string_view text_of(std::span<const std::uint8_t> input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

/// Ends the run where something that must hold does not.
inline void require(bool holds) {
  if (!holds) std::abort();
}

/// A refusal is one sentence on one line.
inline void require_sentence(std::string_view message) {
  require(!message.empty() && message.size() < planish::Status::capacity);
  for (const char c : message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

}  // namespace fuzz
