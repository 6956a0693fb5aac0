#include <algorithm>
#include <set>

#include "site.hpp"
#include "weight_files.hpp"

namespace llama {
namespace {

/// Tables that follow from the hyper-parameters; files of older programs hold them.
bool follows_from_config(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name.ends_with("attn_rot_embd.weight") || name == "rope_freqs.weight";
}

}  // namespace

void check_tensors(const WeightSource& source, const TensorNames& spelling, std::span<const std::string_view> names) {
  const Config& config = source.config();
  std::set<std::string, std::less<>> known;
  const auto allow = [&](const std::string& name) { known.insert(spelling.spell(name)); };
  const auto expect = [&](const std::string& name, MatrixShape shape) {
    source.check(name, shape);
    allow(name);
  };
  const MatrixShape vocabulary{config.vocabulary, config.hidden_size}, vector{1, config.hidden_size};
  expect("embedding", vocabulary);
  expect("norm", vector);
  if (config.tied_head)
    allow("head");
  else
    expect("head", vocabulary);
  for (index layer = 0; layer < config.layers; ++layer) {
    expect(layer_tensor(layer, "attention_norm"), vector);
    expect(layer_tensor(layer, "mlp_norm"), vector);
    if (config.head_norms) {
      expect(layer_tensor(layer, "q_norm"), {1, config.head_size});
      expect(layer_tensor(layer, "k_norm"), {1, config.head_size});
    }
    for (Projection p : projections) {
      const std::string name = layer_tensor(layer, name_of(p));
      const MatrixShape shape = shape_of(p, config);
      expect(name, shape);
      if (source.has(name + ".bias") || (config.attention_biases && site_of(p) == SiteKind::attention))
        expect(name + ".bias", {1, shape.rows});
    }
  }
  for (std::string_view name : names)
    if (!known.contains(name) && !follows_from_config(name))
      fail(source.path(), ": tensor '", name,
           "': is no part of a model of the Llama family (llama, mistral, qwen2, qwen3) of ", config.layers,
           " layers, and leaving it out would change what the model computes");
}

}  // namespace llama
