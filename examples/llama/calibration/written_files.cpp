#include "written_files.hpp"

#include <planish/io/artefact.hpp>
#include <planish/io/safetensors.hpp>

namespace llama {
namespace {

namespace io = planish::io;

bool has_tensor(const std::string& path, std::string_view name) {
  const auto file = io::SafetensorsFile::open(path);
  return file && file->find(name) != nullptr;
}

std::string metadata_of(const std::string& path, std::string_view key) {
  const auto file = io::SafetensorsFile::open(path);
  const std::string* text = file ? file->find_metadata(key) : nullptr;
  return text == nullptr ? std::string() : *text;
}

}  // namespace

bool is_written(const WeightSource& source, const CalibrationJob& job, const std::string& out,
                const std::string& parameters) {
  const std::string text = job_text(source, job);
  const auto artefact = io::Artefact::open(out);
  if (!artefact || artefact->major_version() != io::artefact_major || artefact->minor_version() != io::artefact_minor)
    return false;
  const std::string* made_by = artefact->find_string(calibration_key);
  return made_by != nullptr && *made_by == text && artefact->model_sha256() == source.identity() &&
         (parameters.empty() || metadata_of(parameters, calibration_key) == text) &&
         (job.trace.empty() || metadata_of(job.trace, "job") == text) &&
         (!job.trace_float64 || has_tensor(job.trace, "step_losses_float64"));
}

std::string calibration_of(const std::string& path) { return metadata_of(path, calibration_key); }

}  // namespace llama
