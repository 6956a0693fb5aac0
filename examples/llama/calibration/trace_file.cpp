#include "trace_file.hpp"

#include <planish/io/safetensors_writer.hpp>

#include "../require.hpp"

namespace llama {

void write_trace(const std::string& path, const std::string& job, const BlockTrace& trace,
                 const std::vector<double>& losses, const std::vector<double>& float64_losses) {
  planish::io::SafetensorsWriter writer;
  require(writer.set_metadata("job", job));
  require(writer.add_floats("inputs", {trace.rows, trace.columns}, trace.inputs));
  require(writer.add_floats("targets", {trace.rows, trace.columns}, trace.targets));
  for (const auto& [name, values] : trace.learned)
    require(writer.add_floats("learned." + name, {static_cast<index>(values.size())}, values));
  require(planish::calibration::add_flatquant(writer, 0, trace.start));
  const auto add = [&](const char* name, const std::vector<double>& values) {
    const std::vector<float> single(values.begin(), values.end());
    require(writer.add_floats(name, {static_cast<index>(single.size())}, single));
  };
  add("step_losses", losses);
  if (!float64_losses.empty()) add("step_losses_float64", float64_losses);
  require(writer.write(path));
}

}  // namespace llama
