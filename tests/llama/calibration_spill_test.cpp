// Activations in files: the same bits, a start in the middle, and files that cannot be used or written.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "small_job.hpp"

namespace llama::test {
namespace {

constexpr const char* recipe = "w4a4kv4+flatquant";

TEST_CASE("rows come back from memory and from a file") {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  for (const ActivationFolder& where : {ActivationFolder(), ActivationFolder(folder.file("."), "job")}) {
    ActivationStore store(3, 2, where);
    store.begin(4);
    store.append(values.data(), 1);
    store.append(values.data() + 2, 2);
    store.finish();
    CHECK(store.values() == values);
    store.release();
    CHECK(store.values() == values);
    CHECK(store.open(4) == where.is_used());
    CHECK_FALSE(store.open(3));
    store.begin(5);
    store.append(values.data(), 2);
    CHECK(contains(message_of([&] { store.finish(); }), "2 rows came, not 3"));
  }
  CHECK(std::filesystem::exists(folder.file("inputs-0004.f32")));
  CHECK_FALSE(std::filesystem::exists(folder.file("inputs-0005.f32")));
}

TEST_CASE("with activations in files the result is the same to the bit, on any way through the blocks") {
  const TemporaryFolder folder;
  RandomModel source(41, RotaryPairs::interleaved);
  const auto whole = run(source, small_job(source, folder.file("whole"), recipe));
  CalibrationJob job = small_job(source, folder.file("spilled"), recipe);
  job.spill = true;
  job.options.method.batch = 3;  // a last batch that is smaller
  CalibrationJob plain = small_job(source, folder.file("plain"), recipe);
  plain.options.method.batch = 3;
  CHECK(same(run(source, job), run(source, plain)));

  job = small_job(source, folder.file("pieces"), recipe);
  job.spill = true;
  job.last_layer = 1;
  calibrate(source, job, {}, [] { return false; });
  CHECK_FALSE(std::filesystem::exists(job.parts + "/inputs-0000.f32"));  // no block needs it any more
  CHECK(std::filesystem::exists(job.parts + "/inputs-0001.f32"));
  source.at("layers.0.down", 2, 2) = std::nanf("");  // the block before cannot be walked through
  job.last_layer = 2;
  CHECK(same(run(source, job), whole));

  const PartsFolder parts(job.parts, job_text(source, job));
  parts.remove();
  CHECK_FALSE(std::filesystem::exists(job.parts));
}

TEST_CASE("blocks can be visited in any order") {
  const TemporaryFolder folder;
  const RandomModel source(42, RotaryPairs::halves);
  CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  std::filesystem::create_directories(job.parts);
  for (const ActivationFolder& where : {ActivationFolder(), ActivationFolder(job.parts, "job")}) {
    const auto never_stop = [](const planish::calibration::LearnProgress&) { return true; };
    BlockCalibration forward(source, job.windows, job.options, {}, where);
    const CalibratedBlock first = forward.learn(never_stop), second = forward.learn(never_stop);
    BlockCalibration back(source, job.windows, job.options, {}, where);
    REQUIRE(back.go_to(1));
    CHECK(back.learn(never_stop).parameters == second.parameters);
    REQUIRE(back.go_to(0));
    CHECK(back.next_layer() == 0);
    CHECK(back.learn(never_stop).parameters == first.parameters);
    CHECK(back.activation_bytes() == 2u * 64u * 40u * 4u);
    CHECK(back.block_bytes() == 4u * (2 * 40 + 2 * 48 * 40 + 2 * 16 * 40 + 3 * 56 * 40));
    CHECK(back.step_bytes() > 0);
  }
}

TEST_CASE("activations of another job and broken ones are refused in one sentence") {
  const TemporaryFolder folder;
  const RandomModel source(43, RotaryPairs::halves);
  CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  job.spill = true;
  job.last_layer = 1;
  calibrate(source, job, {}, [] { return false; });
  job.last_layer = 2;
  const std::string inputs = job.parts + "/inputs-0001.f32", part = job.parts + "/layer-0000.safetensors";
  const auto message = [&] { return message_of([&] { calibrate(source, job, {}, [] { return false; }); }); };
  std::filesystem::resize_file(inputs, std::filesystem::file_size(inputs) - 1);
  CHECK(contains(message(), "inputs-0001.f32: has 14335 bytes, not 14336; delete it"));
  std::filesystem::remove(part);
  std::swap(job.windows[0], job.windows[1]);
  CHECK(contains(message(), "inputs-0001.f32: belongs to another calibration"));
  std::filesystem::resize_file(inputs, 10);
  CHECK(contains(message(), "inputs-0001.f32: belongs to another calibration"));
  std::filesystem::remove(inputs);
  CHECK(message() == "no error");
}

TEST_CASE("a full disk is an error that names the file; finished blocks stay, and the same command goes on") {
  const TemporaryFolder folder;
  const RandomModel source(44, RotaryPairs::halves);
  const auto whole = run(source, small_job(source, folder.file("whole"), recipe));
  CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  job.spill = true;
  job.last_layer = 1;
  calibrate(source, job, {}, [] { return false; });
  job.last_layer = 2;
  const pid_t child = ::fork();
  if (child == 0) {  // no file may grow beyond this, which ends a write as a full disk does
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit most{8192, 8192};
    ::setrlimit(RLIMIT_FSIZE, &most);
    const std::string message = message_of([&] { calibrate(source, job, {}, [] { return false; }); });
    ::_exit(contains(message, "inputs-0002.f32: cannot write: File too large") ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(std::filesystem::exists(job.parts + "/layer-0000.safetensors"));
  CHECK(std::filesystem::exists(job.parts + "/inputs-0001.f32"));
  for (const auto& entry : std::filesystem::directory_iterator(job.parts)) CHECK(entry.path().extension() != ".tmp");
  CHECK(same(run(source, job), whole));
}

}  // namespace
}  // namespace llama::test
