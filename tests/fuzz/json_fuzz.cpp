// JSON: read without expectations, and as the description of codes and of stages.
#include <planish/io/artefact_transform.hpp>
#include <planish/io/json_reader.hpp>

#include "target.hpp"

namespace io = planish::io;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of({data, size});
  io::JsonReader json(text);
  json.skip();
  if (!json.finish()) fuzz::require_sentence(json.status("input").message());
  fuzz::require(json.position() <= size);

  io::CodesDescription codes;
  if (io::CodesDescription::from_json(text, codes)) {
    io::CodesDescription again;
    fuzz::require(io::CodesDescription::from_json(codes.to_json(), again));
    fuzz::require(again.rows == codes.rows && again.columns == codes.columns && again.bits == codes.bits &&
                  again.symmetry == codes.symmetry && again.group_size == codes.group_size);
  }
  planish::index channels = 0;
  std::vector<io::detail::StoredStage> stages;
  if (io::detail::stages_from_json(text, channels, stages)) {
    planish::index same_channels = 0;
    std::vector<io::detail::StoredStage> same;
    fuzz::require(io::detail::stages_from_json(io::detail::stages_to_json(channels, stages), same_channels, same));
    fuzz::require(same_channels == channels && same.size() == stages.size());
  }
  return 0;
}
