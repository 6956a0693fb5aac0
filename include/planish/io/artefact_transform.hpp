#pragma once
// Transforms in artefacts: `planish.transform.NAME` lists the stages in the order the data meets them,
// {"size":576,"stages":[{"name":"scale","parameters":["factors"]}]}, and each parameter is the F32 tensor
// NAME.STAGE.PARAMETER, rows × columns, where STAGE counts from 0 (NAME.0.factors); a parameter whose name came before
// in its stage has the number of times it came behind it (NAME.1.block.1).
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/artefact.hpp>
#include <planish/io/artefact_writer.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/json_text.hpp>
#include <planish/io/message.hpp>
#include <planish/linear/any_transform.hpp>

namespace planish::inline PLANISH_ABI::io {

namespace detail {

struct StoredStage {
  std::string name;
  std::vector<std::string> parameters;

  /// Tensor of parameter number i.
  [[nodiscard]] std::string tensor_name(std::string_view transform, std::size_t stage, std::size_t i) const {
    std::string text = std::string(transform) + '.' + std::to_string(stage) + '.' + parameters[i];
    std::size_t before = 0;
    for (std::size_t j = 0; j < i; ++j) before += parameters[j] == parameters[i];
    return before == 0 ? text : text + '.' + std::to_string(before);
  }
};

[[nodiscard]] inline std::string stages_to_json(index size, const std::vector<StoredStage>& stages) {
  std::string text = "{\"size\":" + std::to_string(size) + ",\"stages\":[";
  for (const StoredStage& stage : stages) {
    if (text.back() == '}') text += ',';
    text += "{\"name\":";
    append_json_string(text, stage.name);
    text += ",\"parameters\":[";
    for (std::size_t i = 0; i < stage.parameters.size(); ++i) {
      if (i > 0) text += ',';
      append_json_string(text, stage.parameters[i]);
    }
    text += "]}";
  }
  return text + "]}";
}

[[nodiscard]] inline bool stages_from_json(std::string_view text, index& size, std::vector<StoredStage>& stages) {
  JsonReader json(text);
  std::int64_t channels = -1;
  bool has_stages = false;
  json.object([&](const std::string& key) {
    if (key == "size") return void(json.integer(channels));
    if (key != "stages") return void(json.skip());
    has_stages = true;
    json.array([&] {
      StoredStage& stage = stages.emplace_back();
      json.object([&](const std::string& member) {
        if (member == "name")
          json.string(stage.name);
        else if (member == "parameters")
          json.array([&] { json.string(stage.parameters.emplace_back()); });
        else
          json.skip();
      });
    });
  });
  size = static_cast<index>(channels);
  return json.finish() && has_stages && channels >= 0;
}

}  // namespace detail

/// Adds every stage of a transform under one name. Errors: unsupported (a stage that cannot be saved), and those of
/// ArtefactWriter::add_floats.
inline Status add_transform(ArtefactWriter& writer, const std::string& name, const AnyTransform& transform) noexcept {
  return detail::guarded("artefact", [&]() -> Status {
    std::vector<detail::StoredStage> stages;
    Status status;
    Status saved = transform.for_each_stage([&](const char* stage_name, std::span<const StageParameter> parameters) {
      detail::StoredStage& stage = stages.emplace_back();
      stage.name = stage_name;
      for (const StageParameter& parameter : parameters) {
        stage.parameters.push_back(parameter.name);
        if (status.ok())
          status = writer.add_floats(stage.tensor_name(name, stages.size() - 1, stage.parameters.size() - 1),
                                     {parameter.rows, parameter.columns}, parameter.values);
      }
    });
    if (!saved.ok()) return saved;
    if (!status.ok()) return status;
    return writer.set_description(artefact_key::transform, name, detail::stages_to_json(transform.size(), stages));
  });
}

/// Whether the artefact holds a transform of that name.
[[nodiscard]] inline bool has_transform(const Artefact& artefact, std::string_view name) {
  return artefact.find_string(std::string(artefact_key::transform).append(name)) != nullptr;
}

/// The transform of that name; `registry` adds stages of the host. Errors: invalid_argument (no such transform),
/// unsupported (an unknown stage), malformed, and what the stages' own checks say.
PLANISH_LAZY [[nodiscard]] Result<AnyTransform> read_transform(const Artefact& artefact, std::string_view name,
                                                               const StageRegistry& registry = {}) noexcept {
  return detail::guarded(artefact.path(), [&]() -> Result<AnyTransform> {
    const auto refuse = [&](ErrorCode code, const auto&... parts) {
      return detail::file_error(code, artefact.path(), "transform '", std::string_view(detail::shown(name, 80)),
                                "': ", parts...);
    };
    const std::string* text = artefact.find_string(std::string(artefact_key::transform).append(name));
    if (text == nullptr) return refuse(ErrorCode::invalid_argument, "is not in this file");
    index size = 0;
    std::vector<detail::StoredStage> stages;
    if (!detail::stages_from_json(*text, size, stages))
      return refuse(ErrorCode::malformed, "the description is not understood");
    AnyTransform transform = AnyTransform::identity(size);
    for (std::size_t s = 0; s < stages.size(); ++s) {
      std::vector<StageParameter> parameters;
      for (std::size_t i = 0; i < stages[s].parameters.size(); ++i) {
        const auto tensor = artefact.get(stages[s].tensor_name(name, s, i));
        if (!tensor) return tensor.status();
        auto values = artefact.read_floats(**tensor);
        if (!values) return values.status();
        parameters.push_back({stages[s].parameters[i], *std::move(values), (*tensor)->rows(), (*tensor)->columns()});
      }
      auto stage = AnyTransform::from(stages[s].name, parameters, registry);
      if (!stage)
        return refuse(stage.status().code(), "stage ", s, ": ",
                      std::string_view(detail::shown(stage.status().message(), 200)));
      if (stage->size() != size)
        return refuse(ErrorCode::malformed, "stage ", s, " has ", stage->size(), " channels, not ", size);
      if (Status status = transform.append(*std::move(stage)); !status.ok()) return status;
    }
    return transform;
  });
}

}  // namespace planish::inline PLANISH_ABI::io
