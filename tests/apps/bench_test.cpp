// r1_bench from the outside: what it writes, that nothing but the settings changes it, and what it says about mistakes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "io/parquet_file.h"
#include "tests/apps/sft_run.h"
#include "tests/support/on_ranks.h"

namespace r1 {
namespace {

using test::ProgramResult;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A run's files without what depends on the clock.
struct Written {
  Json results;
  std::map<std::string, std::vector<std::string>> details;  // rows by task part of the file's name
};

class Bench : public test::SftRun {
 protected:
  void SetUp() override {
    R1_REQUIRE_PARQUET();
    SftRun::SetUp();
  }

  std::vector<std::string> arguments(const std::vector<std::string>& flags, const std::string& output) const {
    std::vector<std::string> all{"--model", model(), "--output-dir", output};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  ProgramResult bench(const std::vector<std::string>& flags) const { return bench_into(out(), flags); }
  ProgramResult bench_into(const std::string& output, const std::vector<std::string>& flags) const {
    return test::run_program(R1_BIN_DIR "/r1_bench", arguments(flags, output));
  }

  /// The one results file below the folder and its details.
  static Written written(const std::string& output) {
    Written files;
    for (const auto& entry : fs::recursive_directory_iterator(output)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("results_")) {
        EXPECT_TRUE(files.results.is_null()) << "two results";
        files.results = read_json_file(entry.path().string());
        for (const char* key : {"start_time", "end_time", "total_evaluation_time_secondes"}) {
          EXPECT_EQ(files.results["config_general"].erase(key), 1U);
        }
      } else if (name.starts_with("details_")) {
        const io::ParquetFile file(entry.path().string());
        std::vector<std::string>& rows = files.details[name.substr(0, name.rfind('_'))];
        for (std::int64_t group = 0; group < file.num_row_groups(); ++group) {
          for (const std::string& row : file.read_row_group(group)) rows.push_back(row);
        }
      }
    }
    EXPECT_FALSE(files.results.is_null()) << "no results below " << output;
    return files;
  }

  /// Kills the program after some milliseconds. True when it had written its results before, whether it still lived or not.
  bool killed_after(int milliseconds, const std::vector<std::string>& flags) const {
    std::vector<std::string> all = arguments(flags, out());
    all.insert(all.begin(), R1_BIN_DIR "/r1_bench");
    const pid_t child = fork();
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stdout) == nullptr || std::freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
      std::vector<char*> argv;
      for (std::string& argument : all) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) || has_results();
  }

  bool has_results() const {
    if (!fs::exists(out() + "/results")) return false;
    for (const auto& entry : fs::recursive_directory_iterator(out() + "/results")) {
      if (entry.path().extension() == ".json") return true;
    }
    return false;
  }

  std::int64_t journal_bytes() const {
    std::int64_t bytes = 0;
    if (!fs::exists(out() + "/journal")) return 0;
    for (const auto& entry : fs::recursive_directory_iterator(out() + "/journal")) {
      if (entry.path().extension() == ".journal") bytes += static_cast<std::int64_t>(entry.file_size());
    }
    return bytes;
  }
};

#define EXPECT_SAME_FILES(a, b, why)               \
  do {                                             \
    const Written left = (a), right = (b);         \
    EXPECT_EQ(left.results, right.results) << why; \
    EXPECT_EQ(left.details, right.details) << why; \
  } while (false)

const std::vector<std::string> kChain{"--tasks=builtin/chain:steps=3,test_rows=60", "--num-samples=4", "--temperature=1",
                                      "--max-new-tokens=16"};

std::vector<std::string> with(std::vector<std::string> flags, const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST_F(Bench, WritesLightevalsLayoutDetailsAndAReport) {
  const ProgramResult done = bench(kChain);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("60 × 4"));
  EXPECT_THAT(done.out, HasSubstr("pass@1 ± standard error"));
  EXPECT_TRUE(fs::exists(out() + "/report.html"));
  const Written files = written(out());
  const Json& scores = files.results["results"]["builtin|builtin/chain:steps=3,test_rows=60|0"];
  for (const char* key : {"pass@1", "pass@1_stderr", "pass@4", "cons@4", "mean_tokens", "truncated_share"}) {
    EXPECT_TRUE(scores.contains(key)) << key;
  }
  for (const char* key : {"model_hash", "tokenizer_hash", "chat_template_hash", "seed", "temperature", "max_new_tokens"}) {
    EXPECT_TRUE(files.results["config_general"].contains(key)) << key;
  }
  EXPECT_TRUE(files.results.contains("versions"));
  ASSERT_EQ(files.details.size(), 1U);
  const std::vector<std::string>& rows = files.details.begin()->second;
  ASSERT_EQ(rows.size(), 240U);
  int correct = 0, tokens = 0;
  for (const std::string& line : rows) {
    const Json row = Json::parse(line);
    correct += row["correct"].get<bool>() ? 1 : 0;
    tokens += row["num_tokens"].get<int>();
    EXPECT_THAT(row["prompt"].get<std::string>(), HasSubstr("<|user|>"));  // as rendered
    EXPECT_EQ(row["correct"].get<bool>(), row["verdict"] == "equal");
  }
  EXPECT_DOUBLE_EQ(scores["pass@1"].get<double>(), correct / 240.0);
  EXPECT_DOUBLE_EQ(scores["mean_tokens"].get<double>(), tokens / 240.0);
}

