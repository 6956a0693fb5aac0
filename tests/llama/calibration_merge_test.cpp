// A job put together from blocks of several folders, and everything that can be wrong with them.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "llama/calibration/merge_parts.hpp"
#include "small_job.hpp"

namespace llama::test {
namespace {

constexpr const char* recipe = "w4a4kv4+flatquant";

struct TwoFolders {
  TemporaryFolder folder;
  RandomModel source{51, RotaryPairs::halves};
  CalibrationJob job = small_job(source, folder.file("one"), recipe);
  std::vector<std::string> folders{folder.file("one"), folder.file("two")};

  TwoFolders() {
    job.command = "planish-llama calibrate --text train.txt";
    learn(folders[0], 0);
    learn(folders[1], 1);
  }
  void learn(const std::string& parts, index layer) {
    job.parts = parts;
    job.first_layer = layer;
    job.last_layer = layer + 1;
    calibrate(source, job, {}, [] { return false; });
  }
  [[nodiscard]] std::string part(std::size_t at) const {
    return folders[at] + (at == 0 ? "/layer-0000.safetensors" : "/layer-0001.safetensors");
  }
  [[nodiscard]] std::string message() const {
    return message_of([&] { (void)merge_parts(source, folders, "m.planish"); });
  }
};

TEST_CASE("blocks of two folders are the job that one process learns") {
  const TwoFolders two;
  const auto whole = run(two.source, small_job(two.source, two.folder.file("whole"), recipe));
  const MergedJob merged = merge_parts(two.source, two.folders, "m.planish");
  CHECK(merged.text == job_text(two.source, two.job));
  CHECK(to_string(merged.recipe) == recipe);
  CHECK(same({merged.block(0), merged.block(1)}, whole));
  std::filesystem::copy(two.part(1), two.folders[0] + "/layer-0001.safetensors");  // a block may lie in both
  CHECK(two.message() == "no error");
}

TEST_CASE("missing blocks are listed with the command that learns them") {
  TwoFolders two;
  two.folders.pop_back();
  CHECK(contains(two.message(),
                 "one: blocks 1:2 are missing; learn them by: planish-llama calibrate --text train.txt "
                 "--out m.planish --blocks 1:2"));
  std::filesystem::remove(two.part(0));
  CHECK(contains(two.message(), "one: there is no finished block"));
  two.folders[0] = two.folder.file("nowhere");
  CHECK(contains(two.message(), "nowhere: is not a folder"));
}

TEST_CASE("parts of different jobs, of another model, without words, damaged or misnamed are refused") {
  TwoFolders two;
  std::filesystem::remove(two.part(1));
  two.job.options.method.seed = 7;
  two.learn(two.folders[1], 1);
  CHECK(contains(two.message(), "two/layer-0001.safetensors: belongs to another calibration than"));

  const auto block =
      PartsFolder(two.folders[1], job_text(two.source, two.job)).read(1, flatquant_sizes(two.source.config()));
  two.job.options.method.seed = 1;
  const std::string text = job_text(two.source, two.job);
  PartsFolder(two.folders[1], text, {{"recipe", recipe}, {"model", std::string(64, 'b')}}).write(1, block);
  CHECK(contains(two.message(), "two/layer-0001.safetensors: was made from another model"));
  PartsFolder(two.folders[1], text).write(1, block);
  CHECK(contains(two.message(), "layer-0001.safetensors: does not say which calibration it belongs to"));

  std::filesystem::copy_file(two.part(0), two.part(1), std::filesystem::copy_options::overwrite_existing);
  CHECK(contains(two.message(), "layer-0001.safetensors: holds block 0, not 1"));

  std::filesystem::remove(two.part(1));
  two.learn(two.folders[1], 1);
  CHECK(two.message() == "no error");
  const auto size = std::filesystem::file_size(two.part(1));
  for (const std::streamoff place : {static_cast<std::streamoff>(size / 2), static_cast<std::streamoff>(size - 1)}) {
    std::fstream file(two.part(1), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(place);
    const int old = file.get();
    file.seekp(place);
    file.put(static_cast<char>(old ^ 1));
    file.close();
    CHECK(contains(two.message(), "layer-0001.safetensors: is damaged"));
    std::fstream repair(two.part(1), std::ios::in | std::ios::out | std::ios::binary);
    repair.seekp(place);
    repair.put(static_cast<char>(old));
  }
  CHECK(two.message() == "no error");
  std::filesystem::resize_file(two.part(1), size - 1);
  CHECK(contains(two.message(), "layer-0001.safetensors"));
}

}  // namespace
}  // namespace llama::test
