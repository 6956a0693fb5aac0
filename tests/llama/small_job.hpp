#pragma once
// A calibration of the random model that takes a fraction of a second, and what tests ask about it.
#include <functional>
#include <string>
#include <vector>

#include "fixtures.hpp"
#include "llama/calibration/calibrate.hpp"
#include "messages.hpp"
#include "random_model.hpp"

namespace llama::test {

inline CalibrationJob small_job(const WeightSource& source, const std::string& parts, std::string_view recipe) {
  CalibrationJob job;
  job.options.recipe = require(parse_recipe(recipe));
  job.options.method.epochs = 3;
  job.options.window = 16;
  job.windows =
      calibration_windows(random_ids(5, 200, source.config().vocabulary), 4, job.options.window, 1, "random ids");
  job.parts = parts;
  job.last_layer = source.config().layers;
  return job;
}

inline std::vector<CalibratedBlock> run(const WeightSource& source, const CalibrationJob& job,
                                        ExecutorReference executor = {}) {
  calibrate(source, job, executor, [] { return false; });
  return finished_blocks(source, job);
}

inline bool same(const std::vector<CalibratedBlock>& a, const std::vector<CalibratedBlock>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(a[i].parameters == b[i].parameters) || a[i].report.step_losses != b[i].report.step_losses) return false;
  return true;
}

}  // namespace llama::test
