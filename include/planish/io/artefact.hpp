#pragma once
#include <charconv>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>
#include <planish/io/artefact_format.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/packing/bit_packing.hpp>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::io {

/// An artefact that ArtefactWriter wrote: checked as a safetensors file, its version understood, its hash verified.
class Artefact {
 public:
  /// Errors: io, malformed (also a wrong hash), unsupported (a newer major version).
  static Result<Artefact> open(const std::string& path) noexcept {
    auto file = MappedFile::open(path);
    if (!file) return file.status();
    return from(*std::move(file));
  }

  /// Reads an artefact whose bytes are there already.
  static Result<Artefact> from(MappedFile bytes) noexcept {
    auto file = SafetensorsFile::from(std::move(bytes));
    if (!file) return file.status();
    return detail::guarded("artefact", [&]() -> Result<Artefact> {
      Artefact result;
      result.file_ = *std::move(file);
      if (Status status = result.check(); !status.ok()) return status;
      return result;
    });
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }
  [[nodiscard]] int major_version() const noexcept { return major_; }
  [[nodiscard]] int minor_version() const noexcept { return minor_; }

  /// The recipe as text; empty if the artefact has none.
  [[nodiscard]] std::string_view recipe() const noexcept { return string_or_empty(artefact_key::recipe); }
  /// Identity of the model it was made from; empty if it was not told.
  [[nodiscard]] std::string_view model_sha256() const noexcept { return string_or_empty(artefact_key::model); }
  /// A string of the metadata, or nullptr.
  [[nodiscard]] const std::string* find_string(std::string_view key) const noexcept { return file_.find_metadata(key); }
  [[nodiscard]] const Metadata& metadata() const noexcept { return file_.metadata(); }

  /// All tensors, those of codes among them.
  [[nodiscard]] std::span<const Tensor> tensors() const noexcept { return file_.tensors(); }
  /// Tensor of that name, or nullptr.
  [[nodiscard]] const Tensor* find(std::string_view name) const noexcept { return file_.find(name); }
  /// Tensor of that name; invalid_argument, naming the file, if there is none.
  [[nodiscard]] Result<const Tensor*> get(std::string_view name) const noexcept { return file_.get(name); }

  /// All elements as float32; NaN and infinity are refused.
  [[nodiscard]] Result<std::vector<float>> read_floats(const Tensor& tensor) const noexcept {
    return file_.read_floats(tensor);
  }
  [[nodiscard]] Result<std::vector<float>> read_floats(std::string_view name) const noexcept {
    const auto tensor = get(name);
    if (!tensor) return tensor.status();
    return file_.read_floats(**tensor);
  }
  [[nodiscard]] Result<ClipPair> read_clip(std::string_view name) const noexcept {
    const auto values = read_floats(name);
    if (!values) return values.status();
    if (values->size() == 2)
      if (const ClipPair clip{(*values)[0], (*values)[1]}; is_valid_clip(clip)) return clip;
    return detail::tensor_error(ErrorCode::malformed, path(), name, "is not a clip pair");
  }

  /// Names of all codes, in the order of the metadata.
  [[nodiscard]] std::vector<std::string> codes_names() const {
    std::vector<std::string> names;
    for (const auto& [key, value] : metadata())
      if (key.starts_with(artefact_key::codes)) names.push_back(key.substr(artefact_key::codes.size()));
    return names;
  }
  [[nodiscard]] bool has_codes(std::string_view name) const { return find_description(name) != nullptr; }

