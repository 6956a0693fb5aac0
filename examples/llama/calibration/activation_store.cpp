#include "activation_store.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "../require.hpp"

namespace llama {
namespace {

constexpr std::size_t page = 4096;  // rows begin on one, so that views of them are aligned

}  // namespace

std::string ActivationFolder::file_of(index layer) const {
  char name[40];
  std::snprintf(name, sizeof name, "/inputs-%04td.f32", layer);
  return path_ + name;
}

bool ActivationFolder::has(index layer) const {
  std::error_code ignored;
  return is_used() && std::filesystem::exists(file_of(layer), ignored);
}

void ActivationFolder::remove(index layer) const {
  std::error_code ignored;
  std::filesystem::remove(file_of(layer), ignored);
}

std::string ActivationFolder::header(index layer, index rows, index columns) const {
  std::string text = "planish activations\ninputs of block " + std::to_string(layer) + "\n" + std::to_string(rows) +
                     " x " + std::to_string(columns) + " float32\n" + job_ + "\n";
  text.resize((text.size() + page - 1) / page * page, '\0');
  return text;
}

ActivationStore::ActivationStore(index rows, index columns, ActivationFolder folder)
    : rows_(rows), columns_(columns), folder_(std::move(folder)) {
  if (!folder_.is_used()) memory_.resize(static_cast<std::size_t>(size()));
}

void ActivationStore::begin(index layer) {
  data_ = nullptr;
  filled_ = 0;
  layer_ = layer;
  if (!folder_.is_used() || open(layer)) return;
  file_ = {};
  writing_ =
      std::make_unique<planish::io::AtomicFile>(require(planish::io::AtomicFile::create(folder_.file_of(layer))));
  const std::string header = folder_.header(layer, rows_, columns_);
  require(writing_->write(std::as_bytes(std::span(header))));
}

void ActivationStore::append(const float* rows, index count) {
  const auto values = static_cast<std::size_t>(count * columns_);
  if (writing_)
    require(writing_->write(std::as_bytes(std::span(rows, values))));
  else if (!memory_.empty())
    std::copy_n(rows, values, memory_.data() + filled_ * columns_);
  filled_ += count;
}

void ActivationStore::finish() {
  if (filled_ != rows_) fail("activations of block ", layer_, ": ", filled_, " rows came, not ", rows_);
  if (!memory_.empty()) {
    data_ = memory_.data();
  } else if (writing_) {
    require(writing_->commit_if_absent());
    writing_.reset();
    if (!open(layer_)) fail(folder_.file_of(layer_), ": was deleted by another program");
  }
}

bool ActivationStore::open(index layer) {
  if (!folder_.has(layer)) return false;
  const std::string path = folder_.file_of(layer);
  auto file = require(planish::io::MappedFile::open(path));
  const std::string header = folder_.header(layer, rows_, columns_);
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < header.size() || std::memcmp(bytes.data(), header.data(), header.size()) != 0)
    fail(path, ": belongs to another calibration; finish that one with its own options, delete the folder, or choose ",
         "another --out");
  if (const std::size_t whole = header.size() + static_cast<std::size_t>(size()) * sizeof(float); bytes.size() != whole)
    fail(path, ": has ", bytes.size(), " bytes, not ", whole, "; delete it, it is made again");
  file_ = std::move(file);
  data_ = reinterpret_cast<const float*>(file_.bytes().data() + header.size());
  layer_ = layer;
  return true;
}

}  // namespace llama
