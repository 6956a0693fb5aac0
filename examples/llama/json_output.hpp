#pragma once
#include <string>

#include <nlohmann/json.hpp>

namespace llama {

/// Keeps keys in the order they are given.
using Json = nlohmann::ordered_json;

/// Writes a text file whole or not at all: beside it first, then renamed. Throws Error with the path and the
/// system's reason.
void write_file_atomically(const std::string& path, const std::string& content);

/// Writes indented JSON to a file, or to standard output if the path is "-". NaN and infinity become null.
void write_json(const std::string& path, const Json& value);

}  // namespace llama
