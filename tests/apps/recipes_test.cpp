// Open R1's recipe files and every kind of row, through r1_train sft itself.
#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

using test::SftRun;
namespace fs = std::filesystem;

const char* const kTask = "builtin/chain:rows=64";

class Recipes : public SftRun {
 protected:
  // The recipe as it is, but for the model, the data and where the result goes.
  test::ProgramResult plan(const std::string& recipe, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> flags{"--config", recipe, "--dataset_name", kTask, "--plan"};
    flags.insert(flags.end(), more.begin(), more.end());
    return sft(flags);
  }
  void expect_planned(const test::ProgramResult& done) const {
    EXPECT_EQ(done.exit_code, 0) << done.err;
    EXPECT_THAT(done.out, ::testing::HasSubstr("steps        "));
    EXPECT_THAT(done.out, ::testing::HasSubstr("⟦"));
    EXPECT_FALSE(fs::exists(out()));
  }
  static std::string typed_in(const std::string& name) { return test::source_folder() + "/tests/config/recipes/" + name + ".yaml"; }
};

TEST_F(Recipes, ThatOfFebruary2025IsPlannedWithANoticeForEachKeyOfThePythonStack) {
  const auto done = plan(typed_in("feb25_sft_demo"), {"--compat=feb25"});
  expect_planned(done);
  for (const char* key : {"attn_implementation", "dataset_configs", "preprocessing_num_workers", "gradient_checkpointing_kwargs",
                          "max_seq_length", "push_to_hub", "report_to"}) {
    EXPECT_THAT(done.err, ::testing::HasSubstr(std::string("'") + key + "'"));
  }
  EXPECT_THAT(done.out, ::testing::HasSubstr("% full")) << "packing: true";
}

TEST_F(Recipes, TheNewestOnesArePlanned) {
  for (const char* name : {"head_sft_openr1_distill", "head_sft_olympiccoder_7b"}) {
    SCOPED_TRACE(name);
    const auto done = plan(typed_in(name));
    expect_planned(done);
    EXPECT_THAT(done.err, ::testing::HasSubstr("'dataset_config' has no effect: builtin/chain"));
  }
}

TEST_F(Recipes, TheOneForFsdpAndAnEightBitOptimizerIsRefusedByTheTableOfUnsupportedKeys) {
  expect_refused(plan(typed_in("head_sft_olympiccoder_32b")), 2, {"head_sft_olympiccoder_32b.yaml", "paged_adamw_8bit", "adamw_torch"});
}

TEST_F(Recipes, OursArePlanned) {
  int found = 0;
  for (const auto& entry : fs::recursive_directory_iterator(test::source_folder() + "/recipes")) {
    if (entry.path().extension() != ".yaml" || entry.path().parent_path().filename() != "sft") continue;
    SCOPED_TRACE(entry.path());
    // The tiny recipe trains on a built-in task anyway; its rows have the form that its loss needs.
    const bool is_tiny = entry.path().string().find("/tiny/") != std::string::npos;
    expect_planned(plan(entry.path().string(), {"--dataset_name", is_tiny ? "builtin/chain:rows=64,format=prompt_completion" : kTask}));
    ++found;
  }
  EXPECT_GE(found, 3);
}

TEST_F(Recipes, APlanTellsThatTheEvaluationHasNoTestSplit) {
  const std::string rows = folder_.write("rows.jsonl", "{\"text\": \"abc\"}\n{\"text\": \"def\"}\n");
  expect_refused(sft({"--config", typed_in("feb25_sft_demo"), "--dataset_name", rows, "--plan"}), 3, {"rows.jsonl", "test"});
}

class Rows : public SftRun {
 protected:
  // The same row eight times, with a number that differs.
  std::string lines(const std::string& pattern) const {
    std::string text;
    for (int i = 0; i < 8; ++i) {
      std::string line = pattern;
      for (std::size_t at = line.find('#'); at != std::string::npos; at = line.find('#')) line.replace(at, 1, std::to_string(i));
      text += line + "\n";
    }
    return text;
  }
  void expect_kind(const test::ProgramResult& done, const std::string& kind) const {
    expect_trained(done);
    EXPECT_THAT(done.err + done.out, ::testing::HasSubstr("8 " + kind + " documents"));
  }
};