TEST_F(Bench, BatchSizeThreadsMemoryAndRanksChangeNothing) {
  ASSERT_EQ(bench_into(folder_.file("a"), with(kChain, {"--num_threads=1"})).exit_code, 0);
  int run = 0;
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--num_threads=2"}, {"--max-num-sequences=3"}, {"--kv-cache-memory=300KB"}}) {
    const std::string output = folder_.file("b" + std::to_string(run++));
    const ProgramResult done = bench_into(output, with(kChain, more));
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_SAME_FILES(written(folder_.file("a")), written(output), more[0]);
  }
  const ProgramResult ranks = test::run_on_ranks(3, R1_BIN_DIR "/r1_bench", arguments(kChain, folder_.file("c")));
  ASSERT_EQ(ranks.exit_code, 0) << ranks.err;
  EXPECT_SAME_FILES(written(folder_.file("a")), written(folder_.file("c")), "3 ranks");
}

TEST_F(Bench, MathematicsTasksDoNotDependOnBatchAndThreads) {
  R1_REQUIRE_SHARED(shared);
  const bool full = std::getenv("R1_TEST_FULL") != nullptr;
  const std::vector<std::string> flags{"--model=" + shared + "/data/models/stories260K",
                                       "--no-chat-template",
                                       "--tasks=math_500,aime24",
                                       "--data-dir=" + shared + "/data/bench",
                                       "--max-new-tokens=32",
                                       full ? "--max-samples=500" : "--max-samples=12",
                                       "--profile=head",
                                       "--num-samples=2"};
  ASSERT_EQ(bench_into(folder_.file("a"), with(flags, {"--num_threads=1", "--max-num-sequences=5"})).exit_code, 0);
  const ProgramResult done = bench_into(folder_.file("b"), with(flags, {"--num_threads=2"}));
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const Written files = written(folder_.file("a"));
  EXPECT_SAME_FILES(files, written(folder_.file("b")), "batch 5 and 256, one and two threads");
  const Json& scores = files.results["results"]["lighteval|math_500|0"];
  EXPECT_TRUE(scores.contains("math_pass@1:1_samples"));
  EXPECT_FALSE(scores.contains("math_pass@1:4_samples")) << "two samples were drawn: no mean over four";
}

TEST_F(Bench, GoesOnAfterKillNineWithTheSameResults) {
  const std::vector<std::string> flags = with(kChain, {"--tasks=builtin/chain:test_rows=300"});
  ASSERT_EQ(bench_into(folder_.file("whole"), flags).exit_code, 0);
  bool done = false;
  int kills_with_progress = 0;
  std::int64_t bytes = 0;
  for (int attempt = 0; attempt < 100 && !done; ++attempt) {
    done = killed_after(40 + 15 * attempt, flags);
    const std::int64_t now = journal_bytes();
    EXPECT_GE(now, bytes) << "finished samples were lost";
    kills_with_progress += !done && now > bytes ? 1 : 0;
    bytes = now;
  }
  ASSERT_TRUE(done);
  EXPECT_GT(kills_with_progress, 0) << "no kill came while samples were being generated: the test shows nothing";
  EXPECT_SAME_FILES(written(folder_.file("whole")), written(out()), "killed");
}

TEST_F(Bench, DetailsOfARunThatWasKilledBeforeItsResultsAreNotCountedTwice) {
  ASSERT_EQ(bench(kChain).exit_code, 0);
  const Written whole = written(out());
  for (const auto& entry : fs::recursive_directory_iterator(out() + "/results")) {
    if (entry.is_regular_file()) fs::remove(entry.path());
  }
  const ProgramResult again = bench(kChain);
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("left by a run that was stopped before it wrote its results"));
  EXPECT_SAME_FILES(whole, written(out()), "killed between details and results");
  ASSERT_EQ(bench(kChain).exit_code, 0);  // of a run that ended, nothing is removed
  int details = 0;
  for (const auto& entry : fs::recursive_directory_iterator(out() + "/details")) details += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(details, 2);
}

