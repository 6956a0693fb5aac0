// A safetensors file: opened, and every tensor read in every way.
#include <planish/io/safetensors.hpp>

#include "target.hpp"

namespace io = planish::io;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = io::SafetensorsFile::from(fuzz::file_of({data, size}));
  if (!file) {
    fuzz::require_sentence(file.status().message());
    return 0;
  }
  std::size_t bytes = 0;
  for (const io::Tensor& tensor : file->tensors()) {
    bytes += tensor.bytes.size();
    fuzz::require(file->find(tensor.name) == &tensor);
    if (const auto floats = file->read_floats(tensor))
      fuzz::require(static_cast<planish::index>(floats->size()) == tensor.elements());
    else
      fuzz::require_sentence(floats.status().message());
    static_cast<void>(file->read_floats(tensor, io::NotFinite::keep));
    if (const auto integers = file->read_integers(tensor); !integers)
      fuzz::require_sentence(integers.status().message());
  }
  fuzz::require(bytes <= size);
  for (const auto& [key, value] : file->metadata()) fuzz::require(*file->find_metadata(key) == value);
  return 0;
}