const char* const kMessages = R"({"messages": [{"role": "user", "content": "#+1="}, {"role": "assistant", "content": "is #"}]})";

struct RowKindCase {
  const char* name;
  const char* line;
  const char* kind;
};
const RowKindCase kRowKinds[] = {
    {"messages", kMessages, "messages"},
    {"conversations", R"({"conversations": [{"from": "human", "value": "#+1="}, {"from": "gpt", "value": "is #"}]})", "conversations"},
    {"prompt_completion", R"({"prompt": "#+1=", "completion": "is #"})", "prompt and completion"},
    {"prompt_completion_messages",
     R"({"prompt": [{"role": "user", "content": "#+1="}], "completion": [{"role": "assistant", "content": "is #"}]})",
     "prompt and completion"},
    {"text", R"({"text": "row #"})", "text"},
    {"input_ids", R"({"input_ids": [4#, 5, 6], "labels": [-100, 5, 6]})", "input_ids"},
    {"input_ids_alone", R"({"input_ids": [4#, 5, 6]})", "input_ids"},
};

class RowKinds : public Rows, public ::testing::WithParamInterface<RowKindCase> {};

TEST_P(RowKinds, TrainFromJsonLines) { expect_kind(two_steps(folder_.write("rows.jsonl", lines(GetParam().line))), GetParam().kind); }

TEST_P(RowKinds, TrainFromAJsonList) {
  std::string list = lines(GetParam().line);
  list.pop_back();
  for (char& c : list) c = c == '\n' ? ',' : c;
  expect_kind(two_steps(folder_.write("rows.json", "[" + list + "]")), GetParam().kind);
}

INSTANTIATE_TEST_SUITE_P(Sft, RowKinds, ::testing::ValuesIn(kRowKinds), [](const auto& test) { return std::string(test.param.name); });

TEST_F(Rows, TrainFromCsv) {
  expect_kind(two_steps(folder_.write("rows.csv", "prompt,completion\n" + lines("#+1=,\"is \"\"#\"\"\""))), "prompt and completion");
  fs::remove_all(out());
  expect_kind(two_steps(folder_.write("texts.csv", "text\n" + lines("\"row #,\nof two lines\""))), "text");
}

TEST_F(Rows, TrainFromParquetWithNestedColumns) {
  R1_REQUIRE_PARQUET();
  R1_REQUIRE_SHARED(shared);
  const auto done = two_steps(shared + "/data/sft/math_think_wrapped_2k.parquet",
                              {"--max_length=64", "--chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}"});
  expect_trained(done);
  EXPECT_THAT(done.err + done.out, ::testing::HasSubstr("2000 messages documents"));
}

TEST_F(Rows, TrainFromAFolderOfTwoFilesAndEvaluateOnItsTestSplit) {
  folder_.write("folder/train-00000-of-00002.jsonl", lines(kMessages));
  folder_.write("folder/train-00001-of-00002.jsonl", lines(kMessages));
  folder_.write("folder/test.jsonl", lines(kMessages));
  const auto done = two_steps(folder_.file("folder"), {"--eval_strategy=steps", "--eval_steps=1"});
  expect_trained(done);
  EXPECT_THAT(done.err + done.out, ::testing::HasSubstr("16 messages documents"));
  const Json history = read_json_file(out() + "/trainer_state.json")["log_history"];
  int evaluations = 0;
  for (const Json& entry : history) evaluations += entry.contains("eval_loss") ? 1 : 0;
  EXPECT_GE(evaluations, 2);
}

TEST_F(Rows, TrainFromAMixtureWithItsOwnTestSplit) {
  const std::string a = folder_.write("a.jsonl", lines(R"({"text": "a #", "source": "a"})"));
  const std::string b = folder_.write("b.jsonl", lines(R"({"source": "b", "text": "b #"})"));
  const std::string recipe =
      folder_.write("recipe.yaml", "dataset_mixture:\n  datasets:\n  - id: " + a + "\n    columns: [text, source]\n  - id: " + b +
                                       "\n    columns: [source, text]\n    weight: 0.5\n  seed: 7\n"
                                       "  test_split_size: 0.25\n");
  const auto done = sft({"--config", recipe, "--max_steps=2", "--per_device_train_batch_size=2", "--save_strategy=no", "--logging_steps=1",
                         "--eval_strategy=steps", "--eval_steps=2"});
  expect_trained(done);
  EXPECT_THAT(done.err + done.out, ::testing::HasSubstr("9 text documents")) << "8 + 4 rows, a quarter of them for the test";
  EXPECT_THAT(done.err + done.out, ::testing::HasSubstr("evaluation: 3 rows"));
}

// What the log says is learnt: the number before "of them learnt".
std::int64_t learnt_tokens(const test::ProgramResult& done) {
  const std::string text = done.err + done.out;
  const std::size_t end = text.find(" of them learnt");
  if (end == std::string::npos) return -1;
  const std::size_t begin = text.rfind(' ', end - 1) + 1;
  return std::stoll(text.substr(begin, end - begin));
}

TEST_F(Rows, PackingAndItsAttentionDecideWhatIsLearnt) {
  const std::string rows = folder_.write("rows.jsonl", lines(R"({"input_ids": [4#, 5, 6]})"));  // 8 rows of 3 ids
  const auto learnt = [&](const std::vector<std::string>& flags) {
    fs::remove_all(out());
    std::vector<std::string> all{"--max_length=12"};
    all.insert(all.end(), flags.begin(), flags.end());
    const auto done = two_steps(rows, all);
    expect_trained(done);
    return learnt_tokens(done);
  };
  EXPECT_EQ(learnt({}), 16) << "each row predicts two tokens";
  EXPECT_EQ(learnt({"--packing", "--packing_strategy=bfd", "--packing_attention=block_diagonal"}), 16);
  EXPECT_EQ(learnt({"--packing", "--packing_strategy=bfd", "--packing_attention=causal"}), 22) << "two blocks of 12";
  EXPECT_EQ(learnt({"--packing", "--packing_strategy=wrapped", "--packing_attention=causal"}), 22);
  EXPECT_EQ(learnt({"--packing", "--compat=feb25"}), 22) << "February 2025: wrapped and causal";
  EXPECT_EQ(learnt({"--packing"}), 16) << "our default: bfd and block-diagonal";
}

TEST_F(Rows, PackingKeysWithoutPackingAreNoticed) {
  const auto done = two_steps(folder_.write("rows.jsonl", lines(kMessages)), {"--packing_strategy=wrapped"});
  expect_trained(done);
  EXPECT_THAT(done.err, ::testing::HasSubstr("packing_strategy has no effect: packing is false"));
}

TEST_F(Rows, TheLossSettingsDecideWhichTokensCount) {
  const std::string dialogue = folder_.write("rows.jsonl", lines(kMessages));
  const std::string pairs = folder_.write("pairs.jsonl", lines(R"({"prompt": "#+1=", "completion": "is #"})"));
  const auto learnt = [&](const std::string& rows, const std::vector<std::string>& flags) {
    fs::remove_all(out());
    const auto done = two_steps(rows, flags);
    expect_trained(done);
    return learnt_tokens(done);
  };
  // <|user|> # + 1 = <|assistant|> i s _ # <|im_end|>: ten targets, five of them the assistant's.
  EXPECT_EQ(learnt(dialogue, {}), 8 * 10);
  EXPECT_EQ(learnt(dialogue, {"--assistant_only_loss"}), 8 * 5);
  // # + 1 = i s _ # <|im_end|>
  EXPECT_EQ(learnt(pairs, {}), 8 * 5);
  EXPECT_EQ(learnt(pairs, {"--completion_only_loss=false"}), 8 * 8);
}

}  // namespace
}  // namespace r1
