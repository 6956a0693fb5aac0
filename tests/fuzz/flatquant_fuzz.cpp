// A file of FlatQuant's learned parameters: opened, and its layers read for blocks of a few sizes. What is read fits
// the sizes, is finite, and becomes a file again that reads the same.
#include <cmath>

#include <planish/calibration/methods/flatquant_file.hpp>

#include "target.hpp"

namespace pl = planish;
namespace cal = planish::calibration;
namespace io = planish::io;

namespace {

void require_pair(const cal::MatrixPair& pair, pl::index size) {
  if (pair.empty()) return;
  fuzz::require(pair.matrix.size() == static_cast<std::size_t>(size * size));
  fuzz::require(pair.inverse_transpose.size() == pair.matrix.size());
  for (const float value : pair.matrix) fuzz::require(std::isfinite(value));
}

void require_valid(const cal::FlatQuantParameters& read, const cal::FlatQuantSizes& sizes) {
  for (const auto site : {cal::BlockSite::attention, cal::BlockSite::mlp, cal::BlockSite::down}) {
    const cal::FlatQuantTransform& transform = read.transform(site);
    const pl::index channels = sizes.channels(site);
    fuzz::require(transform.scale.empty() || transform.scale.size() == static_cast<std::size_t>(channels));
    for (const float c : transform.scale) fuzz::require(c > 0.0f && std::isfinite(1.0f / c));
    if (transform.left.empty() || transform.right.empty()) continue;
    const auto left = static_cast<pl::index>(std::lround(std::sqrt(transform.left.matrix.size())));
    require_pair(transform.left, left);
    require_pair(transform.right, channels / left);
  }
  require_pair(read.transform(cal::BlockSite::output).left, sizes.heads);
  require_pair(read.transform(cal::BlockSite::output).right, sizes.head_size);
  require_pair(read.key_head, sizes.head_size);
  for (std::size_t i = 0; i < cal::block_matrices; ++i) {
    const auto rows = static_cast<std::size_t>(sizes.rows(static_cast<cal::BlockMatrix>(i)));
    fuzz::require(read.clips[i].weight_rows.empty() || read.clips[i].weight_rows.size() == rows);
    fuzz::require(pl::is_valid_clip(read.clips[i].activation));
  }
  fuzz::require(pl::is_valid_clip(read.key_cache) && pl::is_valid_clip(read.value_cache));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto tensors = io::SafetensorsFile::from(fuzz::file_of({data, size}));
  if (!tensors) return 0;  // of the target "safetensors"
  const auto file = cal::FlatQuantFile::from(*std::move(tensors));
  if (!file) {
    fuzz::require_sentence(file.status().message());
    return 0;
  }
  // The sizes of the seeds, and some that no tensor of theirs fits.
  for (const cal::FlatQuantSizes& sizes : {cal::FlatQuantSizes{4, 6, 2, 1, 2}, {2, 2, 1, 1, 2}, {0, 0, 0, 0, 0}})
    for (const pl::index layer : {pl::index{0}, pl::index{1}, pl::index{1} << 40}) {
      const auto read = file->read(layer, sizes);
      if (read)
        require_valid(*read, sizes);
      else
        fuzz::require_sentence(read.status().message());
    }
  return 0;
}
