#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/atomic_file.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/json_text.hpp>
#include <planish/io/message.hpp>
#include <planish/io/safetensors_header.hpp>
#include <planish/io/tensor.hpp>
#include <planish/io/utf8.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Collects tensors and strings and writes them as one safetensors file, whole or not at all. Tensors of whole cache
/// lines come first, each on a cache line of the file, the others by falling element size, so that every element is
/// aligned; equals by name.
class SafetensorsWriter {
 public:
  /// Copies a tensor in. Errors: invalid_argument (name comes twice, is not UTF-8 or is `__metadata__`),
  /// shape_mismatch (bytes and shape disagree).
  Status add(std::string name, Dtype dtype, std::vector<index> shape, std::span<const std::byte> bytes) noexcept {
    return detail::guarded("safetensors", [&]() -> Status {
      std::unique_ptr<std::byte[]> copy(new std::byte[bytes.size()]);
      std::copy(bytes.begin(), bytes.end(), copy.get());
      const std::span<const std::byte> view(copy.get(), bytes.size());
      if (Status status = add_view(std::move(name), dtype, std::move(shape), view); !status.ok()) return status;
      copies_.push_back(std::move(copy));
      return {};
    });
  }

  Status add_floats(std::string name, std::vector<index> shape, std::span<const float> values) noexcept {
    return add(std::move(name), Dtype::f32, std::move(shape), std::as_bytes(values));
  }

  /// The same without a copy: the bytes must stay as they are until `write` is done.
  Status add_view(std::string name, Dtype dtype, std::vector<index> shape, std::span<const std::byte> bytes) noexcept {
    return detail::guarded("safetensors", [&]() -> Status {
      const auto refuse = [&](ErrorCode code, const auto&... parts) {
        return Status(code, "tensor '", std::string_view(detail::shown(name, 80)), "': ", parts...);
      };
      if (name == "__metadata__" || !is_utf8(name))
        return refuse(ErrorCode::invalid_argument, "the name cannot be written");
      std::uint64_t size = 0;
      if (!detail::count_elements(shape, size) ||
          !detail::multiply_sizes(size, static_cast<std::uint64_t>(size_of(dtype)), size) || size != bytes.size())
        return refuse(ErrorCode::shape_mismatch, bytes.size(), " bytes do not fill its shape as ", name_of(dtype));
      if (!names_.insert(name).second) return refuse(ErrorCode::invalid_argument, "the name comes twice");
      tensors_.push_back({std::move(name), dtype, std::move(shape), bytes});
      return {};
    });
  }

  /// Sets a string of `__metadata__`; the last one of a key counts.
  Status set_metadata(std::string key, std::string value) noexcept {
    return detail::guarded("safetensors", [&]() -> Status {
      if (!is_utf8(key) || !is_utf8(value))
        return Status(ErrorCode::invalid_argument, "metadata '", std::string_view(detail::shown(key, 80)),
                      "' is not UTF-8");
      for (auto& [name, text] : metadata_)
        if (name == key) return text = std::move(value), Status{};
      metadata_.emplace_back(std::move(key), std::move(value));
      return {};
    });
  }

  [[nodiscard]] std::span<const Tensor> tensors() const noexcept { return tensors_; }
  [[nodiscard]] const Metadata& metadata() const noexcept { return metadata_; }

  /// Writes everything to a temporary file beside `path` and renames it. Errors: io; the old file then stays.
  [[nodiscard]] Status write(const std::string& path) const noexcept {
    return detail::guarded(path, [&]() -> Status {
      std::vector<const Tensor*> order;
      for (const Tensor& tensor : tensors_) order.push_back(&tensor);
      std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
        const auto rank = [](const Tensor* t) { return t->bytes.size() % line == 0 ? most_rank : size_of(t->dtype); };
        return rank(a) != rank(b) ? rank(a) > rank(b) : a->name < b->name;
      });
      const std::string header = header_text(order);
      if (header.size() > most_safetensors_header)
        return detail::file_error(ErrorCode::invalid_argument, path, "the header would have ", header.size(), " bytes");
      const std::uint64_t size = header.size();
      auto file = AtomicFile::create(path);
      if (!file) return file.status();
      Status status = file->write(std::as_bytes(std::span(&size, 1)));
      if (status.ok()) status = file->write(std::as_bytes(std::span(header)));
      for (std::size_t i = 0; i < order.size() && status.ok(); ++i) status = file->write(order[i]->bytes);
      return status.ok() ? file->commit() : status;
    });
  }

 private:
  [[nodiscard]] std::string header_text(const std::vector<const Tensor*>& order) const {
    std::string text = "{";
    if (!metadata_.empty()) {
      auto sorted = metadata_;
      std::sort(sorted.begin(), sorted.end());
      text += "\"__metadata__\":{";
      for (std::size_t i = 0; i < sorted.size(); ++i) {
        if (i > 0) text += ',';
        append_json_string(text, sorted[i].first);
        text += ':';
        append_json_string(text, sorted[i].second);
      }
      text += '}';
    }
    std::uint64_t position = 0;
    for (const Tensor* tensor : order) {
      if (text.size() > 1) text += ',';
      append_json_string(text, tensor->name);
      text += ":{\"dtype\":\"";
      text += name_of(tensor->dtype);
      text += "\",\"shape\":[";
      for (std::size_t i = 0; i < tensor->shape.size(); ++i) {
        if (i > 0) text += ',';
        text += std::to_string(tensor->shape[i]);
      }
      text += "],\"data_offsets\":[" + std::to_string(position) + ',';
      position += tensor->bytes.size();
      text += std::to_string(position) + "]}";
    }
    text += '}';
    text.append((line - (text.size() + 8) % line) % line, ' ');  // behind its own length, in 8 bytes
    return text;
  }

  static constexpr std::size_t line = 64;  // bytes
  static constexpr int most_rank = 1 << 20;

  std::vector<Tensor> tensors_;
  std::set<std::string> names_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  Metadata metadata_;
};

}  // namespace planish::inline PLANISH_ABI::io
