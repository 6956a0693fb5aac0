#pragma once
// How a safetensors file spells FlatQuant's parameters, and writing them. `layers.{i}.` is in front of every name:
//   attn_in, mlp_in, down_in   .diag (c), .P_left, .P_right and their inverse transposes .P_left_inv_t, .P_right_inv_t
//   attn_in, o_heads, mlp_in, down_in   .shift (z), which the reference implementation does not know, where inputs are
//     centred
//   o_heads, v_head, k_head    .P, .P_inv_t
//   {q,k,v,o,gate,up,down}_proj   .lwc_max, .lwc_min (clips of weight rows), .lac_max, .lac_min (of the input),
//     and where weights were learned .learned_weight
//   k_cache, v_cache           .clip_max, .clip_min
#include <array>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <planish/calibration/methods/flatquant_parameters.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/io/finite.hpp>
#include <planish/io/message.hpp>
#include <planish/io/safetensors_writer.hpp>

namespace planish::inline PLANISH_ABI::calibration {

[[nodiscard]] inline std::string flatquant_tensor(index layer, std::string_view name) {
  return "layers." + std::to_string(layer) + '.' + std::string(name);
}

/// Of the sites whose factors belong to themselves; the output's are o_heads and v_head.
[[nodiscard]] constexpr std::string_view flatquant_site_name(BlockSite site) noexcept {
  constexpr std::array<std::string_view, block_sites> names{"attn_in", "o_heads", "mlp_in", "down_in"};
  return names[static_cast<std::size_t>(site)];
}

[[nodiscard]] constexpr std::string_view flatquant_matrix_name(BlockMatrix matrix) noexcept {
  constexpr std::array<std::string_view, block_matrices> names{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                               "gate_proj", "up_proj", "down_proj"};
  return names[static_cast<std::size_t>(matrix)];
}

/// Sizes of the blocks that a file's tensors must fit.
struct FlatQuantSizes {
  index hidden = 0;     // channels of the residual stream
  index ffn = 0;        // channels between up and down
  index heads = 0;      // query heads
  index kv_heads = 0;   // key/value heads
  index head_size = 0;  // channels of a head

  /// Channels of a site's input.
  [[nodiscard]] index channels(BlockSite site) const noexcept {
    return site == BlockSite::output ? heads * head_size : site == BlockSite::down ? ffn : hidden;
  }
  /// Columns of a matrix.
  [[nodiscard]] index columns(BlockMatrix matrix) const noexcept {
    if (matrix == BlockMatrix::output) return channels(BlockSite::output);
    return matrix == BlockMatrix::down ? ffn : hidden;
  }
  /// Rows of a matrix.
  [[nodiscard]] index rows(BlockMatrix matrix) const noexcept {
    switch (matrix) {
      case BlockMatrix::query:
        return heads * head_size;
      case BlockMatrix::key:
      case BlockMatrix::value:
        return kv_heads * head_size;
      case BlockMatrix::gate:
      case BlockMatrix::up:
        return ffn;
      default:
        return hidden;
    }
  }
};

namespace detail {

/// Adds the tensors of one layer; the first error stays.
class FlatQuantLayerWriter {
 public:
  FlatQuantLayerWriter(io::SafetensorsWriter& writer, index layer) : writer_(writer), layer_(layer) {}

  [[nodiscard]] const Status& status() const noexcept { return status_; }

  void add(const std::string& name, std::vector<index> shape, std::span<const float> values) {
    if (!status_.ok()) return;
    const std::string tensor = flatquant_tensor(layer_, name);
    status_ = io::detail::check_finite("FlatQuant", tensor, values);
    if (status_.ok()) status_ = writer_.add_floats(tensor, std::move(shape), values);
  }
  void add(const std::string& name, std::span<const float> values) {
    add(name, {static_cast<index>(values.size())}, values);
  }

  /// Nothing for the identity.
  void add(const std::string& name, const MatrixPair& pair) {
    if (pair.empty()) return;
    const auto size = static_cast<index>(std::llround(std::sqrt(static_cast<double>(pair.matrix.size()))));
    add(name, {size, size}, pair.matrix);
    add(name + "_inv_t", {size, size}, pair.inverse_transpose);
  }

  void add(const std::string& positive, const std::string& negative, std::span<const ClipPair> clips) {
    std::vector<float> up, down;
    for (const ClipPair& clip : clips) {
      up.push_back(clip.positive);
      down.push_back(clip.negative);
    }
    add(positive, up);
    add(negative, down);
  }

 private:
  io::SafetensorsWriter& writer_;
  index layer_;
  Status status_;
};

}  // namespace detail

/// Adds the parameters of one layer to a file; write it with `writer.write(path)`. Empty shifts, scales, factors and
/// clips of rows are left out. Errors: not_finite, shape_mismatch (a matrix that is not square),
/// invalid_argument (a layer that was added before).
[[nodiscard]] inline Status add_flatquant(io::SafetensorsWriter& writer, index layer,
                                          const FlatQuantParameters& parameters) noexcept {
  return io::detail::guarded("FlatQuant", [&]() -> Status {
    detail::FlatQuantLayerWriter to(writer, layer);
    for (std::size_t i = 0; i < block_sites; ++i)
      if (const std::vector<float>& z = parameters.transforms[i].shift; !z.empty())
        to.add(std::string(flatquant_site_name(static_cast<BlockSite>(i))) + ".shift", z);
    for (BlockSite site : {BlockSite::attention, BlockSite::mlp, BlockSite::down}) {
      const std::string name(flatquant_site_name(site));
      const FlatQuantTransform& transform = parameters.transform(site);
      if (!transform.scale.empty()) to.add(name + ".diag", transform.scale);
      to.add(name + ".P_left", transform.left);
      to.add(name + ".P_right", transform.right);
    }
    to.add("o_heads.P", parameters.transform(BlockSite::output).left);
    to.add("v_head.P", parameters.transform(BlockSite::output).right);
    to.add("k_head.P", parameters.key_head);
    for (std::size_t i = 0; i < block_matrices; ++i) {
      const std::string name(flatquant_matrix_name(static_cast<BlockMatrix>(i)));
      const FlatQuantClips& clips = parameters.clips[i];
      if (!clips.weight_rows.empty()) to.add(name + ".lwc_max", name + ".lwc_min", clips.weight_rows);
      to.add(name + ".lac_max", name + ".lac_min", {&clips.activation, 1});
      if (const FlatQuantWeights& w = parameters.weights[i]; !w.empty())
        to.add(name + ".learned_weight", {w.rows, w.columns}, w.values);
    }
    to.add("k_cache.clip_max", "k_cache.clip_min", {&parameters.key_cache, 1});
    to.add("v_cache.clip_max", "v_cache.clip_min", {&parameters.value_cache, 1});
    return to.status();
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration
