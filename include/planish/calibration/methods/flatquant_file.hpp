#pragma once
// FlatQuant's parameters as a safetensors file: the tensors that the reference implementation learns, layer by layer.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/calibration/methods/flatquant_parameters.hpp>
#include <planish/calibration/methods/flatquant_tensors.hpp>
#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/message.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/transform/dense.hpp>

namespace planish::inline PLANISH_ABI::calibration {

namespace detail {

/// Reads the tensors of one layer. The first error stays; what is read after it is empty.
class FlatQuantLayerReader {
 public:
  FlatQuantLayerReader(const io::SafetensorsFile& file, index layer) : file_(file), layer_(layer) {}

  [[nodiscard]] const Status& status() const noexcept { return status_; }

  /// True if this layer or the first one has any of these tensors, which belong together: then all of them must be
  /// here. Tensors that the first layer lacks are refused.
  [[nodiscard]] bool has_any(const std::vector<std::string>& names) {
    const auto found_in = [&](index layer) {
      return std::any_of(names.begin(), names.end(),
                         [&](const std::string& name) { return file_.find(flatquant_tensor(layer, name)) != nullptr; });
    };
    const bool here = found_in(layer_), first = found_in(0);
    if (here && !first) refuse(ErrorCode::malformed, names.front(), "layer 0 has no such tensor, and all are alike");
    return here || first;
  }

  /// `count` values of a vector (count, or count × 1).
  [[nodiscard]] std::vector<float> vector(const std::string& name, index count) {
    return read(name, {count}, {count, 1});
  }

  /// Values of a matrix; empty if the file has none.
  [[nodiscard]] FlatQuantWeights weights(const std::string& name, index rows, index columns) {
    if (!has_any({name})) return {};
    std::vector<float> values = read(name, {rows, columns});
    if (values.empty()) return {};
    return {rows, columns, std::move(values)};
  }

  /// A pair of size × size matrices whose second is the inverse transpose of the first; the identity if the file has
  /// neither.
  [[nodiscard]] MatrixPair pair(const std::string& name, index size) {
    MatrixPair pair;
    if (!has_any({name, name + "_inv_t"})) return pair;
    pair.matrix = read(name, {size, size});
    pair.inverse_transpose = read(name + "_inv_t", {size, size});
    if (!status_.ok()) return {};
    if (const auto stage = Dense::make(pair.matrix, pair.inverse_transpose, size); !stage)
      refuse(stage.status().code(), name + "_inv_t", stage.status().message());
    return pair;
  }

  /// The factors of a Kronecker of so many channels, if the file has them; it says how they are split.
  void factors(const std::string& site, index channels, FlatQuantTransform& into) {
    if (!has_any({site + ".P_left", site + ".P_left_inv_t", site + ".P_right", site + ".P_right_inv_t"})) return;
    const io::Tensor* left = find(site + ".P_left");
    if (left == nullptr) return;
    const index n1 = left->columns();
    if (n1 < 1 || channels % n1 != 0)
      return refuse(ErrorCode::shape_mismatch, site + ".P_left", n1, " channels do not divide ", channels);
    into.left = pair(site + ".P_left", n1);
    into.right = pair(site + ".P_right", channels / n1);
  }

  /// c, which divides weights and clips: zero and negative values are refused.
  [[nodiscard]] std::vector<float> scale(const std::string& name, index count) {
    std::vector<float> c = vector(name, count);
    for (std::size_t i = 0; i < c.size() && status_.ok(); ++i) {
      const std::string value = std::to_string(c[i]);
      if (c[i] < 0.0f)
        refuse(
            ErrorCode::unsupported, name, "channel ", i, " has c = ", std::string_view(value),
            ": the published diagonal is unconstrained and became negative; clips then change ends, so only positive "
            "values are taken");
      else if (!(c[i] > 0.0f) || !is_finite(1.0f / c[i]))
        refuse(ErrorCode::singular, name, "channel ", i, " has c = ", std::string_view(value),
               ", which has no finite reciprocal");
    }
    return c;
  }

