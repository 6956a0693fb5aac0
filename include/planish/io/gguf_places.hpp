#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/gguf_header.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

/// Where a tensor lies in a GGUF file's data, as its description says: bytes, bytes, place in the list of tensors.
struct GgufPlace {
  std::uint64_t offset, size;
  std::size_t tensor;
};

/// Gives every tensor its bytes. They lie one behind the other, with no more between two, and behind the last, than the
/// alignment asks for, so that a wrong extent or offset shows. Errors: malformed. Sorts `places`.
inline Status place_gguf_tensors(std::string_view path, std::span<const std::byte> data, std::uint64_t alignment,
                                 std::vector<GgufPlace>& places, std::vector<GgufTensor>& tensors) {
  for (const GgufPlace& place : places) {
    GgufTensor& tensor = tensors[place.tensor];
    if (place.offset > data.size() || place.size > data.size() - place.offset)
      return tensor_error(ErrorCode::malformed, path, tensor.name, place.size, " bytes at data byte ", place.offset,
                          " reach past the end of the file (", data.size(), " bytes of data)");
    tensor.bytes = data.subspan(static_cast<std::size_t>(place.offset), static_cast<std::size_t>(place.size));
  }
  std::sort(places.begin(), places.end(), [](const GgufPlace& a, const GgufPlace& b) {
    return std::tie(a.offset, a.size) < std::tie(b.offset, b.size);
  });
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const GgufPlace& place = places[i];
    const std::string& name = tensors[place.tensor].name;
    if (place.offset < end)
      return tensor_error(ErrorCode::malformed, path, name, "overlaps tensor '",
                          std::string_view(shown(tensors[places[i - 1].tensor].name, 80)), "'");
    if (place.offset - end >= alignment)
      return tensor_error(ErrorCode::malformed, path, name, "begins at data byte ", place.offset,
                          ", leaving a hole (the tensor before it ends at ", end, ")");
    end = place.offset + place.size;
  }
  if (data.size() - end >= alignment && !places.empty())
    return file_error(ErrorCode::malformed, path, "the tensors end at data byte ", end, ", but the file has ",
                      data.size(), " bytes of data");
  return {};
}

}  // namespace planish::inline PLANISH_ABI::io::detail
