// A GGUF file: opened, every value and every tensor read in every way.
#include <planish/io/gguf.hpp>

#include "target.hpp"

namespace io = planish::io;

namespace {

template <class T>
void sentence_or_value(const planish::Result<T>& result) {
  if (!result) fuzz::require_sentence(result.status().message());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = io::GgufFile::from(fuzz::file_of({data, size}));
  if (!file) {
    fuzz::require_sentence(file.status().message());
    return 0;
  }
  for (const io::GgufValue& value : file->metadata()) {
    fuzz::require(file->find_metadata(value.key) == &value);
    sentence_or_value(file->get_integer(value.key));
    sentence_or_value(file->get_float(value.key));
    sentence_or_value(file->get_bool(value.key));
    sentence_or_value(file->get_string(value.key));
    sentence_or_value(file->string_array(value.key));
    sentence_or_value(file->float_array(value.key));
    sentence_or_value(file->int_array(value.key));
  }
  std::size_t bytes = 0;
  for (const io::GgufTensor& tensor : file->tensors()) {
    bytes += tensor.bytes.size();
    fuzz::require(file->find(tensor.name) == &tensor);
    sentence_or_value(file->read_floats(tensor));
    sentence_or_value(file->read_floats(tensor, io::NotFinite::keep));
    sentence_or_value(file->read_q8_0_codes(tensor));
  }
  fuzz::require(bytes <= size);
  return 0;
}