  /// Clip pairs of `count` rows from the tensors of their positive and of their negative ends.
  [[nodiscard]] std::vector<ClipPair> clips(const std::string& positive, const std::string& negative, index count) {
    const std::vector<float> up = vector(positive, count), down = vector(negative, count);
    if (!status_.ok()) return {};
    check_factors(positive, up);
    check_factors(negative, down);
    std::vector<ClipPair> pairs(up.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {up[i], down[i]};
    return pairs;
  }

  /// One pair that scales are taken from while a model runs.
  [[nodiscard]] ClipPair clip(const std::string& positive, const std::string& negative) {
    const std::vector<ClipPair> one = clips(positive, negative, 1);
    if (!status_.ok()) return {};
    if (!is_valid_clip(one[0])) refuse(ErrorCode::malformed, positive, "the clip factors are below 2^-20");
    return one[0];
  }

 private:
  template <class... Parts>
  void refuse(ErrorCode code, const std::string& name, const Parts&... parts) {
    if (status_.ok()) status_ = io::detail::tensor_error(code, file_.path(), flatquant_tensor(layer_, name), parts...);
  }

  void check_factors(const std::string& name, const std::vector<float>& factors) {
    for (std::size_t i = 0; i < factors.size() && status_.ok(); ++i)
      if (!(factors[i] > 0.0f && factors[i] <= 1.0f)) {
        const std::string value = std::to_string(factors[i]);
        refuse(ErrorCode::malformed, name, "value ", i, " is ", std::string_view(value),
               "; clip factors are in (0, 1], after the sigmoid");
      }
  }

  [[nodiscard]] const io::Tensor* find(const std::string& name) {
    const auto tensor = file_.get(flatquant_tensor(layer_, name));
    if (tensor) return *tensor;
    if (status_.ok()) status_ = tensor.status();
    return nullptr;
  }

  [[nodiscard]] std::vector<float> read(const std::string& name, const std::vector<index>& shape,
                                        const std::vector<index>& or_shape = {}) {
    const io::Tensor* tensor = status_.ok() ? find(name) : nullptr;
    if (tensor == nullptr) return {};
    if (tensor->shape != shape && (or_shape.empty() || tensor->shape != or_shape)) {
      const std::string is = shape_text(tensor->shape), wanted = shape_text(shape);
      refuse(ErrorCode::shape_mismatch, name, "is ", std::string_view(is), ", not ", std::string_view(wanted));
      return {};
    }
    auto values = file_.read_floats(*tensor);
    if (values) return *std::move(values);
    status_ = values.status();
    return {};
  }

  [[nodiscard]] static std::string shape_text(const std::vector<index>& shape) {
    std::string text;
    for (index extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
    return text.empty() ? "a single value" : text;
  }

  const io::SafetensorsFile& file_;
  index layer_;
  Status status_;
};

}  // namespace detail

/// A file of FlatQuant's parameters, checked layer by layer as it is read.
class FlatQuantFile {
 public:
  /// True if the file holds such parameters, told by its tensors.
  [[nodiscard]] static bool is_one(const io::SafetensorsFile& file) noexcept {
    return file.find("layers.0.q_proj.lac_max") != nullptr;
  }

  /// Errors: io, malformed, unsupported (a file of something else).
  [[nodiscard]] static Result<FlatQuantFile> open(const std::string& path) noexcept {
    auto file = io::SafetensorsFile::open(path);
    if (!file) return file.status();
    return from(*std::move(file));
  }
  [[nodiscard]] static Result<FlatQuantFile> from(io::SafetensorsFile file) noexcept {
    if (!is_one(file))
      return io::detail::file_error(ErrorCode::unsupported, file.path(),
                                    "holds no FlatQuant parameters: there is no tensor 'layers.0.q_proj.lac_max'");
    return FlatQuantFile(std::move(file));
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Parameters of one layer. Everything but the clips of activations may be absent, if it is absent from all layers:
  /// what is not quantized is not learned. Errors name file, tensor and reason: invalid_argument (a missing tensor, a
  /// matrix that is not the inverse transpose of its partner), shape_mismatch, not_finite, singular, unsupported (a
  /// negative c), malformed (clip factors, layers that differ).
  [[nodiscard]] Result<FlatQuantParameters> read(index layer, const FlatQuantSizes& sizes) const noexcept {
    return io::detail::guarded(path(), [&]() -> Result<FlatQuantParameters> {
      detail::FlatQuantLayerReader from(file_, layer);
      FlatQuantParameters made;
      for (std::size_t i = 0; i < block_sites; ++i) {
        const auto site = static_cast<BlockSite>(i);
        const std::string name = std::string(flatquant_site_name(site)) + ".shift";
        if (from.has_any({name})) made.transforms[i].shift = from.vector(name, sizes.channels(site));
      }
      for (BlockSite site : {BlockSite::attention, BlockSite::mlp, BlockSite::down}) {
        const std::string name(flatquant_site_name(site));
        const index channels = sizes.channels(site);
        FlatQuantTransform& transform = made.transform(site);
        if (from.has_any({name + ".diag"})) transform.scale = from.scale(name + ".diag", channels);
        from.factors(name, channels, transform);
      }
      FlatQuantTransform& output = made.transform(BlockSite::output);
      output.left = from.pair("o_heads.P", sizes.heads);
      output.right = from.pair("v_head.P", sizes.head_size);
      made.key_head = from.pair("k_head.P", sizes.head_size);
      for (std::size_t i = 0; i < block_matrices; ++i) {
        const auto matrix = static_cast<BlockMatrix>(i);
        const std::string name(flatquant_matrix_name(matrix));
        FlatQuantClips& clips = made.clips_of(matrix);
        if (from.has_any({name + ".lwc_max", name + ".lwc_min"}))
          clips.weight_rows = from.clips(name + ".lwc_max", name + ".lwc_min", sizes.rows(matrix));
        clips.activation = from.clip(name + ".lac_max", name + ".lac_min");
        made.weights_of(matrix) = from.weights(name + ".learned_weight", sizes.rows(matrix), sizes.columns(matrix));
      }
      for (auto [cache, clip] : {std::pair{"k_cache", &made.key_cache}, std::pair{"v_cache", &made.value_cache}}) {
        const std::string up = cache + std::string(".clip_max"), down = cache + std::string(".clip_min");
        if (from.has_any({up, down})) *clip = from.clip(up, down);
      }
      if (!from.status().ok()) return from.status();
      return made;
    });
  }

 private:
  explicit FlatQuantFile(io::SafetensorsFile file) noexcept : file_(std::move(file)) {}

  io::SafetensorsFile file_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
