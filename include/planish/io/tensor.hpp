#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/dtype.hpp>
#include <planish/io/finite.hpp>
#include <planish/io/message.hpp>

namespace planish::inline PLANISH_ABI::io {

/// A named array in a file that stays open; row-major, the last extent contiguous. The bytes may lie at any address.
struct Tensor {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<index> shape;  // empty: rank 0, one element
  std::span<const std::byte> bytes;

  [[nodiscard]] index elements() const noexcept { return static_cast<index>(bytes.size()) / size_of(dtype); }
  /// As a matrix: the last extent are the columns, all others together the rows.
  [[nodiscard]] index columns() const noexcept { return shape.empty() ? 1 : shape.back(); }
  [[nodiscard]] index rows() const noexcept {
    index rows = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
};

namespace detail {

template <class Stored, class Out, class Convert>
inline void convert_elements(const std::byte* from, std::span<Out> out, Convert convert) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(load<Stored>(from + i * sizeof(Stored)));
}

}  // namespace detail

/// Elements [first, first + out.size()) of a tensor of F64, F32, F16 or BF16 as float32. Errors: shape_mismatch
/// (range), unsupported (dtype), not_finite.
[[nodiscard]] inline Status read_floats(std::string_view path, const Tensor& tensor, index first, std::span<float> out,
                                        NotFinite policy = NotFinite::refuse) noexcept {
  if (first < 0 || first > tensor.elements() || static_cast<index>(out.size()) > tensor.elements() - first)
    return detail::tensor_error(ErrorCode::shape_mismatch, path, tensor.name, "elements from ", first, ", ", out.size(),
                                " of them, were asked for; it has ", tensor.elements());
  const std::byte* from = tensor.bytes.data() + first * size_of(tensor.dtype);
  switch (tensor.dtype) {
    case Dtype::f64:
      detail::convert_elements<double>(from, out, [](double v) {
        // beyond the range of float32 the conversion is undefined in C++; infinity is what IEEE says
        constexpr double most = 0x1.ffffffp127;
        return v >= most    ? std::numeric_limits<float>::infinity()
               : v <= -most ? -std::numeric_limits<float>::infinity()
                            : static_cast<float>(v);
      });
      break;
    case Dtype::f32:
      if (!out.empty()) std::memcpy(out.data(), from, out.size() * sizeof(float));
      break;
    case Dtype::f16:
      detail::convert_elements<std::uint16_t>(from, out, [](std::uint16_t v) { return Half{v}.to_float(); });
      break;
    case Dtype::bf16:
      detail::convert_elements<std::uint16_t>(from, out, [](std::uint16_t v) { return BFloat16{v}.to_float(); });
      break;
    default:
      return detail::tensor_error(ErrorCode::unsupported, path, tensor.name, "holds ", name_of(tensor.dtype),
                                  "; F64, F32, F16 or BF16 is needed");
  }
  return policy == NotFinite::keep ? Status{}
                                   : detail::check_finite(path, tensor.name, out, static_cast<std::uint64_t>(first));
}

/// All elements of a tensor of whole numbers or booleans. Errors: unsupported (dtype), malformed (above 63 bits).
[[nodiscard]] inline Result<std::vector<std::int64_t>> read_integers(std::string_view path,
                                                                     const Tensor& tensor) noexcept {
  return detail::guarded(path, [&]() -> Result<std::vector<std::int64_t>> {
    std::vector<std::int64_t> values(static_cast<std::size_t>(tensor.elements()));
    const std::span<std::int64_t> out(values);
    const std::byte* from = tensor.bytes.data();
    const auto widen = [](auto v) { return static_cast<std::int64_t>(v); };
    switch (tensor.dtype) {
      case Dtype::boolean:
      case Dtype::u8:
        detail::convert_elements<std::uint8_t>(from, out, widen);
        break;
      case Dtype::i8:
        detail::convert_elements<std::int8_t>(from, out, widen);
        break;
      case Dtype::i16:
        detail::convert_elements<std::int16_t>(from, out, widen);
        break;
      case Dtype::u16:
        detail::convert_elements<std::uint16_t>(from, out, widen);
        break;
      case Dtype::i32:
        detail::convert_elements<std::int32_t>(from, out, widen);
        break;
      case Dtype::u32:
        detail::convert_elements<std::uint32_t>(from, out, widen);
        break;
      case Dtype::i64:
        detail::convert_elements<std::int64_t>(from, out, widen);
        break;
      case Dtype::u64:
        detail::convert_elements<std::uint64_t>(from, out, widen);
        for (std::int64_t value : values)
          if (value < 0)
            return detail::tensor_error(ErrorCode::malformed, path, tensor.name, "holds a number above 63 bits");
        break;
      default:
        return detail::tensor_error(ErrorCode::unsupported, path, tensor.name, "holds ", name_of(tensor.dtype),
                                    "; whole numbers are needed");
    }
    return values;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
