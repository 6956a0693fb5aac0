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
  const auto expect = [&](const std::string& name) {
    if (!source.has(name))
      fail(source.path(), ": tensor '", spelling.spell(name), "': is not in this file, but the model needs it");
    allow(name);
  };
  expect("embedding");
  expect("norm");
  if (config.tied_head)
    allow("head");
  else
    expect("head");
  for (index layer = 0; layer < config.layers; ++layer) {
    expect(layer_tensor(layer, "attention_norm"));
    expect(layer_tensor(layer, "mlp_norm"));
    if (config.head_norms) {
      expect(layer_tensor(layer, "q_norm"));
      expect(layer_tensor(layer, "k_norm"));
    }
    for (Projection p : projections) {
      const std::string name = layer_tensor(layer, name_of(p));
      expect(name);
      if (config.attention_biases && site_of(p) == SiteKind::attention)
        expect(name + ".bias");
      else
        allow(name + ".bias");
    }
  }
  for (std::string_view name : names)
    if (!known.contains(name) && !follows_from_config(name))
      fail(source.path(), ": tensor '", name,
           "': is no part of a model of the Llama family (llama, mistral, qwen2, qwen3) of ", config.layers,
           " layers, and leaving it out would change what the model computes");
}

}  // namespace llama
