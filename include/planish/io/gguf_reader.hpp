#pragma once
// Layout of a GGUF v3 file: "GGUF", u32 version, u64 tensors, u64 keys; the keys with their values; the tensors' names,
// shapes and places; padding; data. All of it is walked and checked once, before anything is used.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/result.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/gguf_blocks.hpp>
#include <planish/io/gguf_header.hpp>
#include <planish/io/gguf_places.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io {

namespace detail {

inline constexpr std::uint64_t most_gguf_key = 65535;  // bytes
inline constexpr std::uint64_t most_gguf_name = 64;    // bytes
inline constexpr std::uint32_t most_gguf_extents = 4;

// What one of each takes while a file is read, short texts and the tables beside them included; bytes.
inline constexpr std::uint64_t gguf_value_memory = sizeof(GgufValue) + 32;
inline constexpr std::uint64_t gguf_tensor_memory = sizeof(GgufTensor) + 192;

/// Walks the bytes of a file; every read says whether there was enough.
class GgufCursor {
 public:
  explicit GgufCursor(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return bytes_.size() - position_; }

  template <class T>
  [[nodiscard]] bool read(T& value) noexcept {
    if (left() < sizeof(T)) return false;
    value = load<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return true;
  }

  [[nodiscard]] bool read_bytes(std::uint64_t size, std::span<const std::byte>& out) noexcept {
    if (left() < size) return false;
    out = bytes_.subspan(static_cast<std::size_t>(position_), static_cast<std::size_t>(size));
    position_ += size;
    return true;
  }

  [[nodiscard]] bool read_string(std::string_view& out) noexcept {
    std::uint64_t size = 0;
    std::span<const std::byte> text;
    if (!read(size) || !read_bytes(size, text)) return false;
    out = {reinterpret_cast<const char*>(text.data()), text.size()};
    return true;
  }

  /// `count` items of a type that is no array. A count that cannot fit is refused before the items are walked.
  [[nodiscard]] bool read_items(GgufValueType type, std::uint64_t count, std::span<const std::byte>& out) noexcept {
    std::uint64_t size = 0;
    const int item_bytes = size_of(type);
    if (item_bytes > 0)
      return multiply_sizes(count, static_cast<std::uint64_t>(item_bytes), size) && read_bytes(size, out);
    if (count > left() / 8) return false;  // a string has at least its length
    const std::uint64_t start = position_;
    std::string_view text;
    for (std::uint64_t i = 0; i < count; ++i)
      if (!read_string(text)) return false;
    out = bytes_.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(position_ - start));
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t position_ = 0;
};

template <class... Parts>
[[nodiscard]] Status gguf_error(std::string_view path, const Parts&... parts) {
  return file_error(ErrorCode::malformed, path, parts...);
}

inline Status read_gguf_value(std::string_view path, GgufCursor& cursor, GgufValue& value) {
  std::string_view key;
  std::uint32_t type = 0, item = 0;
  if (!cursor.read_string(key) || !cursor.read(type))
    return gguf_error(path, "the file ends inside its metadata, at byte ", cursor.position());
  if (key.size() > most_gguf_key) return gguf_error(path, "a metadata key has ", key.size(), " bytes");
  value.key = key;
  const std::string name = shown(key, 80);
  const std::string_view shown_key = name;
  if (type > static_cast<std::uint32_t>(GgufValueType::f64))
    return gguf_error(path, "metadata '", shown_key, "': unknown type ", type);
  value.type = value.item = static_cast<GgufValueType>(type);
  if (value.type == GgufValueType::array) {
    if (!cursor.read(item) || !cursor.read(value.count))
      return gguf_error(path, "metadata '", shown_key, "': the file ends inside it");
    if (item > static_cast<std::uint32_t>(GgufValueType::f64))
      return gguf_error(path, "metadata '", shown_key, "': array of unknown type ", item);
    value.item = static_cast<GgufValueType>(item);
    if (value.item == GgufValueType::array)
      return file_error(ErrorCode::unsupported, path, "metadata '", shown_key, "': an array of arrays is not read");
  }
  if (!cursor.read_items(value.item, value.count, value.bytes))
    return gguf_error(path, "metadata '", shown_key, "': ", value.count, " x ", name_of(value.item),
                      " do not fit the file");
  if (value.item == GgufValueType::boolean)
    for (std::byte flag : value.bytes)
      if (std::to_integer<int>(flag) > 1)
        return gguf_error(path, "metadata '", shown_key, "': a bool is neither 0 nor 1");
  return {};
}

/// Reads what a file says of one tensor; `offset` counts from the start of the data.
inline Status read_gguf_tensor(std::string_view path, GgufCursor& cursor, GgufTensor& tensor, std::uint64_t& offset,
                               std::uint64_t& size) {
  std::string_view name;
  std::uint32_t extents = 0, type = 0;
  if (!cursor.read_string(name)) return gguf_error(path, "the file ends inside its list of tensors");
  if (name.size() > most_gguf_name)
    return tensor_error(ErrorCode::malformed, path, name, "the name has ", name.size(), " bytes, at most ",
                        most_gguf_name, " are allowed");
  tensor.name = name;
  const auto refuse = [&](const auto&... parts) { return tensor_error(ErrorCode::malformed, path, name, parts...); };
  if (!cursor.read(extents)) return refuse("the file ends inside its description");
  if (extents > most_gguf_extents)
    return refuse("has ", extents, " extents, at most ", most_gguf_extents, " are allowed");
  tensor.shape.resize(extents);
  for (std::uint32_t i = 0; i < extents; ++i) {
    std::uint64_t extent = 0;
    if (!cursor.read(extent)) return refuse("the file ends inside its description");
    if (extent > most_size) return refuse("extent ", extent, " is too large");
    tensor.shape[extents - 1 - i] = static_cast<index>(extent);
  }
  if (!cursor.read(type) || !cursor.read(offset)) return refuse("the file ends inside its description");
  const GgufLayout* layout = gguf_layout(type);
  if (layout == nullptr) {
    const std::string_view known = name_of_unread_type(type);
    if (known.empty())
      return tensor_error(ErrorCode::unsupported, path, name, "unknown or private type ", type, "; ", dequantized_types,
                          " are read");
    return tensor_error(ErrorCode::unsupported, path, name, "type ", known, " (", type, ") is not read; ",
                        dequantized_types, " are");
  }
  tensor.layout = *layout;
  if (tensor.columns() % layout->values != 0)
    return refuse("rows of ", tensor.columns(), " values are no whole number of ", layout->name, " blocks of ",
                  layout->values);
  if (!count_elements(tensor.shape, size) || !multiply_sizes(size / static_cast<std::uint64_t>(layout->values),
                                                             static_cast<std::uint64_t>(layout->bytes), size))
    return refuse("size of the shape overflows");
  return {};
}

/// Sorted copies of the names; false with a name that comes twice.
template <class Items, class Name>
[[nodiscard]] bool all_names_differ(const Items& items, Name name, std::string& twice) {
  std::vector<std::string_view> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(name(item));
  std::sort(names.begin(), names.end());
  const auto found = std::adjacent_find(names.begin(), names.end());
  if (found != names.end()) twice = shown(*found, 80);
  return found == names.end();
}

}  // namespace detail

