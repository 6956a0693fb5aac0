#pragma once
#include <memory>
#include <string>
#include <vector>

#include <planish/core/matrix_view.hpp>
#include <planish/io/atomic_file.hpp>
#include <planish/io/mapped_file.hpp>

namespace llama {

using planish::index;
using planish::MatrixView;

/// Where activations go that shall not stay in memory: files `inputs-0007.f32` of the inputs of each block, each whole
/// or not there, each saying which job it belongs to. Whoever works on that job may start from one.
class ActivationFolder {
 public:
  ActivationFolder() = default;  ///< nowhere: activations stay in memory
  ActivationFolder(std::string path, std::string job) : path_(std::move(path)), job_(std::move(job)) {}

  [[nodiscard]] bool is_used() const noexcept { return !path_.empty(); }
  [[nodiscard]] bool has(index layer) const;
  void remove(index layer) const;

  [[nodiscard]] std::string file_of(index layer) const;
  /// What a file begins with: a text that names the job, the block and the shape, then zeros up to a whole page.
  [[nodiscard]] std::string header(index layer, index rows, index columns) const;

 private:
  std::string path_, job_;
};

/// Rows of floats, the inputs of one block, filled from the first row to the last and then read: in memory, or in a
/// file, written as it is filled and mapped to be read. A file is written with write(2), because a full disk is an
/// error there and a fatal signal in a mapping.
class ActivationStore {
 public:
  ActivationStore(index rows, index columns, ActivationFolder folder);

  /// Starts to fill it with the inputs of a block. What it held is gone. Throws Error.
  void begin(index layer);
  void append(const float* rows, index count);
  /// All rows are there: the file gets its name, and from now on `data` is valid. If the folder had the file already,
  /// that one is read.
  void finish();

  /// Reads what is in the folder; false if there is no such file. Throws Error if it belongs to another job or is cut
  /// short.
  [[nodiscard]] bool open(index layer);

  [[nodiscard]] const float* data() const noexcept { return data_; }
  [[nodiscard]] index size() const noexcept { return rows_ * columns_; }
  [[nodiscard]] std::vector<float> values() const { return {data_, data_ + size()}; }

  /// Gives back the memory of mapped rows, which come again from the file when they are read.
  void release() const noexcept { file_.release(); }

 private:
  index rows_, columns_;
  ActivationFolder folder_;
  std::vector<float> memory_;
  std::unique_ptr<planish::io::AtomicFile> writing_;
  planish::io::MappedFile file_;
  const float* data_ = nullptr;
  index filled_ = 0;  // rows
  index layer_ = 0;
};

}  // namespace llama
