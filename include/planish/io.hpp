#pragma once
/// \file
/// Files: safetensors and GGUF checkpoints in, planish artefacts in and out. Uses std::string, std::vector and POSIX
/// files; nothing throws.
#include <planish/io/artefact.hpp>
#include <planish/io/artefact_packed.hpp>
#include <planish/io/artefact_transform.hpp>
#include <planish/io/artefact_writer.hpp>
#include <planish/io/gguf.hpp>
#include <planish/io/json_reader.hpp>
#include <planish/io/model_index.hpp>
#include <planish/io/safetensors.hpp>
#include <planish/io/safetensors_writer.hpp>
#include <planish/io/sha256.hpp>
#include <planish/linear/any.hpp>
