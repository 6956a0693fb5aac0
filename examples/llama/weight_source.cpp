#include "weight_source.hpp"

#include <filesystem>

#include "weight_files.hpp"

namespace llama {

std::unique_ptr<WeightSource> WeightSource::open(const std::string& path) {
  std::error_code ignored;
  const bool is_hugging_face = path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json") ||
                               std::filesystem::is_directory(path, ignored);
  return is_hugging_face ? open_safetensors(path) : open_gguf(path);
}

void WeightSource::refuse(std::string_view name, std::string_view reason) const {
  throw Error(path_ + ": tensor '" + std::string(name) + "': " + std::string(reason));
}

void WeightSource::check(std::string_view name, MatrixShape shape) const {
  if (!has(name)) refuse(file_name_of(name), "is not in this file, but the model needs it");
  const auto text = [](MatrixShape s) { return std::to_string(s.rows) + " x " + std::to_string(s.columns); };
  if (const MatrixShape stored = stored_shape(name); stored != shape)
    refuse(file_name_of(name), text(stored) + ", but the model's hyper-parameters ask for " + text(shape));
}

void WeightSource::read_rows(std::string_view name, MatrixShape shape, index first, index count, float* out) const {
  check(name, shape);
  convert_rows(name, first, count, out);
}

std::vector<float> WeightSource::read(std::string_view name, MatrixShape shape) const {
  std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.columns));
  read_rows(name, shape, 0, shape.rows, values.data());
  return values;
}

std::vector<float> WeightSource::read_if_present(std::string_view name, index size) const {
  return has(name) ? read(name, {1, size}) : std::vector<float>{};
}

std::optional<planish::Codes> WeightSource::read_codes(std::string_view /*name*/) const { return std::nullopt; }

}  // namespace llama
