// A planish artefact: opened, all codes, transforms and tensors read. The hash of its content is made right first:
// otherwise every change would end there.
#include <algorithm>
#include <string>

#include <planish/io/artefact.hpp>
#include <planish/io/artefact_transform.hpp>
#include <planish/packing/packed_weights.hpp>

#include "target.hpp"

namespace io = planish::io;

namespace {

/// Writes the hash that the content has over the one that stands in the header.
void make_hash_right(std::vector<std::uint8_t>& bytes) {
  const auto file = io::SafetensorsFile::from(fuzz::file_of(bytes));
  if (!file) return;
  const std::string* stored = file->find_metadata(io::artefact_key::content);
  if (stored == nullptr || stored->size() != 64) return;
  const std::string right = io::artefact_hash(file->metadata(), file->tensors());
  const auto at = std::search(bytes.begin(), bytes.end(), stored->begin(), stored->end());
  if (at != bytes.end()) std::copy(right.begin(), right.end(), at);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> bytes(data, data + size);
  make_hash_right(bytes);
  const auto file = io::Artefact::from(fuzz::file_of(bytes));
  if (!file) {
    fuzz::require_sentence(file.status().message());
    return 0;
  }
  for (const std::string& name : file->codes_names()) {
    const auto codes = file->read_codes(name);
    if (!codes) {
      fuzz::require_sentence(codes.status().message());
    } else if (codes->rows() * codes->columns() <= 4096) {  // the padding of a panel is no part of the file
      static_cast<void>(planish::PackedWeights::make(codes->view()));
    }
  }
  for (const auto& [key, value] : file->metadata()) {
    if (!key.starts_with(io::artefact_key::transform)) continue;
    const auto transform = io::read_transform(*file, key.substr(io::artefact_key::transform.size()));
    if (!transform)
      fuzz::require_sentence(transform.status().message());
    else
      static_cast<void>(transform->describe());
  }
  for (const io::Tensor& tensor : file->tensors()) {
    static_cast<void>(file->read_floats(tensor));
    static_cast<void>(file->read_clip(tensor.name));
  }
  return 0;
}
