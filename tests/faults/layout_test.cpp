// Runs whose checkpoints lie in one file per node, and what becomes of checkpoints: other layouts, Hugging Face folders.
#include "tests/faults/small_run.h"

namespace r1::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Layouts : public SmallRun {
 protected:
  static ProgramResult inspect(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"checkpoint"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_program(R1_BIN_DIR "/r1_inspect", all);
  }
  static std::string zero(int stage) {
    return fmt::format("--accelerate_config={}/accelerate_configs/zero{}.yaml", source_folder(), stage);
  }
};

TEST_F(Layouts, AChainThatChangesLayoutNodesAndRanksEndsWithTheSameBytes) {
  ASSERT_EQ(run(command("sft", 1, "full", {"--max_steps=8", "--save_steps=2"})), 0) << log_text();
  const auto part = [&](int ranks, int max_steps, const std::vector<std::string>& more) {
    std::vector<std::string> flags{"--max_steps=8", "--save_steps=2", "--resume_from_checkpoint=latest"};
    flags.insert(flags.end(), more.begin(), more.end());
    const auto now = command("sft", ranks, "run", flags);
    EXPECT_EQ(run(ranks > 1 ? on_two_nodes(now) : now), 0) << log_text();
    // As if the job had been killed before its next save.
    for (const std::int64_t step : checkpoint::checkpoint_steps(out("run"))) {
      if (step > max_steps) fs::remove_all(fmt::format("{}/checkpoint-{}", out("run"), step));
    }
    fs::remove(out("run") + "/model.safetensors");
  };
  part(3, 2, {"--checkpoint_layout=per_node", "--async_save", zero(3)});
  for (const char* name : {"state-node0.h5", "state-node1.h5", "index.json"}) EXPECT_TRUE(fs::exists(out("run") + "/checkpoint-2/" + name));
  const auto same = inspect({out("run") + "/checkpoint-2", "--verify", "--diff", out("full") + "/checkpoint-2"});
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_THAT(same.out, HasSubstr("every byte is as it was written"));
  EXPECT_THAT(same.out, HasSubstr("tensors are equal (steps 2 and 2)"));
  EXPECT_THAT(same.out, Not(HasSubstr("values differ")));
  part(2, 4, {"--async_save", zero(2)});
  EXPECT_TRUE(fs::exists(out("run") + "/checkpoint-4/state.h5"));
  part(4, 6, {"--checkpoint_layout=per_node"});
  EXPECT_THAT(log_text(), HasSubstr("(step 4, written by 2 ranks)"));
  ASSERT_EQ(run(command("sft", 1, "run", {"--max_steps=8", "--resume_from_checkpoint=latest"})), 0) << log_text();
  EXPECT_THAT(log_text(), HasSubstr("checkpoint-6 (step 6, written by 4 ranks)"));
  EXPECT_EQ(weights("run"), weights("full"));
  EXPECT_EQ(losses("run"), losses("full"));
  EXPECT_EQ(samples("run"), samples("full"));
}

TEST_F(Layouts, AReferenceModelThatIsMixedWithThePolicyIsPartOfTheState) {
  const std::vector<std::string> flags{"--max_steps=6",    "--save_steps=3",           "--beta=0.1",
                                       "--sync_ref_model", "--ref_model_sync_steps=2", "--ref_model_mixup_alpha=0.7"};
  ASSERT_EQ(run(command("grpo", 2, "full", flags)), 0) << log_text();
  fs::create_directory(out("run"));
  fs::copy(out("full") + "/checkpoint-3", out("run") + "/checkpoint-3", fs::copy_options::recursive);
  std::vector<std::string> resumed = flags;
  resumed.emplace_back("--resume_from_checkpoint=latest");
  ASSERT_EQ(run(command("grpo", 1, "run", resumed)), 0) << log_text();
  EXPECT_THAT(log_text(), HasSubstr("resumed from " + out("run") + "/checkpoint-3"));
  EXPECT_EQ(weights("run"), weights("full"));
}

constexpr const char* kTemplate =
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

TEST_F(Layouts, AnExportedCheckpointIsTheFolderThatTheRunWouldHaveSaved) {
  const std::vector<std::string> flags{"--max_steps=2", "--save_steps=1", "--save_dtype=bfloat16",
                                       "--chat_template=" + folder_.write("template.jinja", kTemplate)};
  std::vector<std::string> with_files = flags, per_node = flags;
  with_files.emplace_back("--save_hf");
  per_node.emplace_back("--checkpoint_layout=per_node");
  per_node.push_back(zero(3));
  ASSERT_EQ(run(command("sft", 1, "hf", with_files)), 0) << log_text();
  ASSERT_EQ(run(on_two_nodes(command("sft", 2, "raw", per_node))), 0) << log_text();
  const std::string raw = out("raw") + "/checkpoint-1", exported = folder_.file("exported");
  const auto done = inspect({raw, "--to-hf", exported});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  int num_files = 0;
  for (const auto& entry : fs::directory_iterator(out("hf") + "/checkpoint-1")) {
    const std::string name = entry.path().filename().string();
    if (name == "state.h5" || name == "manifest.json") continue;
    ++num_files;
    EXPECT_EQ(read_file(exported + "/" + name), read_file(entry.path().string())) << name;
  }
  EXPECT_GE(num_files, 4);
  EXPECT_EQ(std::distance(fs::directory_iterator(exported), fs::directory_iterator()), num_files);

  const auto again = inspect({raw, "--to-hf=" + exported});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("expected a folder that is new or empty"));
  fs::rename(folder_.file("model"), folder_.file("moved"));
  const auto without = inspect({raw, "--to-hf", folder_.file("other")});
  EXPECT_EQ(without.exit_code, 3);
  EXPECT_THAT(without.err, HasSubstr("--tokenizer"));
  EXPECT_FALSE(fs::exists(folder_.file("other")));
  EXPECT_EQ(inspect({raw, "--to-hf", folder_.file("other"), "--tokenizer", folder_.file("moved")}).exit_code, 0);
  EXPECT_EQ(read_file(folder_.file("other") + "/model.safetensors"), read_file(exported + "/model.safetensors"));
  fs::resize_file(raw + "/state-node1.h5", 3000);
  const auto damaged = inspect({raw, "--to-hf", folder_.file("damaged")});
  EXPECT_EQ(damaged.exit_code, 3);
  EXPECT_THAT(damaged.err, HasSubstr("state-node1.h5: expected"));
}

}  // namespace
}  // namespace r1::test
