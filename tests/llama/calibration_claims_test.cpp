// One calibration on several processes: blocks are dealt out, none is learned twice, and who dies costs its own only.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <planish/io/safetensors_writer.hpp>

#include "small_job.hpp"

namespace llama::test {
namespace {

constexpr const char* recipe = "w4a4kv4+flatquant";

/// A process that runs `work` and ends with its result; it writes nothing and cleans nothing up.
class Child {
 public:
  explicit Child(const std::function<int()>& work) : id_(::fork()) {
    if (id_ != 0) return;
    int code = 99;
    try {
      code = work();
    } catch (...) {
    }
    ::_exit(code);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill(); }

  [[nodiscard]] int wait() {
    int status = 0;
    ::waitpid(std::exchange(id_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void kill() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    static_cast<void>(wait());
  }

 private:
  pid_t id_;
};

/// A child that has learned three steps of the first missing block and then stops for good, with the block claimed.
class Sleeper {
 public:
  Sleeper(const WeightSource& source, const CalibrationJob& job) {
    REQUIRE(::pipe(pipe_) == 0);
    child_.emplace([&] {
      int steps = 0;
      calibrate(source, job, {}, [&] {
        if (++steps < 3) return false;
        const char ready = 'r';
        if (::write(pipe_[1], &ready, 1) == 1) ::pause();
        return false;
      });
      return 0;
    });
    char ready = 0;
    REQUIRE(::read(pipe_[0], &ready, 1) == 1);
  }
  ~Sleeper() {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  void kill() { child_->kill(); }

 private:
  int pipe_[2] = {-1, -1};
  std::optional<Child> child_;
};

TEST_CASE("locks: one exclusive or many shared, and free again with their holder") {
  const TemporaryFolder folder;
  const std::string path = folder.file("lock");
  using Kind = FileLock::Kind;
  {
    auto first = FileLock::try_take(path);
    REQUIRE(first);
    CHECK_FALSE(FileLock::try_take(path));
    CHECK_FALSE(FileLock::try_take(path, Kind::shared));
    CHECK(Child([&] { return FileLock::try_take(path) ? 1 : 0; }).wait() == 0);
    first->share();
    const auto second = FileLock::try_take(path, Kind::shared);
    CHECK(second);
    CHECK_FALSE(FileLock::try_take(path));
  }
  CHECK(FileLock::try_take(path));
  CHECK(contains(message_of([&] { (void)FileLock::try_take(folder.file("no/lock")); }), "no/lock: cannot be made"));
}

TEST_CASE("blocks are named as ranges and as shares") {
  CHECK(parse_blocks("3:7", 30) == std::pair<index, index>(3, 7));
  index covered = 0;
  for (int share = 0; share < 7; ++share) {
    const auto [first, last] = parse_blocks(std::to_string(share) + "/7", 30);
    CHECK(first == covered);
    covered = last;
  }
  CHECK(covered == 30);
  for (const char* text : {"", "3", "3:3", "7:3", "0:31", "-1:2", "1:2x", "7/7", "-1/7", "1/0", "0/7 "}) {
    CAPTURE(text);
    CHECK(contains(message_of([&] { (void)parse_blocks(text, 30); }), "give FIRST:END within 0:30"));
  }
  CHECK(ranges_text({0, 1, 2, 7, 9, 10}) == "0:3, 7:8, 9:11");
  CHECK(ranges_text({}) == "");
}

TEST_CASE("ranks start apart; claimed and finished blocks are passed over") {
  const TemporaryFolder folder;
  const PartsFolder parts(folder.file("parts"), "job");
  const auto never = [] { return false; };
  BlockClaims first(parts, 0, 10, {0, 3}, never), second(parts, 0, 10, {1, 3}, never),
      third(parts, 0, 10, {2, 3}, never);
  const auto a = first.next(), b = second.next(), c = third.next();
  REQUIRE((a && b && c));
  CHECK(a->layer == 0);
  CHECK(b->layer == 3);
  CHECK(c->layer == 6);
  std::vector<BlockClaim> rest;
  while (auto more = third.next()) rest.push_back(*std::move(more));
  REQUIRE(rest.size() == 7);
  CHECK(rest[0].layer == 7);
  CHECK(rest[3].layer == 1);
  CHECK(rest[6].layer == 5);
  rest.pop_back();
  const auto again = first.next();
  REQUIRE(again);
  CHECK(again->layer == 5);
}

TEST_CASE("two processes share a job, learn every block once, and get the bits of one") {
  const TemporaryFolder folder;
  const RandomModel source(31, RotaryPairs::interleaved);
  const auto whole = run(source, small_job(source, folder.file("whole"), recipe));
  for (const bool spill : {false, true}) {
    CalibrationJob job = small_job(source, folder.file(spill ? "spilled" : "shared"), recipe);
    job.spill = spill;
    Child other([&] {
      CalibrationJob second = job;
      second.share = {1, 2};
      return static_cast<int>(calibrate(source, second, {}, [] { return false; }).learned);
    });
    CalibrationJob first = job;
    first.share = {0, 2};
    const CalibrationSummary summary = calibrate(source, first, {}, [] { return false; });
    CHECK(summary.elsewhere.empty());
    CHECK(summary.learned + other.wait() == 2);
    CHECK(same(finished_blocks(source, job), whole));
  }
}

TEST_CASE("the block of a killed process is learned by another one, before or while that one waits for it") {
  const TemporaryFolder folder;
  const RandomModel source(32, RotaryPairs::halves);
  const auto whole = run(source, small_job(source, folder.file("whole"), recipe));

  CalibrationJob job = small_job(source, folder.file("before"), recipe);
  Sleeper early(source, job);
  job.waits = false;
  const CalibrationSummary summary = calibrate(source, job, {}, [] { return false; });
  CHECK(summary.learned == 1);
  CHECK(summary.elsewhere == std::vector<index>{0});
  early.kill();
  CHECK(same(run(source, job), whole));

  job = small_job(source, folder.file("while"), recipe);
  Sleeper late(source, job);
  int asked = 0;
  const index steps = 12;  // of the block that is free; what is asked after them is asked while waiting
  const CalibrationSummary taken = calibrate(source, job, {}, [&] {
    if (++asked == steps + 2) late.kill();
    return false;
  });
  CHECK(taken.learned == 2);
  CHECK(asked > 2 * steps);
  CHECK(same(finished_blocks(source, job), whole));
}

TEST_CASE("who waits for others can be stopped") {
  const TemporaryFolder folder;
  const RandomModel source(33, RotaryPairs::halves);
  const CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  const Sleeper other(source, job);
  int asked = 0;
  CHECK(contains(message_of([&] { calibrate(source, job, {}, [&] { return ++asked > 13; }); }),
                 "stopped while other processes learn"));
}

TEST_CASE("what a killed process left half-written goes when nobody else works there") {
  const TemporaryFolder folder;
  const RandomModel source(34, RotaryPairs::halves);
  const CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  std::filesystem::create_directories(job.parts);
  const std::string left = job.parts + "/inputs-0001.f32.123.0.tmp", other = job.parts + "/notes.tmp";
  std::ofstream(left) << "half";
  std::ofstream(other) << "not ours";
  {
    const Sleeper busy(source, job);
    CHECK_FALSE(std::filesystem::exists(left));
    std::ofstream(left) << "half";
    CalibrationJob second = job;
    second.waits = false;
    calibrate(source, second, {}, [] { return false; });
    CHECK(std::filesystem::exists(left));  // it may be the other one's
  }
  (void)run(source, job);
  CHECK_FALSE(std::filesystem::exists(left));
  CHECK(std::filesystem::exists(other));
}

TEST_CASE("a job whose result is there learns nothing again") {
  const TemporaryFolder folder;
  const RandomModel source(35, RotaryPairs::halves);
  CalibrationJob job = small_job(source, folder.file("parts"), recipe);
  job.result = folder.file("model.planish");
  CHECK_FALSE(is_finished(source, job));
  std::ofstream(job.result) << "something else";
  CHECK_FALSE(is_finished(source, job));
  planish::io::SafetensorsWriter result;
  require(result.set_metadata("calibration", job_text(source, job)));
  require(result.write(job.result));
  CHECK(is_finished(source, job));
  const CalibrationSummary summary = calibrate(source, job, {}, [] { return false; });
  CHECK(summary.learned == 0);
  CHECK(summary.elsewhere.empty());
  remove_leftovers(source, job);
  CHECK_FALSE(std::filesystem::exists(job.parts));

  const CalibrationJob done = job;
  job.options.method.seed = 9;
  CHECK_FALSE(is_finished(source, job));
  (void)run(source, job);
  remove_leftovers(source, done);  // the folder is another job's by now
  CHECK(finished_blocks(source, job).size() == 2);
}

TEST_CASE("one process alone where blocks build on each other; one writes the result") {
  const TemporaryFolder folder;
  const PartsFolder parts(folder.file("parts"), "job");
  {
    const FileLock here = enter_job(parts, false);
    const FileLock too = enter_job(parts, false);
    CHECK(contains(message_of([&] { (void)enter_job(parts, true); }), "another process works on this calibration"));
  }
  const FileLock alone = enter_job(parts, true);
  const auto writer = claim_result(parts.path());
  CHECK(writer);
  CHECK_FALSE(claim_result(parts.path()));
}

}  // namespace
}  // namespace llama::test
