#pragma once
#include <cstdint>
#include <cstring>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/finite.hpp>
#include <planish/io/gguf_blocks.hpp>
#include <planish/io/gguf_reader.hpp>
#include <planish/io/message.hpp>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::io {

/// The codes of a Q8_0 tensor without a float in between: 8 bits, symmetric, groups of 32 columns, scales = d. Their
/// values equal the dequantized ones to the bit. Errors: unsupported (another type), not_finite (a scale).
[[nodiscard]] inline Result<Codes> read_q8_0_codes(std::string_view path, const GgufTensor& tensor) noexcept {
  return detail::guarded(path, [&]() -> Result<Codes> {
    if (tensor.type() != GgufType::q8_0)
      return detail::tensor_error(ErrorCode::unsupported, path, tensor.name, "is ", tensor.layout.name, ", not Q8_0");
    auto codes = Codes::make(tensor.rows(), tensor.columns(), 8, Symmetry::symmetric, tensor.layout.values);
    if (!codes) return codes.status();
    const std::span<std::uint8_t> values = codes->codes();
    const std::span<float> scales = codes->scales();
    const std::byte* block = tensor.bytes.data();
    for (std::size_t i = 0; i < scales.size(); ++i, block += 34) {
      scales[i] = detail::load_half(block);
      std::memcpy(values.data() + 32 * i, block + 2, 32);
    }
    if (const std::size_t bad = detail::first_not_finite(scales); bad != scales.size())
      return detail::tensor_error(ErrorCode::not_finite, path, tensor.name, "the scale of block ", bad,
                                  " is NaN or infinite");
    return codes;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
