// r1_generate from the outside: what it writes, that it goes on where it was killed, and what it says about mistakes.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "base/rng.h"
#include "io/journal.h"
#include "io/parquet_file.h"
#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

using test::ProgramResult;
namespace fs = std::filesystem;

class Generate : public test::SftRun {
 protected:
  std::vector<std::string> arguments(const std::string& dataset, const std::vector<std::string>& more) const {
    std::vector<std::string> all{"--model", model(), "--hf-dataset", dataset, "--hf-output-dataset", out()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProgramResult generate(const std::string& dataset, const std::vector<std::string>& more = {}) const {
    return test::run_program(R1_BIN_DIR "/r1_generate", arguments(dataset, more));
  }

  /// Starts the program and kills it after some milliseconds. True when it had ended well before.
  bool generate_killed(const std::string& dataset, const std::vector<std::string>& more, int milliseconds) const {
    std::vector<std::string> all = arguments(dataset, more);
    all.insert(all.begin(), R1_BIN_DIR "/r1_generate");
    const pid_t child = fork();
    if (child == 0) {
      std::freopen("/dev/null", "w", stdout);
      std::freopen("/dev/null", "w", stderr);
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
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  /// Finished samples in the journals. No sample may stand there twice.
  std::set<std::pair<int, int>> finished_samples() const {
    std::set<std::pair<int, int>> finished;
    if (!fs::exists(out() + "/_journal")) return finished;
    for (const auto& entry : fs::directory_iterator(out() + "/_journal")) {
      if (entry.path().extension() != ".journal") continue;
      io::Journal::read(entry.path().string(), [&](std::string_view line) {
        const Json record = Json::parse(line);
        const std::pair<int, int> key{record["row"].get<int>(), record["sample"].get<int>()};
        EXPECT_TRUE(finished.insert(key).second) << "row " << key.first << " sample " << key.second << " was generated twice";
      });
    }
    return finished;
  }

  std::vector<Json> jsonl_rows() const {
    std::vector<Json> rows;
    std::ifstream file(out() + "/part-00000.jsonl");
    for (std::string line; std::getline(file, line);) rows.push_back(Json::parse(line));
    return rows;
  }
};

const std::vector<std::string> kSampled{"--temperature=0.9",   "--top-p=0.95",          "--num-generations=3",
                                        "--max-new-tokens=20", "--output-format=jsonl", "--output-ids"};

std::vector<std::string> with(std::vector<std::string> flags, const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

TEST_F(Generate, WritesAllInputColumnsAndWhatWasGenerated) {
  const ProgramResult done = generate("builtin/chain:rows=10", kSampled);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const std::vector<Json> rows = jsonl_rows();
  ASSERT_EQ(rows.size(), 10U);
  for (const Json& row : rows) {
    EXPECT_TRUE(row.contains("prompt") && row.contains("answer"));
    ASSERT_EQ(row["generations"].size(), 3U);
    EXPECT_EQ(row["model_name"], model());
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(row["num_tokens"][i], row["generation_ids"][i].size());
      const bool is_short = row["num_tokens"][i].get<int>() < 20;
      EXPECT_EQ(row["finish_reasons"][i], is_short ? "stop" : row["generation_ids"][i].back() == 257 ? "stop" : "length");
    }
    EXPECT_NE(row["generation_ids"][0], row["generation_ids"][1]);
  }
  const Json provenance = read_json_file(out() + "/provenance.json");
  for (const char* key : {"model_hash", "tokenizer_hash", "temperature", "seed", "version", "dataset_hash"}) {
    EXPECT_TRUE(provenance.contains(key)) << key;
  }
  EXPECT_THAT(done.out, ::testing::HasSubstr("new tokens/s"));
  EXPECT_TRUE(fs::exists(out() + "/_report.html"));
}

TEST_F(Generate, ParquetPartsCarryTheirProvenance) {
  R1_REQUIRE_PARQUET();
  const std::string rows = folder_.write("rows.jsonl", R"({"problem": "1+1=", "level": 3}
{"problem": "2+2=", "level": null}
)");
  const ProgramResult done = generate(rows, {"--prompt-column=problem", "--max-new-tokens=8", "--prompt-template=Solve {{ instruction }}"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const std::string path = out() + "/part-00000.parquet";
  const io::ParquetFile file(path);
  EXPECT_THAT(file.column_names(), ::testing::ElementsAre("problem", "level", "generations", "finish_reasons", "num_tokens", "model_name"));
  EXPECT_THAT(std::string(file.bytes()), ::testing::HasSubstr("open_r1_hpc"));
  EXPECT_THAT(std::string(file.bytes()), ::testing::HasSubstr("model_hash"));
}

TEST_F(Generate, BatchSizeThreadsAndTheCacheChangeNoByte) {
  const std::string data = "builtin/chain:rows=24";
  ASSERT_EQ(generate(data, with(kSampled, {"--num_threads=1"})).exit_code, 0);
  const std::string expected = read_file(out() + "/part-00000.jsonl"), provenance = read_file(out() + "/provenance.json");
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--num_threads=2"}, {"--input-batch-size=1"}, {"--kv-cache-memory=300KB", "--max-model-len=128"}}) {
    fs::remove_all(out());
    const ProgramResult done = generate(data, with(kSampled, more));
    ASSERT_EQ(done.exit_code, 0) << done.err;
    EXPECT_EQ(read_file(out() + "/part-00000.jsonl"), expected) << more[0];
    EXPECT_EQ(read_file(out() + "/provenance.json"), provenance) << more[0];
  }
}

TEST_F(Generate, GoesOnAfterKillNineWithTheSameBytesAndRepeatsNothing) {
  const std::string data = "builtin/chain:rows=400";
  const bool is_full_run = std::getenv("R1_TEST_FULL") != nullptr;
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(generate(data, kSampled).exit_code, 0);
  const auto run_time = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count();
  const std::string expected = read_file(out() + "/part-00000.jsonl");
  RandomStream random(1, "kills");
  const int num_trials = is_full_run ? 20 : 2;
  int kills_with_progress = 0;
  for (int trial = 0; trial < num_trials; ++trial) {
    fs::remove_all(out());
    std::size_t finished = 0;
    bool done = false;
    // Up to six kills at random moments of a whole run, then it is left alone.
    for (int kills = 0; kills < 6 && !done; ++kills) {
      done = generate_killed(data, kSampled, static_cast<int>(random.below(static_cast<std::uint64_t>(run_time))));
      if (done) break;
      const std::size_t now = finished_samples().size();
      EXPECT_TRUE(now >= finished || fs::exists(out() + "/part-00000.jsonl")) << "finished samples were lost";
      kills_with_progress += now > finished ? 1 : 0;
      finished = now;
    }
    const ProgramResult last = generate(data, kSampled);
    ASSERT_EQ(last.exit_code, 0) << last.err;
    EXPECT_EQ(read_file(out() + "/part-00000.jsonl"), expected);
  }
  EXPECT_GE(kills_with_progress, is_full_run ? 20 : 1) << "too few kills came while samples were being generated: the test shows little";
}

TEST_F(Generate, RanksShareTheSamplesAndChangeNoByte) {
  const std::string data = "builtin/chain:rows=300";
  ASSERT_EQ(generate(data, kSampled).exit_code, 0);
  const std::string expected = read_file(out() + "/part-00000.jsonl"), provenance = read_file(out() + "/provenance.json");
  const auto on_ranks = [&](int ranks, const std::string& seconds) {
    std::vector<std::string> command{
        "-s", "TERM", seconds, "mpirun", "--oversubscribe", "-n", std::to_string(ranks), R1_BIN_DIR "/r1_generate"};
    for (const std::string& argument : arguments(data, kSampled)) command.push_back(argument);
    return test::run_program("/usr/bin/timeout", command, "", {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  };
  fs::remove_all(out());
  // Stopped on three ranks, then on two, then brought to its end on three.
  on_ranks(3, "0.8");
  on_ranks(2, "0.8");
  finished_samples();  // none twice
  const ProgramResult done = on_ranks(3, "60");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(read_file(out() + "/part-00000.jsonl"), expected);
  EXPECT_EQ(read_file(out() + "/provenance.json"), provenance);
}

TEST_F(Generate, SurvivesATornRecordAndAFullDisk) {
  const std::string data = "builtin/chain:rows=400";
  ASSERT_EQ(generate(data, kSampled).exit_code, 0);
  const std::string expected = read_file(out() + "/part-00000.jsonl");
  fs::remove_all(out());
  // A file may have 40 KiB here: less than the journal needs, as on a full disk.
  std::string command = "trap '' XFSZ; ulimit -f 40; exec \"$0\" \"$@\"";
  std::vector<std::string> limited{"-c", command, R1_BIN_DIR "/r1_generate"};
  for (const std::string& argument : arguments(data, kSampled)) limited.push_back(argument);
  const ProgramResult full = test::run_program("/bin/bash", limited);
  EXPECT_EQ(full.exit_code, 6) << full.err;
  EXPECT_FALSE(fs::exists(out() + "/part-00000.jsonl"));
  const std::size_t finished = finished_samples().size();
  EXPECT_GT(finished, 0U);
  for (const auto& entry : fs::directory_iterator(out() + "/_journal")) {
    if (entry.path().extension() == ".journal") fs::resize_file(entry.path(), fs::file_size(entry.path()) - 5);
  }
  EXPECT_EQ(finished_samples().size(), finished - 1);
  const ProgramResult done = generate(data, kSampled);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, ::testing::HasSubstr(std::to_string(finished - 1) + " of 1200 samples are finished already"));
  EXPECT_EQ(read_file(out() + "/part-00000.jsonl"), expected);
}

TEST_F(Generate, AFinishedJobIsNotMadeAgainAndAnotherJobIsRefused) {
  ASSERT_EQ(generate("builtin/chain:rows=10", kSampled).exit_code, 0);
  const auto written = fs::last_write_time(out() + "/part-00000.jsonl");
  const ProgramResult again = generate("builtin/chain:rows=10", kSampled);
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(fs::last_write_time(out() + "/part-00000.jsonl"), written);
  const ProgramResult other = generate("builtin/chain:rows=10", with(kSampled, {"--temperature=0.5"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, ::testing::HasSubstr("temperature: 0.8999999761581421 there, 0.5 now"));
}

TEST_F(Generate, PromptsMayBeMessagesOrTokenIds) {
  const std::string rows = folder_.write("rows.jsonl", R"({"prompt": [{"role": "user", "content": "1+1="}]}
{"prompt": [65, 66, 67]}
)");
  const ProgramResult done = generate(rows, {"--max-new-tokens=4", "--output-format=jsonl"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(jsonl_rows().size(), 2U);
}

TEST_F(Generate, ATooLongPromptLosesNothingElse) {
  const std::string rows = folder_.write("rows.jsonl", R"({"prompt": "1+1="}
{"prompt": ")" + std::string(200, '7') + "\"}\n{\"prompt\": \"2+2=\"}\n");
  const ProgramResult done = generate(rows, {"--max-new-tokens=4", "--output-format=jsonl"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const std::vector<Json> written = jsonl_rows();
  EXPECT_EQ(written[1]["finish_reasons"][0], "prompt_too_long");
  EXPECT_EQ(written[1]["num_tokens"][0], 0);
  EXPECT_NE(written[0]["finish_reasons"][0], "prompt_too_long");
  EXPECT_THAT(done.out, ::testing::HasSubstr("prompt_too_long"));
}

TEST_F(Generate, TheFinishReasonSaysWhichLimitBinds) {
  const std::string rows = folder_.write("rows.jsonl", R"({"prompt": "1+1="}
{"prompt": ")" + std::string(100, '7') + "\"}\n");
  const ProgramResult done = generate(rows, {"--max-new-tokens=60", "--ignore-eos", "--output-format=jsonl"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(jsonl_rows()[0]["finish_reasons"][0], "length");
  EXPECT_EQ(jsonl_rows()[1]["finish_reasons"][0], "length (max_model_len)");
}

TEST_F(Generate, ThePlanShowsAPromptAndWritesNothing) {
  const ProgramResult plan = generate("builtin/chain:rows=10", with(kSampled, {"--plan"}));
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, ::testing::HasSubstr("first prompt"));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Generate, MistakesAreNamed) {
  const std::string rows = folder_.write("rows.jsonl", "{\"problem\": \"1+1=\", \"number\": 5}\n");
  expect_refused(generate(rows), 3, {"prompt", "problem"});
  expect_refused(generate(rows, {"--prompt-colum=problem"}), 2, {"prompt_column"});
  expect_refused(generate(rows, {"--prompt-column=number"}), 3, {"rows.jsonl:1", "number", "expected a text"});
  expect_refused(generate(rows, {"--prompt-column=problem", "--tensor-parallel-size=2"}), 2, {"tensor_parallel_size"});
  expect_refused(generate(rows, {"--prompt-column=problem", "--max-model-len=4096"}), 2, {"max_model_len", "128"});
  expect_refused(generate(rows, {"--prompt-column=problem", "--prompt-template={{ instruction"}), 3, {"prompt-template"});
  expect_refused(generate(folder_.file("absent.jsonl")), 3, {"absent.jsonl"});
}

TEST_F(Generate, AskStreamsAnAnswer) {
  const ProgramResult asked = test::run_program(R1_BIN_DIR "/r1_inspect", {"ask", "--model", model(), "--max-new-tokens=12", "1+1="});
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_THAT(asked.err, ::testing::HasSubstr("tokens/s"));
  EXPECT_FALSE(asked.out.empty());
}

}  // namespace
}  // namespace r1
