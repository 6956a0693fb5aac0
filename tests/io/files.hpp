#pragma once
// What the tests of io share: files built byte by byte, and a folder that goes away.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io.hpp>

namespace io_test {

using Bytes = std::vector<std::byte>;

/// Little-endian bytes, appended.
class ByteBuilder {
 public:
  template <class T>
  ByteBuilder& value(T v) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* from = reinterpret_cast<const std::byte*>(&v);
    bytes.insert(bytes.end(), from, from + sizeof(T));
    return *this;
  }
  ByteBuilder& raw(std::string_view text) {
    const auto* from = reinterpret_cast<const std::byte*>(text.data());
    bytes.insert(bytes.end(), from, from + text.size());
    return *this;
  }
  /// u64 length, then the text.
  ByteBuilder& text(std::string_view text) { return value<std::uint64_t>(text.size()).raw(text); }
  ByteBuilder& pad_to(std::size_t alignment) {
    while (bytes.size() % alignment != 0) bytes.push_back(std::byte{0});
    return *this;
  }

  Bytes bytes;
};

/// A safetensors file with that header, word for word, and that much data (0, 1, 2, ...).
inline Bytes safetensors_bytes(std::string_view header, std::size_t data_bytes) {
  ByteBuilder file;
  file.text(header);
  for (std::size_t i = 0; i < data_bytes; ++i) file.value(static_cast<std::uint8_t>(i));
  return file.bytes;
}

/// Codes, scales and zero points of that shape, anywhere in their ranges.
inline planish::Codes random_codes(planish::Random& random, planish::index rows, planish::index columns, int bits,
                                   planish::Symmetry symmetry, planish::index group) {
  auto codes = *planish::Codes::make(rows, columns, bits, symmetry, group);
  const planish::CodeRange range = planish::code_range(bits, symmetry);
  const auto count = static_cast<std::uint64_t>(range.highest - range.lowest + 1);
  for (auto& code : codes.codes())
    code = static_cast<std::uint8_t>(range.lowest + static_cast<int>(random.below(count)));
  for (auto& scale : codes.scales()) scale = static_cast<float>(random.uniform() + 0.01);
  for (auto& zero : codes.zero_points()) zero = static_cast<std::uint8_t>(random.below(count));
  return codes;
}

inline std::string message_of(const planish::Status& status) { return std::string(status.message()); }

/// What is said of a shape of 2^61 elements and more: with 32 bits its extents are already more than an index holds.
inline constexpr const char* shape_overflow =
    sizeof(planish::index) == 8 ? "size of the shape overflows" : "is too large";
inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// One line, not empty, beginning with the label.
inline bool is_good_message(const planish::Status& status, std::string_view label) {
  const std::string_view text = status.message();
  return !status.ok() && text.starts_with(label) && text.size() > label.size() + 2 && text.find('\n') == text.npos &&
         text.size() < planish::Status::capacity;
}

inline Bytes read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> chars((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  Bytes bytes(chars.size());
  if (!chars.empty()) std::memcpy(bytes.data(), chars.data(), chars.size());
  return bytes;
}

inline void write_bytes(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "planish-io-XXXXXX").string();
    const char* made = ::mkdtemp(pattern.data());
    REQUIRE(made != nullptr);
    path_ = made;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
    return names;
  }

 private:
  std::string path_;
};

/// File of the project's shared data, or empty when that is not here.
inline std::string shared_data(std::string_view name) {
  const char* folder = std::getenv("PLANISH_SHARED_DATA");
  const std::string path = std::string(folder != nullptr ? folder : "../shared/data") + '/' + std::string(name);
  return std::filesystem::exists(path) ? path : std::string();
}

/// Builds GGUF v3 files.
class GgufBuilder {
 public:
  template <class T>
  GgufBuilder& metadata(std::string_view key, std::uint32_t type, T value) {
    ++keys;
    values.text(key).value(type).value(value);
    return *this;
  }
  GgufBuilder& string(std::string_view key, std::string_view value) {
    ++keys;
    values.text(key).value<std::uint32_t>(8).text(value);
    return *this;
  }
  template <class T>
  GgufBuilder& array(std::string_view key, std::uint32_t item, const std::vector<T>& items) {
    ++keys;
    values.text(key).value<std::uint32_t>(9).value(item).value<std::uint64_t>(items.size());
    for (const auto& value : items) {
      if constexpr (std::is_convertible_v<T, std::string_view>)
        values.text(value);
      else
        values.value(value);
    }
    return *this;
  }
  /// Extents as files list them: contiguous first.
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& extents, std::uint32_t type,
                      std::uint64_t offset) {
    ++tensors;
    infos.text(name).value(static_cast<std::uint32_t>(extents.size()));
    for (std::uint64_t extent : extents) infos.value(extent);
    infos.value(type).value(offset);
    return *this;
  }
  [[nodiscard]] Bytes build(std::span<const std::byte> data = {}) const {
    ByteBuilder file;
    file.raw(magic).value(version).value(tensors).value(keys);
    file.bytes.insert(file.bytes.end(), values.bytes.begin(), values.bytes.end());
    file.bytes.insert(file.bytes.end(), infos.bytes.begin(), infos.bytes.end());
    file.pad_to(alignment);
    file.bytes.insert(file.bytes.end(), data.begin(), data.end());
    return file.bytes;
  }

  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t tensors = 0, keys = 0;
  std::size_t alignment = 32;
  ByteBuilder values, infos;
};

inline planish::Result<planish::io::SafetensorsFile> open_safetensors(Bytes bytes) {
  return planish::io::SafetensorsFile::from(planish::io::MappedFile::from_bytes(std::move(bytes), "memory"));
}
inline planish::Result<planish::io::GgufFile> open_gguf(Bytes bytes) {
  return planish::io::GgufFile::from(planish::io::MappedFile::from_bytes(std::move(bytes), "memory"));
}
inline planish::Result<planish::io::Artefact> open_artefact(Bytes bytes) {
  return planish::io::Artefact::from(planish::io::MappedFile::from_bytes(std::move(bytes), "memory"));
}

}  // namespace io_test
