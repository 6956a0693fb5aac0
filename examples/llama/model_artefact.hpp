#pragma once
#include <memory>
#include <string>
#include <string_view>

#include <planish/io/artefact.hpp>
#include <planish/io/artefact_packed.hpp>
#include <planish/io/artefact_transform.hpp>
#include <planish/io/artefact_writer.hpp>

#include "block.hpp"
#include "model.hpp"
#include "recipe.hpp"

namespace llama {

/// Writes the blocks of a quantized model as a planish artefact: codes, scales, biases, norm gains, and per site the
/// stages that run online and the quantizer. Embedding, last norm and head stay in the model file.
///
/// Per layer i: layers.i.attention_norm, layers.i.mlp_norm, layers.i.q_norm and k_norm where heads are normalised;
/// layers.i.M (codes) or layers.i.M.weights (floats) and layers.i.M.bias for M in q, k, v, o, gate, up, down;
/// transforms layers.i.T for T in attn_in, o_in, mlp_in, down_in, key, query; layers.i.S.quantizer of each site S, one
/// row for all matrices or one for each (format 1.1); layers.i.cache. A calibration adds layers.i.calibration.* and
/// strings (calibration/block_record.hpp), which nothing that runs the model reads.
class ArtefactOutput {
 public:
  ArtefactOutput(const WeightSource& source, const Recipe& recipe);

  /// A string for readers, beside those of the format.
  void set_string(std::string_view key, std::string value);

  /// `packed`: also as this program's kernels read the codes, so that a loader maps them.
  void add_layer(index layer, const BlockParameters& parameters, bool packed = false);

  /// A tensor beside the blocks.
  void add_floats(const std::string& name, const std::vector<index>& shape, const std::vector<float>& values);

  /// Whole or not at all.
  void write(const std::string& path);

 private:
  planish::io::ArtefactWriter writer_;
};

/// Reads it back; logits equal those of the model that was written, to the bit. Throws Error, also if the artefact was
/// made from another model.
class ArtefactInput {
 public:
  ArtefactInput(const std::string& path, const WeightSource& source);

  [[nodiscard]] const Recipe& recipe() const noexcept { return recipe_; }

  enum class Weights : std::uint8_t { codes, mapped };
  /// `mapped`: weights that lie packed in the file are views of it, as long as this object lives.
  [[nodiscard]] BlockParameters layer(index layer, Weights weights = Weights::codes) const;

 private:
  [[nodiscard]] std::vector<planish::RowQuantizer> quantizers(const std::string& name, SiteKind site) const;
  [[nodiscard]] planish::AnyTransform transform(const std::string& name, index size) const;
  [[nodiscard]] std::vector<float> floats(const std::string& name, index count) const;
  [[noreturn]] void refuse(const std::string& name, const std::string& reason) const;

  planish::io::Artefact file_;
  const Config* config_;
  Recipe recipe_;
};

}  // namespace llama
