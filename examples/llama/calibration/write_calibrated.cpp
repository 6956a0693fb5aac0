#include "write_calibrated.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>

#include <planish/io/safetensors_writer.hpp>

#include "../model_artefact.hpp"
#include "../progress.hpp"
#include "../table.hpp"
#include "parts_folder.hpp"
#include "written_files.hpp"

namespace llama {

void write_calibrated(Host& host, const CalibrationJob& job, const std::string& out, const std::string& parameters) {
  const WeightSource& source = host.source();
  const std::vector<CalibratedBlock> blocks = finished_blocks(source, job);
  if (!parameters.empty()) {
    planish::io::SafetensorsWriter file;
    require(file.set_metadata(std::string(calibration_key), job_text(source, job)));
    for (std::size_t layer = 0; layer < blocks.size(); ++layer)
      require(planish::calibration::add_flatquant(file, static_cast<index>(layer), blocks[layer].parameters));
    require(file.write(parameters));
  }

  ArtefactOutput artefact(source, job.options.recipe);
  artefact.set_string(calibration_key, job_text(source, job));
  const BuildOptions build{.recipe = job.options.recipe,
                           .learned = [&](index layer) { return blocks[static_cast<std::size_t>(layer)].parameters; }};
  Progress progress("quantizing", static_cast<double>(blocks.size()), "layers");
  double change = 0.0;
  for (index layer = 0; layer < source.config().layers; ++layer) {
    artefact.add_layer(layer, build_layer(source, layer, build, {}, host.executor()));
    const planish::calibration::LearnReport& report = blocks[static_cast<std::size_t>(layer)].report;
    if (report.loss_before > 0.0 && report.loss_after > 0.0)
      change += std::log(report.loss_after / report.loss_before) / static_cast<double>(blocks.size());
    progress.advance(1.0);
  }
  artefact.write(out);
  PartsFolder(job.parts, job_text(source, job)).remove(source.config().layers);
  std::printf("%s: %s of %s, %s MiB; block errors fell to %.3f of their start (geometric mean of %zu blocks)\n",
              out.c_str(), to_string(job.options.recipe).c_str(), source.config().name.c_str(),
              mebibytes(static_cast<double>(std::filesystem::file_size(out))).c_str(), std::exp(change), blocks.size());
}

}  // namespace llama
