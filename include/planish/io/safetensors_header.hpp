#pragma once
// Layout of a safetensors file: u64 N, N bytes of JSON, data. Offsets in the JSON count from the byte after it.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/message.hpp>
#include <planish/io/tensor.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Longest header that readers of the format accept.
inline constexpr std::uint64_t most_safetensors_header = 100'000'000;  // bytes

/// String to string, from the entry `__metadata__`; readers sort it by key.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// Everything a header says; the tensors lie one behind the other in this order and fill the data without a gap.
struct SafetensorsHeader {
  std::vector<Tensor> tensors;
  Metadata metadata;
};

namespace detail {

/// What a reader says of a header that lists more than the file can back.
inline constexpr const char* too_many_entries = "too many entries for a file of this size";

struct SafetensorsEntry {
  Tensor tensor;
  std::string dtype_name;
  std::uint64_t begin = 0, end = 0;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

inline void read_safetensors_entry(JsonReader& json, SafetensorsEntry& entry) {
  json.object([&](const std::string& key) {
    if (key == "dtype") {
      entry.has_dtype = json.string(entry.dtype_name);
    } else if (key == "shape") {
      entry.has_shape = json.array([&] {
        std::uint64_t extent = 0;
        if (!json.integer(extent)) return;
        if (extent > most_size)
          json.fail("extent is too large");
        else
          entry.tensor.shape.push_back(static_cast<index>(extent));
      });
    } else if (key == "data_offsets") {
      int count = 0;
      json.array([&] {
        if (json.integer(count == 0 ? entry.begin : entry.end)) ++count;
        if (count > 2) json.fail("data_offsets has more than two numbers");
      });
      if (!json.failed() && count != 2) json.fail("data_offsets has fewer than two numbers");
      entry.has_offsets = true;
    } else {
      json.skip();
    }
  });
}

/// Checks one entry by itself and gives its tensor the bytes.
inline Status place_safetensors_entry(std::string_view path, std::span<const std::byte> data, SafetensorsEntry& entry) {
  Tensor& tensor = entry.tensor;
  const auto refuse = [&](const auto&... parts) {
    return tensor_error(ErrorCode::malformed, path, tensor.name, parts...);
  };
  if (!entry.has_dtype) return refuse("has no dtype");
  if (!entry.has_shape) return refuse("has no shape");
  if (!entry.has_offsets) return refuse("has no data_offsets");
  if (!dtype_from_name(entry.dtype_name, tensor.dtype))
    return tensor_error(ErrorCode::unsupported, path, tensor.name, "unknown dtype '",
                        std::string_view(shown(entry.dtype_name, 40)), "'");
  std::uint64_t bytes = 0;
  if (!count_elements(tensor.shape, bytes) ||
      !multiply_sizes(bytes, static_cast<std::uint64_t>(size_of(tensor.dtype)), bytes))
    return refuse("size of the shape overflows");
  if (entry.begin > entry.end) return refuse("data_offsets [", entry.begin, ", ", entry.end, ") are reversed");
  if (entry.end > data.size())
    return refuse("ends at data byte ", entry.end, ", but the file has only ", data.size(), " bytes of data");
  if (entry.end - entry.begin != bytes)
    return refuse("shape and dtype need ", bytes, " bytes, data_offsets give ", entry.end - entry.begin);
  tensor.bytes = data.subspan(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(bytes));
  return {};
}

}  // namespace detail

/// Reads and checks the header of a whole file in memory: every offset is inside, and the ranges neither overlap nor
/// leave holes. Errors: malformed, unsupported (dtype).
[[nodiscard]] inline Result<SafetensorsHeader> read_safetensors_header(std::string_view path,
                                                                       std::span<const std::byte> file) noexcept {
  return detail::guarded(path, [&]() -> Result<SafetensorsHeader> {
    const auto refuse = [&](const auto&... parts) { return detail::file_error(ErrorCode::malformed, path, parts...); };
    if (file.size() < 8) return refuse("not a safetensors file: only ", file.size(), " bytes");
    const auto size = detail::load<std::uint64_t>(file.data());
    if (size > most_safetensors_header)
      return refuse("not a safetensors file: its header would have ", size, " bytes, more than the ",
                    most_safetensors_header, " allowed");
    if (size > file.size() - 8)
      return refuse("the header has ", size, " bytes, but the file ends after ", file.size() - 8, " of them");
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, static_cast<std::size_t>(size));
    if (text.empty() || text.front() != '{') return refuse("not a safetensors file: the header is no JSON object");
    const auto data = file.subspan(8 + static_cast<std::size_t>(size));

    SafetensorsHeader header;
    std::vector<detail::SafetensorsEntry> entries;
    JsonReader json(text);
    // While tables grow, the old and the new one are there; each entry also has its key and its place.
    const auto fits = [&](std::size_t count, std::size_t entry) {
      return detail::tables_fit(count + 1, 3 * entry + 5 * sizeof(std::string), data.size()) ||
             json.fail(detail::too_many_entries);
    };
    json.object([&](const std::string& name) {
      if (name == "__metadata__") {
        json.object([&](const std::string& key) {
          if (!fits(header.metadata.size(), sizeof(Metadata::value_type))) return;
          std::string value;
          if (json.string(value)) header.metadata.emplace_back(key, std::move(value));
        });
        return;
      }
      if (!fits(entries.size(), sizeof(detail::SafetensorsEntry))) return;
      entries.emplace_back().tensor.name = name;
      detail::read_safetensors_entry(json, entries.back());
    });
    if (!json.finish()) return json.status(path);
    std::sort(header.metadata.begin(), header.metadata.end());

    for (auto& entry : entries)
      if (Status status = detail::place_safetensors_entry(path, data, entry); !status.ok()) return status;
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
    });
    std::uint64_t position = 0;
    header.tensors.reserve(entries.size());
    for (auto& entry : entries) {
      if (entry.begin != position)
        return detail::tensor_error(ErrorCode::malformed, path, entry.tensor.name, "begins at data byte ", entry.begin,
                                    entry.begin < position ? ", inside the tensor before it (which ends at "
                                                           : ", leaving a hole (the tensor before it ends at ",
                                    position, ")");
      position = entry.end;
      header.tensors.push_back(std::move(entry.tensor));
    }
    if (position != data.size())
      return refuse("the tensors end at data byte ", position, ", but the file has ", data.size(), " bytes of data");
    return header;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
