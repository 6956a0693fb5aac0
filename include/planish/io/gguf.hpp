#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/finite.hpp>
#include <planish/io/gguf_blocks.hpp>
#include <planish/io/gguf_codes.hpp>
#include <planish/io/gguf_reader.hpp>
#include <planish/io/gguf_types.hpp>
#include <planish/io/mapped_file.hpp>
#include <planish/io/message.hpp>
#include <planish/io/tensor.hpp>

namespace planish::inline PLANISH_ABI::io {

/// A GGUF v3 file, mapped and checked. Tensors and values point into it and are valid while it lives.
class GgufFile {
 public:
  /// Errors: io, malformed, unsupported; each names the file and, where there is one, the tensor or key.
  static Result<GgufFile> open(const std::string& path) noexcept {
    auto file = MappedFile::open(path);
    if (!file) return file.status();
    return from(*std::move(file));
  }

  /// Reads a file whose bytes are there already.
  static Result<GgufFile> from(MappedFile file) noexcept {
    auto header = read_gguf_header(file.path(), file.bytes());
    if (!header) return header.status();
    return detail::guarded(file.path(), [&]() -> Result<GgufFile> {
      GgufFile result;
      result.header_ = *std::move(header);
      std::sort(result.header_.values.begin(), result.header_.values.end(),
                [](const GgufValue& a, const GgufValue& b) { return a.key < b.key; });
      const auto& tensors = result.header_.tensors;
      result.by_name_.resize(tensors.size());
      std::iota(result.by_name_.begin(), result.by_name_.end(), std::size_t{0});
      std::sort(result.by_name_.begin(), result.by_name_.end(),
                [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
      result.file_ = std::move(file);
      return result;
    });
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Gives back the memory that reading tensors has taken; see MappedFile::release.
  void release() const noexcept { file_.release(); }

  /// All tensors, in the order of the file.
  [[nodiscard]] std::span<const GgufTensor> tensors() const noexcept { return header_.tensors; }

  /// Tensor of that name, or nullptr.
  [[nodiscard]] const GgufTensor* find(std::string_view name) const noexcept {
    const auto& tensors = header_.tensors;
    const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::size_t i, std::string_view wanted) { return tensors[i].name < wanted; });
    return at != by_name_.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
  }

  /// Tensor of that name; invalid_argument, naming the file, if there is none.
  [[nodiscard]] Result<const GgufTensor*> get(std::string_view name) const noexcept {
    const GgufTensor* tensor = find(name);
    if (tensor != nullptr) return tensor;
    return detail::tensor_error(ErrorCode::invalid_argument, path(), name, "is not in this file");
  }

  /// All metadata, sorted by key.
  [[nodiscard]] std::span<const GgufValue> metadata() const noexcept { return header_.values; }

  /// Metadata of that key, or nullptr.
  [[nodiscard]] const GgufValue* find_metadata(std::string_view key) const noexcept {
    const auto& values = header_.values;
    const auto at = std::lower_bound(values.begin(), values.end(), key,
                                     [](const GgufValue& v, std::string_view wanted) { return v.key < wanted; });
    return at != values.end() && at->key == key ? &*at : nullptr;
  }
  [[nodiscard]] bool has(std::string_view key) const noexcept { return find_metadata(key) != nullptr; }

  // Metadata by type. Errors: invalid_argument if the key is missing, unsupported if it holds another type.

  [[nodiscard]] Result<std::string> get_string(std::string_view key) const noexcept {
    return with<std::string>(key, [&](const GgufValue& value) -> Result<std::string> {
      if (value.type != GgufValueType::string) return wrong_type(value, "a string");
      return std::string(string_at(value.bytes.data()));
    });
  }
  /// Any integer type that fits 63 bits.
  [[nodiscard]] Result<std::int64_t> get_integer(std::string_view key) const noexcept {
    return with<std::int64_t>(key, [&](const GgufValue& value) -> Result<std::int64_t> {
      std::int64_t number = 0;
      if (value.type == GgufValueType::array || !integer_at(value.item, value.bytes.data(), number))
        return wrong_type(value, "a whole number of at most 63 bits");
      return number;
    });
  }
  /// f32 or f64.
  [[nodiscard]] Result<double> get_float(std::string_view key) const noexcept {
    return with<double>(key, [&](const GgufValue& value) -> Result<double> {
      if (value.type == GgufValueType::f32) return static_cast<double>(detail::load<float>(value.bytes.data()));
      if (value.type == GgufValueType::f64) return detail::load<double>(value.bytes.data());
      return wrong_type(value, "a float");
    });
  }
  [[nodiscard]] Result<bool> get_bool(std::string_view key) const noexcept {
    return with<bool>(key, [&](const GgufValue& value) -> Result<bool> {
      if (value.type != GgufValueType::boolean) return wrong_type(value, "a bool");
      return value.bytes[0] != std::byte{0};
    });
  }
  /// Copies of the strings of an array; bytes as they are, which need not be UTF-8.
  [[nodiscard]] Result<std::vector<std::string>> string_array(std::string_view key) const noexcept {
    return with<std::vector<std::string>>(key, [&](const GgufValue& value) -> Result<std::vector<std::string>> {
      if (value.type != GgufValueType::array || value.item != GgufValueType::string)
        return wrong_type(value, "an array of strings");
      if (Status status = check_count(value, sizeof(std::string)); !status.ok()) return status;
      std::vector<std::string> strings;
      strings.reserve(static_cast<std::size_t>(value.count));
      const std::byte* at = value.bytes.data();
      for (std::uint64_t i = 0; i < value.count; ++i) {
        const std::string_view text = string_at(at);
        strings.emplace_back(text);
        at += 8 + text.size();
      }
      return strings;
    });
  }
  /// An array of f32 or f64.
  [[nodiscard]] Result<std::vector<float>> float_array(std::string_view key) const noexcept {
    return with<std::vector<float>>(key, [&](const GgufValue& value) -> Result<std::vector<float>> {
      if (value.type != GgufValueType::array || (value.item != GgufValueType::f32 && value.item != GgufValueType::f64))
        return wrong_type(value, "an array of floats");
      const Tensor array{.name = value.key,
                         .dtype = value.item == GgufValueType::f32 ? Dtype::f32 : Dtype::f64,
                         .shape = {static_cast<index>(value.count)},
                         .bytes = value.bytes};
      std::vector<float> floats(static_cast<std::size_t>(value.count));
      if (Status status = io::read_floats(path(), array, 0, floats, NotFinite::keep); !status.ok()) return status;
      return floats;
    });
  }
  /// An array of any integer type; numbers above 63 bits are refused.
  [[nodiscard]] Result<std::vector<std::int64_t>> int_array(std::string_view key) const noexcept {
    return with<std::vector<std::int64_t>>(key, [&](const GgufValue& value) -> Result<std::vector<std::int64_t>> {
      if (value.type != GgufValueType::array) return wrong_type(value, "an array of whole numbers");
      if (Status status = check_count(value, sizeof(std::int64_t)); !status.ok()) return status;
      std::vector<std::int64_t> numbers(static_cast<std::size_t>(value.count));
      for (std::size_t i = 0; i < numbers.size(); ++i)
        if (!integer_at(value.item, value.bytes.data() + i * static_cast<std::size_t>(size_of(value.item)), numbers[i]))
          return wrong_type(value, "an array of whole numbers of at most 63 bits");
      return numbers;
    });
  }

  /// Rows [first_row, first_row + count) of the tensor seen as rows × columns, as float32. Types that
  /// `can_dequantize` does not name are refused by name. NaN and infinity are refused unless asked for.
  [[nodiscard]] Status dequantize_rows(const GgufTensor& tensor, index first_row, index count, float* out,
                                       NotFinite policy = NotFinite::refuse) const noexcept {
    if (!can_dequantize(tensor.type()))
      return detail::tensor_error(ErrorCode::unsupported, path(), tensor.name, "values of type ", tensor.layout.name,
                                  " (", static_cast<std::uint32_t>(tensor.type()), ") are not read; ",
                                  dequantized_types, " are");
    if (first_row < 0 || count < 0 || first_row > tensor.rows() || count > tensor.rows() - first_row)
      return detail::tensor_error(ErrorCode::shape_mismatch, path(), tensor.name, "rows from ", first_row, ", ", count,
                                  " of them, were asked for; it has ", tensor.rows());
    const index columns = tensor.columns();
    dequantize_blocks(tensor.type(), tensor.bytes.data() + first_row * tensor.row_bytes(),
                      count * (columns / tensor.layout.values), out);
    if (policy == NotFinite::keep) return {};
    return detail::check_finite(path(), tensor.name, {out, static_cast<std::size_t>(count * columns)},
                                static_cast<std::uint64_t>(first_row * columns));
  }

  /// All values as float32.
  [[nodiscard]] Result<std::vector<float>> read_floats(const GgufTensor& tensor,
                                                       NotFinite policy = NotFinite::refuse) const noexcept {
    return detail::guarded(path(), [&]() -> Result<std::vector<float>> {
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      if (Status status = dequantize_rows(tensor, 0, tensor.rows(), values.data(), policy); !status.ok()) return status;
      return values;
    });
  }

  /// The codes of a Q8_0 tensor as they are: 8 bits, symmetric, groups of 32, scales = d.
  [[nodiscard]] Result<Codes> read_q8_0_codes(const GgufTensor& tensor) const noexcept {
    return io::read_q8_0_codes(path(), tensor);
  }

 private:
  static std::string_view string_at(const std::byte* at) noexcept {
    return {reinterpret_cast<const char*>(at) + 8, static_cast<std::size_t>(detail::load<std::uint64_t>(at))};
  }

  static bool integer_at(GgufValueType type, const std::byte* at, std::int64_t& number) noexcept {
    switch (type) {
      case GgufValueType::u8:
        return number = detail::load<std::uint8_t>(at), true;
      case GgufValueType::i8:
        return number = detail::load<std::int8_t>(at), true;
      case GgufValueType::u16:
        return number = detail::load<std::uint16_t>(at), true;
      case GgufValueType::i16:
        return number = detail::load<std::int16_t>(at), true;
      case GgufValueType::u32:
        return number = detail::load<std::uint32_t>(at), true;
      case GgufValueType::i32:
        return number = detail::load<std::int32_t>(at), true;
      case GgufValueType::i64:
        return number = detail::load<std::int64_t>(at), true;
      case GgufValueType::u64:
        return number = detail::load<std::int64_t>(at), number >= 0;
      default:
        return false;
    }
  }

  template <class T, class Read>
  Result<T> with(std::string_view key, Read&& read) const noexcept {
    return detail::guarded(path(), [&]() -> Result<T> {
      const GgufValue* value = find_metadata(key);
      if (value == nullptr)
        return detail::file_error(ErrorCode::invalid_argument, path(), "no metadata '", key.substr(0, 80), "'");
      return read(*value);
    });
  }

  Status check_count(const GgufValue& value, std::size_t bytes_each) const {
    if (detail::tables_fit(value.count, bytes_each, file_.bytes().size())) return {};
    return detail::file_error(ErrorCode::malformed, path(), "metadata '",
                              std::string_view(detail::shown(value.key, 80)), "' lists ", value.count,
                              " items, too many for a file of ", file_.bytes().size(), " bytes");
  }

  Status wrong_type(const GgufValue& value, const char* wanted) const {
    const bool array = value.type == GgufValueType::array;
    return detail::file_error(ErrorCode::unsupported, path(), "metadata '",
                              std::string_view(detail::shown(value.key, 80)), "' is ",
                              array ? "an array of " : "of type ", name_of(value.item), ", not ", wanted);
  }

  MappedFile file_;
  GgufHeader header_;
  std::vector<std::size_t> by_name_;  // places in header_.tensors, sorted by name
};

}  // namespace planish::inline PLANISH_ABI::io
