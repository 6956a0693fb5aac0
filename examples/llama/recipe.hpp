#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <planish/core/index.hpp>
#include <planish/core/result.hpp>

namespace llama {

/// A stage of a site's transform: what the input meets before it is quantized.
enum class StageKind : std::uint8_t { shift, scale, hadamard, kronecker, flatquant };

/// How weights are rounded: to the nearest code, with a range shrunk to the smallest squared error, or by GPTQ.
enum class Rounding : std::uint8_t { nearest, mse, gptq };

/// The four inputs of a Llama block that linear layers share: of q, k and v; of o; of gate and up; of down.
enum class SiteKind : std::uint8_t { attention, output, mlp, down };
inline constexpr std::array site_kinds{SiteKind::attention, SiteKind::output, SiteKind::mlp, SiteKind::down};

/// Bits of a site's weights and activations; 16 stays float32.
struct SiteBits {
  int weight = 16;
  int activation = 16;
  friend bool operator==(const SiteBits&, const SiteBits&) = default;
};

/// What one row of the comparison table does to a model. Spelled as
///
///     fp32
///     w<2-8|16>a<2-8|16>[s][kv<b>|k<b>v<b>][g<n>]{+<stage>}[+mse|+gptq][+bf16][+q8p8]{,<site>=w<b>a<b>}
///
/// `s` static activations, `kv` bits of cached keys and values, `g` columns of a weight row that share a scale, stages
/// in the order the data meets them, `bf16` matrices of online transforms that run in bfloat16, `q8p8` queries and
/// probabilities of 8 bits, sites `attn`, `o`, `mlp`, `down`. For example w4a4kv4+scale+hadamard,down=w8a8.
struct Recipe {
  int weight_bits = 16;
  int activation_bits = 16;
  bool static_activations = false;  ///< scales from calibration instead of one per token
  int key_bits = 16;
  int value_bits = 16;
  planish::index group_size = 0;  ///< 0: one scale per output channel
  std::vector<StageKind> stages;
  Rounding rounding = Rounding::nearest;
  bool bfloat16_transforms = false;  ///< bf16: online products round their operands to bfloat16
  bool integer_attention = false;    ///< q8p8: queries and probabilities meet the cache's codes as integers of 8 bits
  std::array<std::optional<SiteBits>, site_kinds.size()> overrides{};  ///< by SiteKind

  friend bool operator==(const Recipe&, const Recipe&) = default;

  [[nodiscard]] SiteBits bits_at(SiteKind site) const noexcept;
  [[nodiscard]] bool has(StageKind stage) const noexcept;

  /// The unchanged model: every number stays float32 and no stage runs.
  [[nodiscard]] bool is_float() const noexcept;
  [[nodiscard]] bool quantizes_weights() const noexcept;
  [[nodiscard]] bool quantizes_activations() const noexcept;
  [[nodiscard]] bool quantizes_cache() const noexcept { return key_bits < 16 || value_bits < 16; }

  /// True if calibration text or stored statistics are needed: shift, scale, static activations, gptq.
  [[nodiscard]] bool needs_statistics() const noexcept;
  /// True if learned parameters are needed, which only a file can bring: flatquant.
  [[nodiscard]] bool needs_parameters() const noexcept;
};

/// The recipe that the text spells, or one sentence that points at the offending part and lists what is allowed there.
[[nodiscard]] planish::Result<Recipe> parse_recipe(std::string_view text);

/// The shortest spelling: parse_recipe(to_string(r)) equals r.
[[nodiscard]] std::string to_string(const Recipe& recipe);

[[nodiscard]] std::string_view to_string(StageKind stage) noexcept;
[[nodiscard]] std::string_view to_string(Rounding rounding) noexcept;
[[nodiscard]] std::string_view to_string(SiteKind site) noexcept;

/// One line for `--help`.
inline constexpr std::string_view recipe_grammar =
    "fp32, or w<2-8|16>a<2-8|16>[s][kv<b>|k<b>v<b>][g<n>]{+<stage>}[+mse|+gptq][+bf16][+q8p8]{,<site>=w<b>a<b>}";

/// The rows of the comparison table.
inline constexpr std::array<std::string_view, 13> default_recipes{
    "fp32",
    "w8a8",
    "w8a8+scale",
    "w8a8+shift+scale",
    "w4a8",
    "w4a16",
    "w4a4kv4",
    "w4a4kv4+hadamard",
    "w4a4kv4+kronecker",
    "w4a4kv4+scale",
    "w4a4kv4+scale+kronecker",
    "w4a4kv4+scale+hadamard",
    "w4a4kv4+shift+scale+hadamard",
};

}  // namespace llama
