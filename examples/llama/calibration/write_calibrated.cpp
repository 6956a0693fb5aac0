#include "write_calibrated.hpp"

#include <cmath>
#include <cstdio>
#include <filesystem>

#include <planish/io/safetensors_writer.hpp>

#include "../memory.hpp"
#include "../model_artefact.hpp"
#include "../progress.hpp"
#include "../table.hpp"
#include "block_record.hpp"
#include "describe_method.hpp"
#include "parts_folder.hpp"
#include "written_files.hpp"

namespace llama {

void refuse_parameters_alone(const std::string& path) {
  fail(
      "--parameters ", path,
      ": transforms and clips alone do not give a model whose weights were learned too (--weight-epochs); the artefact "
      "holds its codes, leave --parameters out");
}

void write_blocks(Host& host, const MergedJob& job, CalibratedLayers& layers, const std::string& out,
                  const std::string& parameters) {
  const WeightSource& source = host.source();
  const index layers_in_all = source.config().layers;
  if (!parameters.empty()) {
    planish::io::SafetensorsWriter file;
    require(file.set_metadata(std::string(calibration_key), job.text));
    for (index layer = 0; layer < layers_in_all; ++layer) {
      const FlatQuantParameters learned = job.block(layer).parameters;
      for (const auto& weights : learned.weights)
        if (!weights.empty()) refuse_parameters_alone(parameters);
      require(planish::calibration::add_flatquant(file, layer, learned));
    }
    require(file.write(parameters));
  }

  trim_memory();  // what learning took
  ArtefactOutput artefact(source, job.recipe);
  artefact.set_string(calibration_key, job.text);
  artefact.set_string("calibration.method", job.method);
  const AddFloats add = [&](const std::string& name, const std::vector<index>& shape,
                            const std::vector<float>& values) { artefact.add_floats(name, shape, values); };
  Progress progress("quantizing", static_cast<double>(layers_in_all), "layers");
  double change = 0.0;
  for (index layer = 0; layer < layers_in_all; ++layer) {
    const CalibratedBlock block = job.block(layer);
    BlockParameters built = layers.build(block.parameters);
    source.release();
    artefact.add_layer(layer, built);
    layers.advance(std::move(built));
    const planish::calibration::LearnReport& report = block.report;
    add_learn_report(add, layer, report);
    if (block.profile) add_profile(add, layer, *block.profile);
    if (report.comparable_before() > 0.0 && report.loss_after > 0.0)
      change += std::log(report.loss_after / report.comparable_before()) / static_cast<double>(layers_in_all);
    progress.advance(1.0);
  }
  artefact.write(out);
  std::printf("%s: %s of %s, %s MiB; block errors fell to %.3f of their start (geometric mean of %td blocks)\n",
              out.c_str(), to_string(job.recipe).c_str(), source.config().name.c_str(),
              mebibytes(static_cast<double>(std::filesystem::file_size(out))).c_str(), std::exp(change), layers_in_all);
}

void write_calibrated(Host& host, const CalibrationJob& job, const std::string& out, const std::string& parameters) {
  const std::string text = job_text(host.source(), job);
  CalibratedLayers layers(host.source(), job.windows, job.options, false, host.executor());
  write_blocks(host,
               {text, job.options.recipe, method_json(describe_method(job)),
                [&](index layer) { return finished_block(host.source(), job, layer); }},
               layers, out, parameters);
  PartsFolder(job.parts, text).remove();
}

}  // namespace llama
