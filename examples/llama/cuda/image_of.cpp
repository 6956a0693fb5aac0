#include "image_of.hpp"

#include <algorithm>

namespace llama::gpu {
namespace {

QuantizerImage image_of(const planish::RowQuantizer& q) {
  if (q.bits == 16) return {};
  return {.bits = q.bits,
          .asymmetric = q.symmetry == planish::Symmetry::asymmetric,
          .positive_clip = q.clip.positive,
          .negative_clip = q.clip.negative,
          .static_scale = q.static_scale,
          .static_zero_point = q.static_zero_point};
}

std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

/// A linear's codes in canonical order, from whatever holds them.
void take_codes(LinearImage& image, const planish::AnyLinear& linear, const std::string& where) {
  planish::Codes codes = require(require(planish::PackedWeights::borrow(linear.packed()), where).unpack(), where);
  image.bits = codes.bits();
  image.asymmetric = codes.symmetry() == planish::Symmetry::asymmetric;
  image.group_columns = static_cast<int>(codes.group_size());
  image.codes.assign(codes.codes().begin(), codes.codes().end());
  image.scales.assign(codes.scales().begin(), codes.scales().end());
  image.zeros.assign(codes.zero_points().begin(), codes.zero_points().end());
}

void take_cache(LayerImage& image, const CacheParameters& cache, const std::string& where) {
  if (cache.integer_attention)
    fail(where, ": q8p8 attention runs on the CPU only; leave +q8p8 out of the recipe, or use --backend cpu");
  if ((cache.key_bits == 16) != (cache.value_bits == 16))
    fail(where, ": the GPU caches keys and values both as codes or both in float32, not keys of ", cache.key_bits,
         " and values of ", cache.value_bits, " bits; name both in the recipe, or use --backend cpu");
  image.key_bits = cache.key_bits;
  image.value_bits = cache.value_bits;
  image.key_clip[0] = cache.key_clip.positive;
  image.key_clip[1] = cache.key_clip.negative;
  image.value_clip[0] = cache.value_clip.positive;
  image.value_clip[1] = cache.value_clip.negative;
}

}  // namespace

SiteImage image_of(const planish::AnySite& site, std::size_t matrices, const std::string& where) {
  if (site.mode() == planish::SiteMode::fake)
    fail(where, ": the GPU multiplies codes; leave --fake out, or use --backend cpu");
  SiteImage image{.channels = static_cast<int>(site.size()), .steps = steps_of(site.online(), where)};
  for (std::size_t consumer = 0; consumer < matrices; ++consumer) {
    const QuantizerImage quantizer = image_of(site.quantizer(consumer));
    const auto found = std::find(image.quantizers.begin(), image.quantizers.end(), quantizer);
    image.input_of.push_back(static_cast<int>(found - image.quantizers.begin()));
    if (found == image.quantizers.end()) image.quantizers.push_back(quantizer);
  }
  return image;
}

LinearImage image_of(const planish::AnyLinear& linear, bool reads_codes, const std::string& where) {
  LinearImage image{
      .name = where, .rows = static_cast<int>(linear.rows()), .columns = static_cast<int>(linear.columns())};
  image.bias = copy_of(linear.bias());
  image.reads_codes = reads_codes;
  if (linear.has_codes()) {
    take_codes(image, linear, where);
    if (reads_codes && image.group_columns < image.columns && image.group_columns % 32 != 0)
      fail(where, ": integer products on a GPU take groups of a multiple of 32 columns, not of ", image.group_columns,
           "; choose another g in the recipe, or use --backend cpu");
    return image;
  }
  const planish::FloatPanelsView panels = linear.float_panels();
  image.weights.reserve(static_cast<std::size_t>(panels.rows * panels.columns));
  for (index r = 0; r < panels.rows; ++r)
    for (index c = 0; c < panels.columns; ++c) image.weights.push_back(panels.value(r, c));
  return image;
}

LayerImage image_of(const Block& block, const std::string& where) {
  LayerImage image;
  take_cache(image, block.cache(), where);
  image.attention_gain = copy_of(block.attention_gain());
  image.mlp_gain = copy_of(block.mlp_gain());
  image.query_gain = copy_of(block.query_gain());
  image.key_gain = copy_of(block.key_gain());
  image.key = steps_of(block.key_transform(), where + ".keys");
  image.query = steps_of(block.query_transform(), where + ".queries");
  for (const SiteKind kind : site_kinds) {
    const auto matrices = static_cast<std::size_t>(
        std::count_if(projections.begin(), projections.end(), [&](Projection p) { return site_of(p) == kind; }));
    SiteImage& site = image.sites[static_cast<std::size_t>(kind)];
    site = image_of(block.site(kind), matrices, where + "." + std::string(to_string(kind)));
    std::size_t consumer = 0;
    for (const Projection p : projections) {
      if (site_of(p) != kind) continue;
      const QuantizerImage& quantizer = site.quantizers[static_cast<std::size_t>(site.input_of[consumer++])];
      image.linears[static_cast<std::size_t>(p)] =
          image_of(block.linear(p), quantizer.bits < 16, where + "." + std::string(name_of(p)));
    }
  }
  return image;
}

FrameImage frame_of(const Model& model) {
  const Config& c = model.config();
  const std::string where = model.source().path();
  FrameImage image{.hidden_size = static_cast<int>(c.hidden_size),
                   .ffn_size = static_cast<int>(c.ffn_size),
                   .heads = static_cast<int>(c.heads),
                   .kv_heads = static_cast<int>(c.kv_heads),
                   .head_size = static_cast<int>(c.head_size),
                   .vocabulary = static_cast<int>(c.vocabulary),
                   .norm_epsilon = c.norm_epsilon,
                   .interleaved = c.pairs == RotaryPairs::interleaved,
                   .frequencies = c.rotary_frequencies,
                   .norm_gain = copy_of(model.norm_gain())};
  image.embedding = model.source().read("embedding", {c.vocabulary, c.hidden_size});
  image.head_site = image_of(model.head().site(), 1, where + ": head");
  image.head = image_of(model.head().linear(), image.head_site.quantizers.front().bits < 16, where + ": head");
  return image;
}

}  // namespace llama::gpu
