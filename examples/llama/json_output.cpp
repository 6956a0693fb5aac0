#include "json_output.hpp"

#include <cstdio>
#include <span>

#include <planish/io/atomic_file.hpp>

#include "error.hpp"

namespace llama {

void write_file_atomically(const std::string& path, const std::string& content) {
  auto file = planish::io::AtomicFile::create(path);
  planish::Status status = file.status();
  if (status.ok()) status = file->write(std::as_bytes(std::span(content)));
  if (status.ok()) status = file->commit();
  if (!status.ok()) throw Error(std::string(status.message()));
}

void write_json(const std::string& path, const Json& value) {
  const std::string text = value.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
  if (path == "-")
    std::fputs(text.c_str(), stdout);
  else
    write_file_atomically(path, text);
}

}  // namespace llama