TEST_F(Bench, AnotherSeedIsAnotherJobInTheSameFolder) {
  ASSERT_EQ(bench(kChain).exit_code, 0);
  const std::int64_t bytes = journal_bytes();
  const ProgramResult again = bench(kChain);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("240 of 240 samples are finished already"));
  EXPECT_EQ(journal_bytes(), bytes);
  const ProgramResult other = bench(with(kChain, {"--seed=7"}));
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_GT(journal_bytes(), bytes);
}

TEST_F(Bench, ComparesTwoResultsProblemByProblem) {
  ASSERT_EQ(bench_into(folder_.file("a"), kChain).exit_code, 0);
  ASSERT_EQ(bench_into(folder_.file("b"), with(kChain, {"--seed=7"})).exit_code, 0);
  const ProgramResult same = test::run_program(R1_BIN_DIR "/r1_bench", {"--compare", folder_.file("a"), folder_.file("a")});
  ASSERT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("+0.0000"));
  EXPECT_THAT(same.out, HasSubstr("1.0000"));
  const ProgramResult other = test::run_program(
      R1_BIN_DIR "/r1_bench", {"--compare", folder_.file("a"), folder_.file("b"), "--output-dir", folder_.file("comparison")});
  ASSERT_EQ(other.exit_code, 0) << other.err;
  const Json row = read_json_file(folder_.file("comparison") + "/comparison.json")["tasks"][0];
  EXPECT_EQ(row["num_problems"], 60);
  const auto pass_at_1 = [](const Written& files) { return files.results["results"].front()["pass@1"].get<double>(); };
  EXPECT_NEAR(row["difference"].get<double>(), pass_at_1(written(folder_.file("b"))) - pass_at_1(written(folder_.file("a"))), 1e-12);
  ASSERT_EQ(bench_into(folder_.file("c"), {"--tasks=builtin/chain:steps=5,test_rows=60", "--max-new-tokens=8"}).exit_code, 0);
  const ProgramResult strangers = test::run_program(R1_BIN_DIR "/r1_bench", {"--compare", folder_.file("a"), folder_.file("c")});
  EXPECT_EQ(strangers.exit_code, 3);
  EXPECT_THAT(strangers.err, HasSubstr("share no task"));
}

TEST_F(Bench, TheResultDoesNotDependOnGenerationConfig) {
  ASSERT_EQ(bench_into(folder_.file("a"), {"--tasks=builtin/chain:test_rows=10", "--max-new-tokens=8"}).exit_code, 0);
  ASSERT_FALSE(fs::exists(in_model("generation_config.json")));
  write_file_atomically(in_model("generation_config.json"), R"({"do_sample": true, "temperature": 2.0, "top_k": 3})");
  ASSERT_EQ(bench_into(folder_.file("b"), {"--tasks=builtin/chain:test_rows=10", "--max-new-tokens=8"}).exit_code, 0);
  EXPECT_EQ(written(folder_.file("a")).details, written(folder_.file("b")).details);
}

TEST_F(Bench, ATaskOfOnesOwnNeedsNoCompiler) {
  folder_.write("sums.jsonl", "{\"q\": \"1+1=\", \"a\": 2}\n{\"q\": \"2+2=\", \"a\": 4}\n");
  const std::string yaml =
      folder_.write("sums.yaml", "data: sums.jsonl\nprompt: \"{{ q }}\"\nanswer: \"{{ a }}\"\nanswer_kind: expression\n");
  const ProgramResult done = bench({"--tasks=" + yaml, "--max-new-tokens=8"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(written(out()).results["results"].contains("custom|sums|0"));
}

TEST_F(Bench, ThePlanShowsThePromptAndWritesNothing) {
  const ProgramResult plan = bench(with(kChain, {"--plan"}));
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("first prompt"));
  EXPECT_THAT(plan.out, HasSubstr("60 problems × 4 samples"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Bench, MistakesAreNamed) {
  expect_refused(bench({"--tasks=math_50"}), 2, {"math_50", "did you mean 'math_500'"});
  expect_refused(bench({"--tasks=aime24", "--data-dir=" + folder_.path()}), 3, {"aime24/test.jsonl", "r1_inspect download"});
  expect_refused(bench({"--tasks=builtin/chain", "--max-model-len=64"}), 2, {"max_model_len", "max_new_tokens"});
  expect_refused(bench({"--tasks=builtin/chain", "--tensor-parallel-size=2"}), 2, {"tensor_parallel_size"});
  expect_refused(bench({"--tasks=builtin/chain", "--profil=head"}), 2, {"profile"});
  const ProgramResult no_output = test::run_program(R1_BIN_DIR "/r1_bench", {"--model", model(), "--tasks=builtin/chain"});
  EXPECT_EQ(no_output.exit_code, 2);
  EXPECT_THAT(no_output.err, HasSubstr("--output-dir"));
}

}  // namespace
}  // namespace r1
