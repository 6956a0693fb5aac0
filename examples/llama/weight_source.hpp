#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <planish/packing/codes.hpp>

#include "config.hpp"

namespace llama {

/// The seven matrices of a block, in the order the data meets them.
enum class Projection : int { query, key, value, output, gate, up, down };
inline constexpr std::array<Projection, 7> projections = {Projection::query,  Projection::key,  Projection::value,
                                                          Projection::output, Projection::gate, Projection::up,
                                                          Projection::down};
inline constexpr std::array<std::string_view, 7> projection_names = {"q", "k", "v", "o", "gate", "up", "down"};

[[nodiscard]] inline std::string_view name_of(Projection p) { return projection_names[static_cast<std::size_t>(p)]; }

struct MatrixShape {
  index rows = 0, columns = 0;
  friend bool operator==(MatrixShape, MatrixShape) = default;
};

/// out × in of one of the seven matrices.
[[nodiscard]] inline MatrixShape shape_of(Projection p, const Config& c) {
  switch (p) {
    case Projection::query:
      return {c.query_size(), c.hidden_size};
    case Projection::key:
    case Projection::value:
      return {c.kv_size(), c.hidden_size};
    case Projection::output:
      return {c.hidden_size, c.query_size()};
    case Projection::gate:
    case Projection::up:
      return {c.ffn_size, c.hidden_size};
    case Projection::down:
      return {c.hidden_size, c.ffn_size};
  }
  return {};
}

/// Names of tensors, the same for every file format: `embedding`, `norm`, `head`, and per layer
/// `layers.0.attention_norm`, `layers.0.q`, `layers.0.q.bias`, ..., `layers.0.q_norm`, `layers.0.k_norm`,
/// `layers.0.mlp_norm`, `layers.0.gate`, ...
[[nodiscard]] inline std::string layer_tensor(index layer, std::string_view what) {
  return "layers." + std::to_string(layer) + "." + std::string(what);
}

/// A model's weights by name, as float rows, from whatever file holds them. The file stays mapped; nothing is kept.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// Opens a GGUF file, a .safetensors file with config.json beside it, or a folder of a Hugging Face model
  /// (model.safetensors or shards with an index). Throws Error.
  [[nodiscard]] static std::unique_ptr<WeightSource> open(const std::string& path);

  [[nodiscard]] const Config& config() const noexcept { return config_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  [[nodiscard]] virtual bool has(std::string_view name) const = 0;

  /// Bytes that a tensor takes in the file.
  [[nodiscard]] virtual std::size_t stored_bytes(std::string_view name) const = 0;

  /// How the file stores a tensor, for people ("Q4_1", "F32", ...).
  [[nodiscard]] virtual std::string storage(std::string_view name) const = 0;

  /// Throws Error unless the file has the tensor, of that shape. Vectors have one row.
  void check(std::string_view name, MatrixShape shape) const;

  /// Rows [first, first + count) of a matrix of `shape`; throws Error on a missing tensor, another shape, NaN or
  /// infinity.
  void read_rows(std::string_view name, MatrixShape shape, index first, index count, float* out) const;

  /// The whole matrix, row-major.
  [[nodiscard]] std::vector<float> read(std::string_view name, MatrixShape shape) const;

  /// A vector if the file has it, else nothing.
  [[nodiscard]] std::vector<float> read_if_present(std::string_view name, index size) const;

  /// The codes of a tensor that the file stores as symmetric 8-bit codes, so that no precision is lost; else nothing.
  [[nodiscard]] virtual std::optional<planish::Codes> read_codes(std::string_view name) const;

  /// Tells models apart: 64 hexadecimal digits over every tensor's name, storage and bytes spread over it.
  [[nodiscard]] virtual std::string identity() const = 0;

  /// Gives back the memory that the pages read so far take, where there is a file that they come from again.
  virtual void release() const noexcept {}

 protected:
  explicit WeightSource(std::string path) : path_(std::move(path)) {}

  /// What the file calls a tensor.
  [[nodiscard]] virtual std::string file_name_of(std::string_view name) const = 0;
  [[nodiscard]] virtual MatrixShape stored_shape(std::string_view name) const = 0;
  virtual void convert_rows(std::string_view name, index first, index count, float* out) const = 0;
  [[noreturn]] void refuse(std::string_view name, std::string_view reason) const;

  std::string path_;
  Config config_;
};

}  // namespace llama
