#pragma once
// Weights in an artefact as the integer kernels read them, beside their canonical codes: a loader maps the file and
// multiplies. `planish.packed.NAME` names the layout and repeats shape and scheme; the tensors are NAME.panels (U8, one
// row a panel), NAME.panel_scales (F32), NAME.panel_zeros and NAME.panel_sums (I32), one row of [group][32 channels] a
// panel. What does not match (another layout, no such section) is packed from the codes when it is loaded.
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <planish/io/artefact.hpp>
#include <planish/io/artefact_writer.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Name of the layout of packing/panels.hpp.
inline constexpr std::string_view panel_layout = "panels32x4";

namespace artefact_key {
inline constexpr std::string_view packed = "planish.packed.";
}  // namespace artefact_key

namespace detail {
/// Tensors of one matrix, and the shape that each must have.
struct PackedShape {
  index panels, panel_bytes, side;

  static PackedShape of(const PackedWeightsView& w) noexcept {
    return {w.panel_count(), w.panel_bytes(), w.groups() * panel_width};
  }
};
}  // namespace detail

/// Copies packed weights in. The codes of that name belong beside them, for readers of other layouts.
inline Status add_packed(ArtefactWriter& writer, const std::string& name, const PackedWeightsView& w) noexcept {
  return detail::guarded("artefact", [&]() -> Status {
    const detail::PackedShape shape = detail::PackedShape::of(w);
    const auto panel_bytes = static_cast<std::size_t>(shape.panels * shape.panel_bytes);
    const auto side = static_cast<std::size_t>(shape.panels * shape.side);
    Status status = writer.add(name + ".panels", Dtype::u8, {shape.panels, shape.panel_bytes},
                               std::as_bytes(std::span(w.panels, panel_bytes)));
    if (status.ok())
      status = writer.add_floats(name + ".panel_scales", {shape.panels, shape.side}, std::span(w.scales, side));
    if (status.ok())
      status = writer.add(name + ".panel_zeros", Dtype::i32, {shape.panels, shape.side},
                          std::as_bytes(std::span(w.zeros, side)));
    if (status.ok())
      status = writer.add(name + ".panel_sums", Dtype::i32, {shape.panels, shape.side},
                          std::as_bytes(std::span(w.sums, side)));
    if (!status.ok()) return status;
    const CodesDescription is{w.rows, w.columns, w.bits, w.symmetry, w.group_size};
    return writer.set_description(artefact_key::packed, name, std::string(panel_layout) + ' ' + is.to_json());
  });
}

/// True if the artefact holds that matrix in the layout that this library multiplies.
[[nodiscard]] inline bool has_packed(const Artefact& file, std::string_view name) {
  const std::string* text = file.find_string(std::string(artefact_key::packed).append(name));
  return text != nullptr && text->starts_with(std::string(panel_layout) + ' ');
}

/// The packed weights of that name, where they lie in the file: valid as long as the artefact. Errors: invalid_argument
/// (no such weights in this layout), malformed, not_finite.
[[nodiscard]] inline Result<PackedWeights> map_packed(const Artefact& file, std::string_view name) noexcept {
  return detail::guarded(file.path(), [&]() -> Result<PackedWeights> {
    const auto refuse = [&](ErrorCode code, const auto&... parts) {
      return detail::file_error(code, file.path(), "packed weights '", std::string_view(detail::shown(name, 80)),
                                "': ", parts...);
    };
    if (!has_packed(file, name)) return refuse(ErrorCode::invalid_argument, "are not in this file");
    const std::string* text = file.find_string(std::string(artefact_key::packed).append(name));
    CodesDescription is;
    if (!CodesDescription::from_json(std::string_view(*text).substr(panel_layout.size() + 1), is))
      return refuse(ErrorCode::malformed, "the description is not understood");
    PackedWeightsView view;
    view.storage = code_storage(is.bits);
    view.rows = is.rows;
    view.columns = is.columns;
    view.group_size = is.group_size;
    view.bits = is.bits;
    view.symmetry = is.symmetry;
    const std::string base(name);
    // The sizes that the description leads to are compared with those of the tensors, which the file backs.
    const detail::PackedShape shape = detail::PackedShape::of(view);
    const auto find = [&](const char* part, Dtype dtype, index columns) -> const void* {
      const Tensor* tensor = file.find(base + part);
      const bool fits = tensor != nullptr && tensor->dtype == dtype && tensor->shape.size() == 2 &&
                        tensor->shape[0] == shape.panels && tensor->shape[1] == columns;
      const bool aligned = fits && reinterpret_cast<std::uintptr_t>(tensor->bytes.data()) % sizeof(float) == 0;
      return aligned ? tensor->bytes.data() : nullptr;
    };
    view.panels = static_cast<const std::uint8_t*>(find(".panels", Dtype::u8, shape.panel_bytes));
    view.scales = static_cast<const float*>(find(".panel_scales", Dtype::f32, shape.side));
    view.zeros = static_cast<const std::int32_t*>(find(".panel_zeros", Dtype::i32, shape.side));
    view.sums = static_cast<const std::int32_t*>(find(".panel_sums", Dtype::i32, shape.side));
    if (view.panels == nullptr || view.scales == nullptr || view.zeros == nullptr || view.sums == nullptr)
      return refuse(ErrorCode::malformed,
                    "a tensor is missing, of another shape than the description says, or not aligned");
    auto borrowed = PackedWeights::borrow(view);
    if (!borrowed) return refuse(borrowed.status().code(), borrowed.status().message());
    return borrowed;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
