#include "calibrate.hpp"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <thread>
#include <utility>

#include <planish/core/random.hpp>
#include <planish/io/sha256.hpp>

#include "../flatquant_build.hpp"
#include "../layer_weights.hpp"
#include "../progress.hpp"
#include "describe_method.hpp"
#include "learn_in_float64.hpp"
#include "parts_folder.hpp"
#include "trace_file.hpp"
#include "written_files.hpp"

namespace llama {
namespace {

/// Raised when the same options no longer give the same bits: blocks of before are then another job's.
constexpr int arithmetic_version = 5;

std::string digest_of(const std::vector<std::vector<int>>& windows) {
  planish::io::Sha256 hash;
  for (const std::vector<int>& window : windows) hash.update(std::as_bytes(std::span(window)));
  char text[17] = {};
  const auto digest = hash.finish();
  for (std::size_t i = 0; i < 8; ++i) std::snprintf(text + 2 * i, 3, "%02x", digest[i]);
  return text;
}

/// What the float model's activations depend on.
std::string inputs_text(const WeightSource& source, const CalibrationJob& job) {
  std::ostringstream text;
  text << "model " << source.identity().substr(0, 16) << ", " << job.windows.size() << " x " << job.options.window
       << " tokens " << digest_of(job.windows);
  return text.str();
}

/// True if the file is an artefact that this job has made.
bool is_result_of(const std::string& path, const std::string& job) {
  return !path.empty() && calibration_of(path) == job;
}

/// The next block to learn; nullopt at the end. What other processes work on is waited for if the job says so: their
/// blocks come, or, if they die, become free.
std::optional<BlockClaim> next_block(BlockClaims& claims, const CalibrationJob& job, const std::function<bool()>& stop,
                                     std::vector<index>& elsewhere) {
  for (bool told = false;;) {
    if (auto claim = claims.next()) return claim;
    elsewhere = claims.missing();
    if (elsewhere.empty() || !job.waits) return std::nullopt;
    if (!std::exchange(told, true))
      std::fprintf(stderr, "%swaiting for blocks %s, which other processes learn\n", rank_text(job.share).c_str(),
                   ranges_text(elsewhere).c_str());
    // Asked again and again, for a lock that is waited for can neither be interrupted nor be one of several.
    for (int i = 0; i < 5; ++i) {
      if (stop()) throw Interrupted("stopped while other processes learn the last blocks; the same command goes on");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

/// Deletes the inputs that no missing block needs: its own are nearer.
void remove_unneeded(const ActivationFolder& folder, const PartsFolder& parts, index layers) {
  for (index layer = 0; layer < layers; ++layer)
    if (folder.has(layer) && folder.has(layer + 1) && parts.has(layer)) folder.remove(layer);
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
  text << inputs_text(source, job) << ", recipe " << to_string(job.options.recipe) << ", epochs " << m.epochs
       << ", batch " << m.batch << ", rate " << m.learning_rate << ", clip rate x" << m.clip_rate_factor
       << ", last rate x" << m.last_rate_share << ", adamw " << m.adamw.beta1 << ' ' << m.adamw.beta2 << ' '
       << m.adamw.epsilon << ' ' << m.adamw.weight_decay << ", learns" << (m.learns_transform ? " transform" : "")
       << (m.learns_scale ? " scale" : "") << (m.learns_clip ? " clip" : "") << (m.centres ? ", centres" : "")
       << ", factor " << static_cast<int>(m.factor_form) << ' ' << static_cast<int>(m.factor_start) << ", scale "
       << static_cast<int>(m.scale_form) << " alpha " << m.alpha << ", clip logit " << m.clip_logit
       << (m.shared_clip ? " shared" : " per consumer") << ", loss " << static_cast<int>(m.loss) << ' '
       << m.huber_factor << ", seed " << m.seed << ", retries " << m.retries << ", objective "
       << to_string(job.options.objective) << ", inputs " << to_string(job.options.inputs) << ", rounding inputs "
       << to_string(job.options.rounding_inputs) << ", arithmetic " << arithmetic_version
       << (m.products == planish::calibration::Products::split_bfloat16 ? ", split bfloat16" : "")
       << (m.products == planish::calibration::Products::int16 ? ", int16" : "")
       << (m.products == planish::calibration::Products::int8 ? ", int8" : "");
  if (m.weight_epochs > 0)
    text << ", weights " << m.weight_epochs << " epochs, rate " << m.weight_rate << ", inputs "
         << to_string(job.options.weight_inputs);
  return text.str();
}

bool is_finished(const WeightSource& source, const CalibrationJob& job) {
  return is_result_of(job.result, job_text(source, job));
}

void remove_leftovers(const WeightSource& source, const CalibrationJob& job) {
  std::error_code ignored;
  if (!std::filesystem::exists(job.parts, ignored)) return;
  try {
    const PartsFolder parts(job.parts, job_text(source, job));
    const auto alone = FileLock::try_take(job.parts + "/job.lock");
    for (index layer = 0; layer < source.config().layers; ++layer) static_cast<void>(parts.has(layer));
    if (alone) parts.remove();
  } catch (const Error&) {  // another job's
  }
}

CalibrationSummary calibrate(const WeightSource& source, const CalibrationJob& job, ExecutorReference executor,
                             const std::function<bool()>& stop) {
  const bool independent = job.options.blocks_are_independent();
  if (!independent && job.share.size > 1)
    fail("blocks of this method build on the ones before them: let one process learn them, not ", job.share.size);
  const std::string text = job_text(source, job);
  const PartsFolder parts(job.parts, text,
                          {{"recipe", to_string(job.options.recipe)},
                           {"model", source.identity()},
                           {"command", job.command},
                           {"method", method_json(describe_method(job))}});
  const FileLock inside = enter_job(parts, !independent);
  BlockClaims claims(parts, job.first_layer, job.last_layer, job.share, [&] { return is_result_of(job.result, text); });
  const auto missing = static_cast<double>(claims.missing().size());
  CalibrationSummary summary;
  if (missing == 0.0) return summary;

  const ActivationFolder folder =
      job.spill ? ActivationFolder(job.parts, inputs_text(source, job)) : ActivationFolder();
  BlockCalibration run(source, job.windows, job.options, executor, folder);
  const auto tokens_per_block = static_cast<double>(run.tokens_per_layer());
  const double tokens_per_step = tokens_per_block / static_cast<double>(run.steps_per_layer());
  Progress progress(rank_text(job.share) + "calibrating " + to_string(job.options.recipe),
                    std::ceil(missing / job.share.size) * tokens_per_block, "tokens");
  BlockTrace trace;
  while (const auto claim = next_block(claims, job, stop, summary.elsewhere)) {
    const index layer = claim->layer;
    const double done = static_cast<double>(summary.learned) * tokens_per_block;
    progress.expect(done + std::ceil(static_cast<double>(claims.missing().size()) / job.share.size) * tokens_per_block);
    const auto learned = [&](index before) -> std::optional<FlatQuantParameters> {
      if (!parts.has(before)) return std::nullopt;
      return parts.read(before, flatquant_sizes(source.config())).parameters;
    };
    if (!run.go_to(layer, learned, stop))
      throw Interrupted("stopped on the way to layer " + std::to_string(layer) + ", in layer " +
                        std::to_string(run.next_layer()) + "; the same command goes on there");
    const bool traced = !job.trace.empty() && job.share.rank == 0 && summary.learned == 0;
    const CalibratedBlock block = run.learn(
        [&](const planish::calibration::LearnProgress& p) {
          progress.show(done + tokens_per_step * static_cast<double>(p.step));
          return !stop();
        },
        traced ? &trace : nullptr);
    if (block.report.stopped)
      throw Interrupted("stopped in layer " + std::to_string(layer) + " of " + std::to_string(source.config().layers) +
                        "; the same command goes on there");
    if (traced) {  // before the block is kept: one that is there is not learned again
      std::vector<double> in_float64;
      if (job.trace_float64)
        in_float64 = learn_in_float64(source.config(), read_layer(source, layer), job.options, trace, executor,
                                      [&] { return !stop(); });
      if (stop()) throw Interrupted("stopped before the trace was whole; the same command begins with it again");
      write_trace(job.trace, text, trace, block.report.step_losses, in_float64);
    }
    parts.write(layer, block);
    remove_unneeded(folder, parts, source.config().layers);
    ++summary.learned;
  }
  summary.activation_bytes = run.activation_bytes();
  summary.step_bytes = run.step_bytes();
  summary.block_bytes = run.block_bytes();
  return summary;
}

CalibratedBlock finished_block(const WeightSource& source, const CalibrationJob& job, index layer) {
  const PartsFolder parts(job.parts, job_text(source, job));
  if (!parts.has(layer)) fail(job.parts, ": layer ", layer, " is not calibrated yet");
  return parts.read(layer, flatquant_sizes(source.config()));
}

std::vector<CalibratedBlock> finished_blocks(const WeightSource& source, const CalibrationJob& job) {
  std::vector<CalibratedBlock> blocks;
  for (index layer = 0; layer < source.config().layers; ++layer) blocks.push_back(finished_block(source, job, layer));
  return blocks;
}

}  // namespace llama
