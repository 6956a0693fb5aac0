#pragma once
#include <functional>
#include <string>

#include <planish/calibration/methods/flatquant_file.hpp>
#include <planish/io/safetensors.hpp>

#include "block_calibration.hpp"

namespace llama {

/// The folder in which a calibration keeps every finished block, so that it goes on where it was stopped and several
/// processes can share the work: one safetensors file per block, written whole or not at all, each saying which job it
/// belongs to. A job is a text that names everything that the result depends on.
class PartsFolder {
 public:
  /// Makes the folder where it is missing. `facts` are further strings that every part gets. Throws Error.
  PartsFolder(std::string path, std::string job, planish::io::Metadata facts = {});

  /// The file of a block in a folder.
  [[nodiscard]] static std::string file_in(const std::string& folder, index layer);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// True if a block is there. Throws Error if it was made by another job.
  [[nodiscard]] bool has(index layer) const;

  void write(index layer, const CalibratedBlock& block) const;

  /// Throws Error if the part is damaged or another block's.
  [[nodiscard]] CalibratedBlock read(index layer, const planish::calibration::FlatQuantSizes& sizes) const;

  /// Deletes everything that a calibration leaves there, and the folder if it is empty then.
  void remove() const;

  /// Deletes what killed processes have left half-written. Only while no other process writes.
  void remove_temporaries() const;

 private:
  [[nodiscard]] std::string file_of(index layer) const { return file_in(path_, layer); }
  void remove_files(const std::function<bool(const std::string&)>& chosen) const;

  std::string path_, job_;
  planish::io::Metadata facts_;
};

}  // namespace llama
