#pragma once
#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/mapped_file.hpp>
#include <planish/io/message.hpp>
#include <planish/io/safetensors.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Which file holds which tensor: the `weight_map` of `model.safetensors.index.json`.
struct ModelIndex {
  std::vector<std::string> files;                               // names beside the index, each once
  std::vector<std::pair<std::string, std::size_t>> weight_map;  // tensor, place in `files`; sorted by tensor

  /// Errors: io, malformed (also file names that lead out of the folder).
  static Result<ModelIndex> open(const std::string& path) noexcept {
    const auto file = MappedFile::open(path);
    if (!file) return file.status();
    return detail::guarded(path, [&]() -> Result<ModelIndex> {
      if (file->bytes().size() > most_safetensors_header)
        return detail::file_error(ErrorCode::malformed, path, "an index of ", file->bytes().size(),
                                  " bytes is too long");
      ModelIndex index;
      std::vector<std::pair<std::string, std::string>> map;
      bool found = false;
      const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
      JsonReader json(text);
      json.object([&](const std::string& key) {
        if (key != "weight_map") return void(json.skip());
        found = true;
        json.object([&](const std::string& tensor) {
          if (std::string name; json.string(name)) map.emplace_back(tensor, std::move(name));
        });
      });
      if (!json.finish()) return json.status(path);
      if (!found) return detail::file_error(ErrorCode::malformed, path, "has no weight_map");
      for (const auto& [tensor, name] : map) {
        if (name.empty() || name.front() == '.' || name.find('/') != name.npos || name.find('\0') != name.npos)
          return detail::tensor_error(ErrorCode::malformed, path, tensor, "file name '",
                                      std::string_view(detail::shown(name, 60)), "' is not a plain name");
        index.files.push_back(name);
      }
      std::sort(index.files.begin(), index.files.end());
      index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
      std::sort(map.begin(), map.end());
      for (auto& [tensor, name] : map) {
        const auto at = std::lower_bound(index.files.begin(), index.files.end(), name);
        index.weight_map.emplace_back(std::move(tensor), static_cast<std::size_t>(at - index.files.begin()));
      }
      return index;
    });
  }
};

/// A tensor and the file it lies in.
struct ModelTensor {
  const SafetensorsFile* file = nullptr;
  const Tensor* tensor = nullptr;
};

/// The weights of a model in one safetensors file or in shards with an index.
class SafetensorsModel {
 public:
  /// A `.safetensors` file, an `.index.json`, or a folder with `model.safetensors` or `model.safetensors.index.json`.
  static Result<SafetensorsModel> open(const std::string& path) noexcept {
    return detail::guarded(path, [&]() -> Result<SafetensorsModel> {
      struct stat facts {};
      if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode))
        return path.ends_with(".json") ? open_shards(path) : open_file(path);
      const std::string single = path + "/model.safetensors", index = single + ".index.json";
      if (::stat(single.c_str(), &facts) == 0) return open_file(single);
      if (::stat(index.c_str(), &facts) == 0) return open_shards(index);
      return detail::file_error(ErrorCode::io, path,
                                "holds neither model.safetensors nor model.safetensors.index.json");
    });
  }

  [[nodiscard]] std::span<const SafetensorsFile> files() const noexcept { return files_; }

  /// Names of all tensors, sorted.
  [[nodiscard]] std::vector<std::string_view> names() const {
    std::vector<std::string_view> names;
    for (const Place& place : places_) names.push_back(place.tensor->name);
    return names;
  }

  /// Tensor of that name; both pointers are null if there is none.
  [[nodiscard]] ModelTensor find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(places_.begin(), places_.end(), name,
                                     [](const Place& p, std::string_view wanted) { return p.tensor->name < wanted; });
    if (at == places_.end() || at->tensor->name != name) return {};
    return {&files_[at->file], at->tensor};
  }

  /// Tensor of that name; invalid_argument, naming the model, if there is none.
  [[nodiscard]] Result<ModelTensor> get(std::string_view name) const noexcept {
    const ModelTensor found = find(name);
    if (found.tensor != nullptr) return found;
    return detail::tensor_error(ErrorCode::invalid_argument, path_, name, "is not in this model");
  }

 private:
  struct Place {
    const Tensor* tensor;
    std::size_t file;
  };

  static Result<SafetensorsModel> open_file(const std::string& path) {
    auto file = SafetensorsFile::open(path);
    if (!file) return file.status();
    SafetensorsModel model;
    model.path_ = path;
    model.files_.push_back(*std::move(file));
    for (const Tensor& tensor : model.files_[0].tensors()) model.places_.push_back({&tensor, 0});
    std::sort(model.places_.begin(), model.places_.end(),
              [](const Place& a, const Place& b) { return a.tensor->name < b.tensor->name; });
    return model;
  }

  static Result<SafetensorsModel> open_shards(const std::string& path) {
    const auto index = ModelIndex::open(path);
    if (!index) return index.status();
    SafetensorsModel model;
    model.path_ = path;
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == path.npos ? "" : path.substr(0, slash + 1);
    for (const std::string& name : index->files) {
      auto file = SafetensorsFile::open(folder + name);
      if (!file) return file.status();
      model.files_.push_back(*std::move(file));
    }
    for (const auto& [name, number] : index->weight_map) {
      const auto tensor = model.files_[number].get(name);
      if (!tensor) return tensor.status();
      model.places_.push_back({*tensor, number});
    }
    return model;
  }

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::vector<Place> places_;  // sorted by name
};

}  // namespace planish::inline PLANISH_ABI::io
