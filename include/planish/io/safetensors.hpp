#pragma once
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/mapped_file.hpp>
#include <planish/io/message.hpp>
#include <planish/io/safetensors_header.hpp>
#include <planish/io/tensor.hpp>

namespace planish::inline PLANISH_ABI::io {

/// A safetensors file, mapped and checked. Tensors point into it and are valid while it lives (moving it is fine).
class SafetensorsFile {
 public:
  /// Errors: io, malformed, unsupported; each names the file and, where there is one, the tensor.
  static Result<SafetensorsFile> open(const std::string& path) noexcept {
    auto file = MappedFile::open(path);
    if (!file) return file.status();
    return from(*std::move(file));
  }

  /// Reads a file whose bytes are there already.
  static Result<SafetensorsFile> from(MappedFile file) noexcept {
    auto header = read_safetensors_header(file.path(), file.bytes());
    if (!header) return header.status();
    return detail::guarded(file.path(), [&]() -> Result<SafetensorsFile> {
      SafetensorsFile result;
      result.by_name_.resize(header->tensors.size());
      std::iota(result.by_name_.begin(), result.by_name_.end(), std::size_t{0});
      const auto& tensors = header->tensors;
      std::sort(result.by_name_.begin(), result.by_name_.end(),
                [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
      result.header_ = *std::move(header);
      result.file_ = std::move(file);
      return result;
    });
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Gives back the memory that reading tensors has taken; see MappedFile::release.
  void release() const noexcept { file_.release(); }

  /// All tensors, in the order of their bytes.
  [[nodiscard]] std::span<const Tensor> tensors() const noexcept { return header_.tensors; }

  /// Tensor of that name, or nullptr.
  [[nodiscard]] const Tensor* find(std::string_view name) const noexcept {
    const auto& tensors = header_.tensors;
    const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::size_t i, std::string_view wanted) { return tensors[i].name < wanted; });
    return at != by_name_.end() && tensors[*at].name == name ? &tensors[*at] : nullptr;
  }

  /// Tensor of that name; invalid_argument, naming the file, if there is none.
  [[nodiscard]] Result<const Tensor*> get(std::string_view name) const noexcept {
    const Tensor* tensor = find(name);
    if (tensor != nullptr) return tensor;
    return detail::tensor_error(ErrorCode::invalid_argument, path(), name, "is not in this file");
  }

  [[nodiscard]] const Metadata& metadata() const noexcept { return header_.metadata; }

  /// Value of an entry of `__metadata__`, or nullptr.
  [[nodiscard]] const std::string* find_metadata(std::string_view key) const noexcept {
    const auto& metadata = header_.metadata;
    const auto at = std::lower_bound(metadata.begin(), metadata.end(), key,
                                     [](const auto& pair, std::string_view wanted) { return pair.first < wanted; });
    return at != metadata.end() && at->first == key ? &at->second : nullptr;
  }

  /// All elements as float32 (F64, F32, F16, BF16). NaN and infinity are refused unless asked for.
  [[nodiscard]] Result<std::vector<float>> read_floats(const Tensor& tensor,
                                                       NotFinite policy = NotFinite::refuse) const noexcept {
    return detail::guarded(path(), [&]() -> Result<std::vector<float>> {
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      if (Status status = io::read_floats(path(), tensor, 0, values, policy); !status.ok()) return status;
      return values;
    });
  }

  /// Rows [first_row, first_row + count) of the tensor seen as rows × columns.
  [[nodiscard]] Status read_rows(const Tensor& tensor, index first_row, index count, float* out,
                                 NotFinite policy = NotFinite::refuse) const noexcept {
    if (first_row < 0 || count < 0 || first_row > tensor.rows() || count > tensor.rows() - first_row)
      return detail::tensor_error(ErrorCode::shape_mismatch, path(), tensor.name, "rows from ", first_row, ", ", count,
                                  " of them, were asked for; it has ", tensor.rows());
    const auto values = static_cast<std::size_t>(count * tensor.columns());
    return io::read_floats(path(), tensor, first_row * tensor.columns(), {out, values}, policy);
  }

  /// All elements of a tensor of whole numbers or booleans.
  [[nodiscard]] Result<std::vector<std::int64_t>> read_integers(const Tensor& tensor) const noexcept {
    return io::read_integers(path(), tensor);
  }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::vector<std::size_t> by_name_;  // places in header_.tensors, sorted by name
};

}  // namespace planish::inline PLANISH_ABI::io
