#pragma once
#include <string>
#include <vector>

#include "../calibration/block_record.hpp"
#include "../calibration/describe_method.hpp"
#include "../recipe.hpp"

namespace llama {

/// One block of a calibrated artefact.
struct BlockRecord {
  planish::calibration::LearnReport report;
  BlockProfile profile;

  /// Loss after over loss before, on the same inputs; 1 where there was none.
  [[nodiscard]] double improvement() const noexcept {
    return report.comparable_before() > 0.0 ? report.loss_after / report.comparable_before() : 1.0;
  }
};

/// What a calibrated artefact tells of itself, without the model.
struct CalibrationRecord {
  std::string path = {}, model = {},
              job = {};  ///< of the artefact; name of the model; line that names everything it depends on
  Recipe recipe = {};
  MethodWords method = {};
  double file_bytes = 0.0;
  double weight_bits = 0.0;  ///< per weight of the blocks, scales counted
  std::vector<BlockRecord> blocks = {};

  /// Geometric mean over blocks of the loss after over the loss before.
  [[nodiscard]] double improvement() const;

  /// What was said of `what`, or an empty string.
  [[nodiscard]] std::string word(const std::string& what) const;
};

/// Throws Error: no artefact, or one that was not calibrated, with what to do.
[[nodiscard]] CalibrationRecord read_calibration(const std::string& path);

}  // namespace llama
