#include "model_artefact.hpp"

#include <algorithm>
#include <utility>

#include "require.hpp"

namespace llama {
namespace {

std::string site_tensor(index layer, SiteKind site) {
  return layer_tensor(layer, std::string(to_string(site)) + "_in");
}

/// Of a quantizer, as one row: bits, symmetry, clip pair, static scale and zero point.
constexpr index quantizer_fields = 6;

/// A whole number that was stored as a float.
bool is_between(float value, int least, int most) {
  return value >= static_cast<float>(least) && value <= static_cast<float>(most) &&
         value == static_cast<float>(static_cast<int>(value));
}

}  // namespace

ArtefactOutput::ArtefactOutput(const WeightSource& source, const Recipe& recipe) {
  require(writer_.set_recipe(to_string(recipe)), "artefact");
  require(writer_.set_model_sha256(source.identity()), "artefact");
  require(writer_.set_string("model", source.config().name), "artefact");
}

void ArtefactOutput::set_string(std::string_view key, std::string value) {
  require(writer_.set_string(std::string(key), std::move(value)), "artefact");
}

void ArtefactOutput::add_layer(index layer, const BlockParameters& parameters, bool packed) {
  const auto add = [&](const std::string& name, const std::vector<float>& values) {
    require(writer_.add_floats(name, {static_cast<index>(values.size())}, values), name);
  };
  const auto add_transform = [&](const std::string& name, const planish::AnyTransform& transform) {
    require(planish::io::add_transform(writer_, name, transform), name);
  };
  add(layer_tensor(layer, "attention_norm"), parameters.attention_gain);
  add(layer_tensor(layer, "mlp_norm"), parameters.mlp_gain);
  if (!parameters.query_gain.empty()) add(layer_tensor(layer, "q_norm"), parameters.query_gain);
  if (!parameters.key_gain.empty()) add(layer_tensor(layer, "k_norm"), parameters.key_gain);
  for (SiteKind kind : site_kinds) {
    const SiteParameters& site = parameters.sites[static_cast<std::size_t>(kind)];
    add_transform(site_tensor(layer, kind), site.online);
    std::vector<float> rows;
    for (const planish::RowQuantizer& q : site.quantizers)
      rows.insert(rows.end(), {static_cast<float>(q.bits), static_cast<float>(q.symmetry), q.clip.positive,
                               q.clip.negative, q.static_scale, static_cast<float>(q.static_zero_point)});
    const auto count = static_cast<index>(site.quantizers.size());
    const std::string name = site_tensor(layer, kind) + ".quantizer";
    const std::vector<index> shape = count == 1 ? std::vector{quantizer_fields} : std::vector{count, quantizer_fields};
    require(writer_.add_floats(name, shape, rows), name);
  }
  for (Projection p : projections) {
    const LinearParameters& linear = parameters.linears[static_cast<std::size_t>(p)];
    const std::string name = layer_tensor(layer, name_of(p));
    if (linear.codes)
      require(writer_.add_codes(name, linear.codes->view()), name);
    else
      add(name + ".weights", linear.weights);
    if (linear.codes && packed)
      require(planish::io::add_packed(writer_, name,
                                      require(planish::PackedWeights::make(linear.codes->view()), name).view()),
              name);
    if (!linear.bias.empty()) add(name + ".bias", linear.bias);
  }
  add_transform(layer_tensor(layer, "key"), parameters.key);
  add_transform(layer_tensor(layer, "query"), parameters.query);
  const CacheParameters& c = parameters.cache;
  add(layer_tensor(layer, "cache"),
      {static_cast<float>(c.key_bits), static_cast<float>(c.value_bits), c.key_clip.positive, c.key_clip.negative,
       c.value_clip.positive, c.value_clip.negative});
}

void ArtefactOutput::add_floats(const std::string& name, const std::vector<index>& shape,
                                const std::vector<float>& values) {
  require(writer_.add_floats(name, shape, values), name);
}

void ArtefactOutput::write(const std::string& path) { require(writer_.write(path)); }

ArtefactInput::ArtefactInput(const std::string& path, const WeightSource& source)
    : file_(require(planish::io::Artefact::open(path))), config_(&source.config()) {
  if (file_.model_sha256() != source.identity()) fail(path, ": was made from another model than ", source.path());
  recipe_ = require(parse_recipe(file_.recipe()), path);
}

void ArtefactInput::refuse(const std::string& name, const std::string& reason) const {
  fail(file_.path(), ": tensor '", name, "': ", reason);
}

std::vector<float> ArtefactInput::floats(const std::string& name, index count) const {
  std::vector<float> values = require(file_.read_floats(name));
  if (static_cast<index>(values.size()) != count)
    refuse(name, std::to_string(values.size()) + " values, not " + std::to_string(count));
  return values;
}

std::vector<planish::RowQuantizer> ArtefactInput::quantizers(const std::string& name, SiteKind site) const {
  const auto matrices =
      std::count_if(projections.begin(), projections.end(), [&](Projection p) { return site_of(p) == site; });
  const planish::io::Tensor* tensor = require(file_.get(name));
  const std::vector<float> all = floats(name, tensor->rows() == 1 ? quantizer_fields : matrices * quantizer_fields);
  std::vector<planish::RowQuantizer> made;
  for (auto q = all.begin(); q != all.end(); q += quantizer_fields) {
    if (!is_between(q[0], 2, 16) || !is_between(q[1], 0, 1) || !is_between(q[5], 0, 255))
      refuse(name, "bits, symmetry or zero point out of range");
    made.push_back({.bits = static_cast<int>(q[0]),
                    .symmetry = static_cast<planish::Symmetry>(static_cast<int>(q[1])),
                    .clip = {q[2], q[3]},
                    .static_scale = q[4],
                    .static_zero_point = static_cast<int>(q[5])});
  }
  return made;
}

planish::AnyTransform ArtefactInput::transform(const std::string& name, index size) const {
  planish::AnyTransform transform = require(planish::io::read_transform(file_, name));
  if (transform.size() != size)
    refuse(name, "a transform of " + std::to_string(transform.size()) + " channels, not " + std::to_string(size));
  return transform;
}

BlockParameters ArtefactInput::layer(index layer, Weights weights) const {
  BlockParameters made;
  made.attention_gain = floats(layer_tensor(layer, "attention_norm"), config_->hidden_size);
  made.mlp_gain = floats(layer_tensor(layer, "mlp_norm"), config_->hidden_size);
  if (config_->head_norms) {
    made.query_gain = floats(layer_tensor(layer, "q_norm"), config_->head_size);
    made.key_gain = floats(layer_tensor(layer, "k_norm"), config_->head_size);
  }
  for (SiteKind kind : site_kinds) {
    SiteParameters& site = made.sites[static_cast<std::size_t>(kind)];
    const std::string name = site_tensor(layer, kind);
    site.online = transform(name, channels_at(kind, *config_));
    site.quantizers = quantizers(name + ".quantizer", kind);
  }
  for (Projection p : projections) {
    LinearParameters& linear = made.linears[static_cast<std::size_t>(p)];
    const std::string name = layer_tensor(layer, name_of(p));
    const MatrixShape shape = shape_of(p, *config_);
    if (weights == Weights::mapped && planish::io::has_packed(file_, name)) {
      linear.packed = require(planish::io::map_packed(file_, name)).view();
    } else if (file_.has_codes(name)) {
      linear.codes = require(file_.read_codes(name));
      if (linear.codes->rows() != shape.rows || linear.codes->columns() != shape.columns)
        refuse(name, std::to_string(linear.codes->rows()) + " x " + std::to_string(linear.codes->columns()) +
                         " codes, not " + std::to_string(shape.rows) + " x " + std::to_string(shape.columns));
    } else {
      linear.weights = floats(name + ".weights", shape.rows * shape.columns);
    }
    if (file_.find(name + ".bias") != nullptr) linear.bias = floats(name + ".bias", shape.rows);
  }
  made.key = transform(layer_tensor(layer, "key"), config_->head_size);
  made.query = transform(layer_tensor(layer, "query"), config_->head_size);
  const std::vector<float> c = floats(layer_tensor(layer, "cache"), 6);
  if (!is_between(c[0], 2, 16) || !is_between(c[1], 2, 16)) refuse(layer_tensor(layer, "cache"), "bits out of range");
  made.cache = {.key_bits = static_cast<int>(c[0]),
                .value_bits = static_cast<int>(c[1]),
                .key_clip = {c[2], c[3]},
                .value_clip = {c[4], c[5]},
                .integer_attention = recipe_.integer_attention};
  return made;
}

}  // namespace llama
