#pragma once
// planish's own file: safetensors as carrier, so that any reader of that format lists it. `__metadata__` holds
//   planish.format          "MAJOR.MINOR"; a major version that is newer is refused, minor versions only add
//   planish.recipe          the recipe as text
//   planish.model_sha256    identity of the model it was made from
//   planish.codes.NAME      shape and scheme of the codes NAME, a JSON object
//   planish.transform.NAME  stages of the transform NAME, see artefact_transform.hpp
//   planish.content_sha256  hash of everything else, see `artefact_hash`
// and whatever strings the host adds under names of its own. Codes NAME are the tensors NAME.codes (U8, rows × packed
// bytes, packing/bit_packing.hpp), NAME.scales (F32, rows × groups) and, when asymmetric, NAME.zero_points (U8).
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/safetensors_header.hpp>
#include <planish/io/sha256.hpp>
#include <planish/io/tensor.hpp>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Version of the artefacts that this library writes, and the newest major version that it reads.
inline constexpr int artefact_major = 1;
inline constexpr int artefact_minor = 1;

/// Keys and tensor names.
namespace artefact_key {
inline constexpr std::string_view prefix = "planish.";
inline constexpr std::string_view format = "planish.format";
inline constexpr std::string_view recipe = "planish.recipe";
inline constexpr std::string_view model = "planish.model_sha256";
inline constexpr std::string_view content = "planish.content_sha256";
inline constexpr std::string_view codes = "planish.codes.";
inline constexpr std::string_view transform = "planish.transform.";
}  // namespace artefact_key

/// SHA-256, in hexadecimal, of all metadata but `planish.content_sha256` (sorted by key: key, value), then of all
/// tensors (sorted by name: name, dtype name, rank, extents, bytes). Numbers are u64 little-endian; every text and
/// every run of bytes comes after its length.
[[nodiscard]] inline std::string artefact_hash(const Metadata& metadata, std::span<const Tensor> tensors) {
  Sha256 hash;
  const auto number = [&hash](std::uint64_t value) { hash.update(std::as_bytes(std::span(&value, 1))); };
  const auto text = [&](std::string_view value) {
    number(value.size());
    hash.update(value);
  };
  std::vector<const Metadata::value_type*> strings;
  for (const auto& pair : metadata)
    if (pair.first != artefact_key::content) strings.push_back(&pair);
  std::sort(strings.begin(), strings.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* pair : strings) {
    text(pair->first);
    text(pair->second);
  }
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  for (const Tensor* tensor : order) {
    text(tensor->name);
    text(name_of(tensor->dtype));
    number(tensor->shape.size());
    for (index extent : tensor->shape) number(static_cast<std::uint64_t>(extent));
    number(tensor->bytes.size());
    hash.update(tensor->bytes);
  }
  return hash.finish_hex();
}

/// What `planish.codes.NAME` says.
struct CodesDescription {
  index rows = 0;
  index columns = 0;
  int bits = 8;
  Symmetry symmetry = Symmetry::symmetric;
  index group_size = 0;

  [[nodiscard]] std::string to_json() const {
    return "{\"rows\":" + std::to_string(rows) + ",\"columns\":" + std::to_string(columns) +
           ",\"bits\":" + std::to_string(bits) +
           ",\"symmetric\":" + (symmetry == Symmetry::symmetric ? "true" : "false") +
           ",\"group_size\":" + std::to_string(group_size) + "}";
  }

  /// False unless the text is such an object with every member in its range. Unknown members are passed over.
  [[nodiscard]] static bool from_json(std::string_view text, CodesDescription& out) {
    JsonReader json(text);
    std::uint64_t rows = most_size + 1, columns = most_size + 1, bits = 0, group_size = most_size + 1;
    bool symmetric = false, has_symmetry = false;
    json.object([&](const std::string& key) {
      if (key == "rows") return void(json.integer(rows));
      if (key == "columns") return void(json.integer(columns));
      if (key == "bits") return void(json.integer(bits));
      if (key == "group_size") return void(json.integer(group_size));
      if (key == "symmetric") return void(has_symmetry = json.boolean(symmetric));
      json.skip();
    });
    if (!json.finish() || !has_symmetry || bits < 2 || bits > 8) return false;
    if (rows > most_size || columns > most_size || group_size == 0 || group_size > most_size) return false;
    out = {static_cast<index>(rows), static_cast<index>(columns), static_cast<int>(bits),
           symmetric ? Symmetry::symmetric : Symmetry::asymmetric, static_cast<index>(group_size)};
    return true;
  }

 private:
  static constexpr std::uint64_t most_size = detail::most_size;
};

}  // namespace planish::inline PLANISH_ABI::io