  /// The codes of that name, one byte each. Errors: invalid_argument (no such codes), malformed, not_finite.
  [[nodiscard]] Result<Codes> read_codes(std::string_view name) const noexcept {
    return detail::guarded(path(), [&]() -> Result<Codes> {
      const auto refuse = [&](ErrorCode code, const auto&... parts) {
        return detail::file_error(code, path(), "codes '", std::string_view(detail::shown(name, 80)), "': ", parts...);
      };
      const std::string* text = find_description(name);
      if (text == nullptr) return refuse(ErrorCode::invalid_argument, "are not in this file");
      CodesDescription is;
      if (!CodesDescription::from_json(*text, is))
        return refuse(ErrorCode::malformed, "the description is not understood");
      const bool asymmetric = is.symmetry == Symmetry::asymmetric;
      const index groups = is.columns == 0 ? 0 : (is.columns - 1) / is.group_size + 1;
      const std::string base(name);
      const Tensor* packed = find(base + ".codes");
      const Tensor* scales = find(base + ".scales");
      const Tensor* zeros = asymmetric ? find(base + ".zero_points") : nullptr;
      // The packed tensor is as long as its shape says, so these comparisons bound what is allocated by the file.
      const index row_bytes = is.columns <= most_columns ? packed_row_bytes(is.columns, is.bits) : -1;
      if (!is_matrix(packed, Dtype::u8, is.rows, row_bytes) || !is_matrix(scales, Dtype::f32, is.rows, groups) ||
          (asymmetric && !is_matrix(zeros, Dtype::u8, is.rows, groups)))
        return refuse(ErrorCode::malformed, "a tensor is missing or of another shape than the description says");
      auto codes = Codes::make(is.rows, is.columns, is.bits, is.symmetry, is.group_size);
      if (!codes) return codes.status();
      for (index r = 0; r < is.rows && is.columns > 0; ++r)
        unpack_row(reinterpret_cast<const std::uint8_t*>(packed->bytes.data()) + r * row_bytes, is.columns, is.bits,
                   is.symmetry, codes->codes().data() + r * is.columns);
      if (Status status = io::read_floats(path(), *scales, 0, codes->scales()); !status.ok()) return status;
      const auto highest = static_cast<std::uint8_t>(code_range(is.bits, Symmetry::asymmetric).highest);
      for (std::size_t i = 0; i < codes->zero_points().size(); ++i) {
        const auto zero = std::to_integer<std::uint8_t>(zeros->bytes[i]);
        if (zero > highest)
          return refuse(ErrorCode::malformed, "zero point ", zero, " does not fit ", is.bits, " bits");
        codes->zero_points()[i] = zero;
      }
      return codes;
    });
  }

 private:
  static constexpr index most_columns = detail::most_size / 8 - 1;  // bits of a row still fit an index

  static bool is_matrix(const Tensor* tensor, Dtype dtype, index rows, index columns) noexcept {
    return tensor != nullptr && tensor->dtype == dtype && tensor->shape.size() == 2 && tensor->shape[0] == rows &&
           tensor->shape[1] == columns;
  }

  [[nodiscard]] std::string_view string_or_empty(std::string_view key) const noexcept {
    const std::string* text = find_string(key);
    return text == nullptr ? std::string_view{} : std::string_view(*text);
  }

  [[nodiscard]] const std::string* find_description(std::string_view name) const {
    return find_string(std::string(artefact_key::codes).append(name));
  }

  [[nodiscard]] Status check() {
    const std::string* format = find_string(artefact_key::format);
    if (format == nullptr)
      return detail::file_error(ErrorCode::malformed, path(), "not a planish artefact: it has no planish.format");
    const char* const end = format->data() + format->size();
    const auto whole = std::from_chars(format->data(), end, major_);
    const bool dotted = whole.ec == std::errc() && whole.ptr != end && *whole.ptr == '.';
    const auto part = dotted ? std::from_chars(whole.ptr + 1, end, minor_) : whole;
    if (!dotted || part.ec != std::errc() || part.ptr != end || major_ < 1 || minor_ < 0)
      return detail::file_error(ErrorCode::malformed, path(), "planish.format '",
                                std::string_view(detail::shown(*format, 40)), "' is not MAJOR.MINOR");
    if (major_ > artefact_major)
      return detail::file_error(ErrorCode::unsupported, path(), "artefact of format ", major_, ".", minor_,
                                "; this planish reads up to ", artefact_major, ".x: use a newer one");
    const std::string* hash = find_string(artefact_key::content);
    if (hash == nullptr) return detail::file_error(ErrorCode::malformed, path(), "the artefact has no content hash");
    if (*hash != artefact_hash(metadata(), tensors()))
      return detail::file_error(ErrorCode::malformed, path(),
                                "the content does not match its hash: the file was damaged or edited");
    return {};
  }

  SafetensorsFile file_;
  int major_ = 0, minor_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::io
