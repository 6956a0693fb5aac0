#include "trace_file.hpp"

#include <planish/io/safetensors_writer.hpp>

#include "../require.hpp"

namespace llama {

void write_trace(const std::string& path, const std::string& job, const BlockTrace& trace,
                 const planish::calibration::LearnReport& report) {
  planish::io::SafetensorsWriter writer;
  require(writer.set_metadata("job", job));
  require(writer.add_floats("inputs", {trace.rows, trace.columns}, trace.inputs));
  require(writer.add_floats("targets", {trace.rows, trace.columns}, trace.targets));
  for (const auto& [name, values] : trace.learned)
    require(writer.add_floats("learned." + name, {static_cast<index>(values.size())}, values));
  require(planish::calibration::add_flatquant(writer, 0, trace.start));
  const std::vector<float> losses(report.step_losses.begin(), report.step_losses.end());
  require(writer.add_floats("step_losses", {static_cast<index>(losses.size())}, losses));
  require(writer.write(path));
}

}  // namespace llama
