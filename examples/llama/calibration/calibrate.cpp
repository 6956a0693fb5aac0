#include "calibrate.hpp"

#include <cstdio>
#include <sstream>

#include <planish/core/random.hpp>
#include <planish/io/sha256.hpp>

#include "../flatquant_build.hpp"
#include "../progress.hpp"
#include "parts_folder.hpp"
#include "trace_file.hpp"

namespace llama {
namespace {

std::string digest_of(const std::vector<std::vector<int>>& windows) {
  planish::io::Sha256 hash;
  for (const std::vector<int>& window : windows) hash.update(std::as_bytes(std::span(window)));
  char text[17] = {};
  const auto digest = hash.finish();
  for (std::size_t i = 0; i < 8; ++i) std::snprintf(text + 2 * i, 3, "%02x", digest[i]);
  return text;
}

}  // namespace

std::vector<std::vector<int>> calibration_windows(const std::vector<int>& ids, index samples, index length,
                                                  std::uint64_t seed, const std::string& name) {
  const index available = static_cast<index>(ids.size()) / length;
  if (available < samples)
    fail(name, ": has ", ids.size(), " tokens, not the ", samples * length, " of ", samples, " windows of ", length,
         "; use a longer text, or fewer or shorter windows (--samples, --window)");
  std::vector<index> order(static_cast<std::size_t>(available));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<index>(i);
  planish::Random random(seed);
  std::vector<std::vector<int>> windows;
  for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i) {
    std::swap(order[i], order[i + static_cast<std::size_t>(random.below(order.size() - i))]);
    const auto begin = ids.begin() + order[i] * length;
    windows.emplace_back(begin, begin + length);
  }
  return windows;
}

std::string job_text(const WeightSource& source, const CalibrationJob& job) {
  const planish::calibration::FlatQuant& m = job.options.method;
  std::ostringstream text;
  text << "model " << source.identity().substr(0, 16) << ", recipe " << to_string(job.options.recipe) << ", "
       << job.windows.size() << " x " << job.options.window << " tokens " << digest_of(job.windows) << ", epochs "
       << m.epochs << ", batch " << m.batch << ", rate " << m.learning_rate << ", clip rate x" << m.clip_rate_factor
       << ", last rate x" << m.last_rate_share << ", adamw " << m.adamw.beta1 << ' ' << m.adamw.beta2 << ' '
       << m.adamw.epsilon << ' ' << m.adamw.weight_decay << ", learns" << (m.learns_transform ? " transform" : "")
       << (m.learns_scale ? " scale" : "") << (m.learns_clip ? " clip" : "") << ", factor "
       << static_cast<int>(m.factor_form) << ' ' << static_cast<int>(m.factor_start) << ", scale "
       << static_cast<int>(m.scale_form) << " alpha " << m.alpha << ", clip logit " << m.clip_logit
       << (m.shared_clip ? " shared" : " per consumer") << ", loss " << static_cast<int>(m.loss) << ' '
       << m.huber_factor << ", seed " << m.seed << ", retries " << m.retries << ", objective "
       << to_string(job.options.objective) << ", inputs " << to_string(job.options.inputs) << ", rounding inputs "
       << to_string(job.options.rounding_inputs);
  return text.str();
}

void calibrate(const WeightSource& source, const CalibrationJob& job, ExecutorReference executor,
               const std::function<bool()>& stop) {
  const PartsFolder parts(job.parts, job_text(source, job));
  std::vector<index> missing;
  for (index layer = job.first_layer; layer < job.last_layer; ++layer)
    if (!parts.has(layer)) missing.push_back(layer);
  if (missing.empty()) return;
  BlockCalibration run(source, job.windows, job.options, executor);
  const auto tokens_per_step = static_cast<double>(run.tokens_per_layer()) / static_cast<double>(run.steps_per_layer());
  Progress progress("calibrating " + to_string(job.options.recipe),
                    static_cast<double>(missing.size()) * static_cast<double>(run.tokens_per_layer()), "tokens");
  double done = 0.0;
  BlockTrace trace;
  for (index layer : missing) {
    while (run.next_layer() < layer) {
      if (job.options.inputs == Inputs::plain || !parts.has(run.next_layer())) {
        run.skip();
        continue;
      }
      const CalibratedBlock before = parts.read(run.next_layer(), flatquant_sizes(source.config()));
      run.skip(&before.parameters);
    }
    const bool traced = !job.trace.empty() && layer == missing.front();
    const CalibratedBlock block = run.learn(
        [&](const planish::calibration::LearnProgress& p) {
          progress.show(done + tokens_per_step * static_cast<double>(p.step));
          return !stop();
        },
        traced ? &trace : nullptr);
    if (block.report.stopped)
      throw Interrupted("stopped in layer " + std::to_string(layer) + " of " + std::to_string(source.config().layers) +
                        "; the same command goes on there");
    parts.write(layer, block);
    if (traced) write_trace(job.trace, job_text(source, job), trace, block.report);
    done += static_cast<double>(run.tokens_per_layer());
  }
}

std::vector<CalibratedBlock> finished_blocks(const WeightSource& source, const CalibrationJob& job) {
  const PartsFolder parts(job.parts, job_text(source, job));
  std::vector<CalibratedBlock> blocks;
  for (index layer = 0; layer < source.config().layers; ++layer) {
    if (!parts.has(layer)) fail(job.parts, ": layer ", layer, " is not calibrated yet");
    blocks.push_back(parts.read(layer, flatquant_sizes(source.config())));
  }
  return blocks;
}

}  // namespace llama
