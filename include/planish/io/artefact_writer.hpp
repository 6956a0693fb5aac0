#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>
#include <planish/io/artefact_format.hpp>
#include <planish/io/finite.hpp>
#include <planish/io/safetensors_writer.hpp>
#include <planish/packing/bit_packing.hpp>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Collects codes, tensors and strings and writes them as one artefact, whole or not at all.
class ArtefactWriter {
 public:
  /// The recipe as text.
  Status set_recipe(std::string recipe) noexcept {
    return file_.set_metadata(std::string(artefact_key::recipe), std::move(recipe));
  }

  /// Identity of the model it is made from, for example `sha256_of_file(path)`.
  Status set_model_sha256(std::string hash) noexcept {
    return file_.set_metadata(std::string(artefact_key::model), std::move(hash));
  }

  /// A string of the host's own. Keys that begin with "planish." are refused.
  Status set_string(std::string key, std::string value) noexcept {
    if (key.starts_with(artefact_key::prefix))
      return Status(ErrorCode::invalid_argument, "metadata '", std::string_view(key).substr(0, 80),
                    "': keys that begin with planish. belong to the format");
    return file_.set_metadata(std::move(key), std::move(value));
  }

  /// What the format says of something with a name: the string `prefix` + `name`, where prefix is one of artefact_key.
  Status set_description(std::string_view prefix, std::string_view name, std::string text) noexcept {
    return file_.set_metadata(std::string(prefix).append(name), std::move(text));
  }

  /// Copies a tensor in.
  Status add(std::string name, Dtype dtype, std::vector<index> shape, std::span<const std::byte> bytes) noexcept {
    return file_.add(std::move(name), dtype, std::move(shape), bytes);
  }

  /// Copies float32 values in; NaN and infinity are refused.
  Status add_floats(std::string name, std::vector<index> shape, std::span<const float> values) noexcept {
    if (Status status = check_finite(name, values); !status.ok()) return status;
    return file_.add_floats(std::move(name), std::move(shape), values);
  }

  /// Copies a clip pair in: the tensor NAME of two floats, positive then negative.
  Status add_clip(std::string name, ClipPair clip) noexcept {
    const float values[2] = {clip.positive, clip.negative};
    return add_floats(std::move(name), {2}, values);
  }

  /// Packs codes to their width and copies them in, with their scales and zero points, as tensors NAME.codes,
  /// NAME.scales and NAME.zero_points.
  Status add_codes(const std::string& name, const CodesView& codes) noexcept {
    return detail::guarded("artefact", [&]() -> Status {
      const auto tiles = static_cast<std::size_t>(codes.rows * codes.groups());
      const std::span<const float> scales(codes.scales, tiles);
      if (Status status = check_finite(name + ".scales", scales); !status.ok()) return status;
      const index row_bytes = packed_row_bytes(codes.columns, codes.bits);
      std::vector<std::uint8_t> packed(static_cast<std::size_t>(codes.rows * row_bytes));
      for (index r = 0; r < codes.rows; ++r)
        pack_row(codes.codes + r * codes.columns, codes.columns, codes.bits, codes.symmetry,
                 packed.data() + r * row_bytes);
      const CodesDescription description{codes.rows, codes.columns, codes.bits, codes.symmetry, codes.group_size};
      Status status = file_.add(name + ".codes", Dtype::u8, {codes.rows, row_bytes}, std::as_bytes(std::span(packed)));
      if (status.ok()) status = file_.add_floats(name + ".scales", {codes.rows, codes.groups()}, scales);
      if (status.ok() && codes.symmetry == Symmetry::asymmetric)
        status = file_.add(name + ".zero_points", Dtype::u8, {codes.rows, codes.groups()},
                           std::as_bytes(std::span(codes.zero_points, tiles)));
      if (!status.ok()) return status;
      return set_description(artefact_key::codes, name, description.to_json());
    });
  }

  /// Adds version and hash and writes the file. Errors: io; the old file then stays.
  Status write(const std::string& path) noexcept {
    return detail::guarded(path, [&]() -> Status {
      const std::string version = std::to_string(artefact_major) + '.' + std::to_string(artefact_minor);
      Status status = file_.set_metadata(std::string(artefact_key::format), version);
      if (status.ok())
        status =
            file_.set_metadata(std::string(artefact_key::content), artefact_hash(file_.metadata(), file_.tensors()));
      return status.ok() ? file_.write(path) : status;
    });
  }

 private:
  static Status check_finite(std::string_view name, std::span<const float> values) noexcept {
    const std::size_t bad = detail::first_not_finite(values);
    if (bad == values.size()) return {};
    return Status(ErrorCode::not_finite, "tensor '", name.substr(0, 80), "': value ", bad, " is NaN or infinite");
  }

  SafetensorsWriter file_;
};

}  // namespace planish::inline PLANISH_ABI::io