/// Reads and checks everything before the data of a whole file in memory. Errors: malformed, unsupported.
[[nodiscard]] inline Result<GgufHeader> read_gguf_header(std::string_view path,
                                                         std::span<const std::byte> file) noexcept {
  return detail::guarded(path, [&]() -> Result<GgufHeader> {
    using detail::gguf_error;
    detail::GgufCursor cursor(file);
    GgufHeader header;
    std::uint32_t magic = 0;
    std::uint64_t tensors = 0, values = 0;
    if (!cursor.read(magic) || magic != 0x46554747u)
      return gguf_error(path, "not a GGUF file: it does not begin with GGUF");
    if (!cursor.read(header.version) || !cursor.read(tensors) || !cursor.read(values))
      return gguf_error(path, "the file ends inside its first 24 bytes");
    if (header.version != 3)
      return detail::file_error(ErrorCode::unsupported, path, "GGUF version ", header.version,
                                header.version == 0x03000000u ? " (big-endian)" : "", "; version 3 is read");
    if (values > cursor.left() / 13 || tensors > cursor.left() / 24)  // the least that one of each takes
      return gguf_error(path, "claims ", tensors, " tensors and ", values, " metadata keys in ", file.size(), " bytes");

    if (!detail::tables_fit(values, detail::gguf_value_memory, file.size()) ||
        !detail::tables_fit(tensors, detail::gguf_tensor_memory, file.size()))
      return gguf_error(path, "lists ", tensors, " tensors and ", values, " metadata keys, too many for a file of ",
                        file.size(), " bytes");
    header.values.reserve(static_cast<std::size_t>(values));
    header.tensors.reserve(static_cast<std::size_t>(tensors));

    std::string twice;
    for (std::uint64_t i = 0; i < values; ++i)
      if (Status status = detail::read_gguf_value(path, cursor, header.values.emplace_back()); !status.ok())
        return status;
    if (!detail::all_names_differ(
            header.values, [](const GgufValue& v) -> std::string_view { return v.key; }, twice))
      return gguf_error(path, "metadata '", std::string_view(twice), "' comes twice");
    for (const auto& value : header.values) {
      if (value.key != "general.alignment") continue;
      if (value.type != GgufValueType::u32) return gguf_error(path, "metadata 'general.alignment' is not a u32");
      header.alignment = detail::load<std::uint32_t>(value.bytes.data());
      if (!std::has_single_bit(header.alignment))
        return gguf_error(path, "metadata 'general.alignment': ", header.alignment, " is not a power of two");
    }

    std::vector<detail::GgufPlace> places;
    places.reserve(static_cast<std::size_t>(tensors));
    for (std::uint64_t i = 0; i < tensors; ++i) {
      auto& place = places.emplace_back(detail::GgufPlace{0, 0, header.tensors.size()});
      auto& tensor = header.tensors.emplace_back();
      if (Status status = detail::read_gguf_tensor(path, cursor, tensor, place.offset, place.size); !status.ok())
        return status;
      if (place.offset % header.alignment != 0)
        return detail::tensor_error(ErrorCode::malformed, path, tensor.name, "offset ", place.offset,
                                    " is not a multiple of the alignment ", header.alignment);
    }
    if (!detail::all_names_differ(
            header.tensors, [](const GgufTensor& t) -> std::string_view { return t.name; }, twice))
      return detail::tensor_error(ErrorCode::malformed, path, twice, "comes twice");

    const std::uint64_t start = round_up(cursor.position(), header.alignment);
    const auto data = file.subspan(static_cast<std::size_t>(std::min<std::uint64_t>(start, file.size())));
    if (Status status = detail::place_gguf_tensors(path, data, header.alignment, places, header.tensors); !status.ok())
      return status;
    return header;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
