// What r1_train sft says about bad models, bad rows and bad settings: exit code 2 or 3, what, where, and what to do; nothing is left.
#include <fstream>

#include "tests/apps/sft_run.h"

namespace r1 {
namespace {

using test::SftRun;
namespace fs = std::filesystem;

class SftData : public SftRun {
 protected:
  test::ProgramResult train_on(const std::string& rows, const std::vector<std::string>& more = {},
                               const std::string& name = "rows.jsonl") const {
    return two_steps(folder_.write(name, rows), more);
  }
  // Replaces one text in a file of the model; the length may change only where the file is plain text.
  void edit_model(const std::string& name, const std::string& old_text, const std::string& new_text) const {
    std::string content = read_file(in_model(name));
    const std::size_t at = content.find(old_text);
    ASSERT_NE(at, std::string::npos) << old_text;
    content.replace(at, old_text.size(), new_text);
    folder_.write("model/" + name, content);
  }
};

const std::string kMessages = R"({"messages": [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]})";

// ---- the model ----

TEST_F(SftData, NamesAShardThatTheIndexListsAndTheFolderLacks) {
  fs::rename(in_model("model.safetensors"), in_model("model-00001-of-00002.safetensors"));
  folder_.write("model/model.safetensors.index.json",
                R"({"metadata": {}, "weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors",
                    "model.norm.weight": "model-00002-of-00002.safetensors"}})");
  expect_refused(two_steps("builtin/chain:rows=8"), 3, {"model-00002-of-00002.safetensors"});
}

TEST_F(SftData, NamesATensorThatNoArchitectureOfOursKnows) {
  edit_model("model.safetensors", "layers.1.mlp.up_proj", "layers.1.mlp.up_porj");
  expect_refused(two_steps("builtin/chain:rows=8"), 3,
                 {"model.layers.1.mlp.up_proj.weight", "are in no file", "model.layers.1.mlp.up_porj.weight"});
}

TEST_F(SftData, RefusesASafetensorsHeaderWithAnyFlippedBit) {
  const std::string whole = read_file(in_model("model.safetensors"));
  // One bit in the length, in the first brace, in a dtype, in a shape and in the offsets of a tensor.
  for (const std::size_t at : {std::size_t{0}, std::size_t{4}, std::size_t{8}, whole.find("F32"), whole.find("shape\":[") + 8,
                               whole.find("data_offsets\":[") + 15}) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0x04);
    folder_.write("model/model.safetensors", broken);
    SCOPED_TRACE(at);
    expect_refused(two_steps("builtin/chain:rows=8"), 3, {"model.safetensors"});
  }
}

TEST_F(SftData, NamesWhatIsImpossibleInAConfig) {
  const auto refused = [&](const std::string& old_text, const std::string& new_text, const std::vector<std::string>& parts) {
    folder_.write("model/config.json", test::kTinyConfig);
    edit_model("config.json", old_text, new_text);
    SCOPED_TRACE(new_text);
    expect_refused(two_steps("builtin/chain:rows=8"), 3, parts);
  };
  refused("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
          {"config.json", "num_attention_heads (4)", "num_key_value_heads (3)"});
  refused("\"hidden_size\": 40", "\"hidden_size\": -40", {"config.json", "hidden_size", "-40"});
  refused("\"vocab_size\": 264", "\"vocab_size\": \"many\"", {"config.json", "vocab_size", "expected an integer", "many"});
  refused("\"head_dim\": 10", "\"head_dim\": 9", {"config.json", "head_dim", "9"});
  refused("\"model_type\": \"qwen2\", ", "", {"config.json", "model_type"});
  refused("\"model_type\": \"qwen2\"", "\"model_type\": \"qwen9\"", {"qwen9", "qwen2", "llama"});
  refused("\"eos_token_id\": 257", "\"rope_scaling\": {\"rope_type\": \"spiral\"}", {"config.json", "rope type 'spiral'", "llama3"});
  refused("\"eos_token_id\": 257,", "\"eos_token_id\": 257,,", {"config.json"});
}

TEST_F(SftData, NamesATokenizerThatIsLargerThanTheVocabulary) {
  fs::remove_all(model());
  std::string config = test::kTinyConfig;
  config.replace(config.find("264"), 3, "200");
  const std::string path = folder_.write("config.json", config);
  const auto made = test::run_program(R1_BIN_DIR "/r1_inspect", {"init-model", "--config", path, "--tokenizer",
                                                                 test::source_folder() + "/assets/chain", "--output", model()});
  if (made.exit_code != 0) {
    EXPECT_EQ(made.exit_code, 3) << made.err;
    EXPECT_THAT(made.err, ::testing::HasSubstr("200"));
    return;
  }
  expect_refused(two_steps("builtin/chain:rows=8"), 3, {"vocab_size is 200", "do not belong together"});
}

TEST_F(SftData, ReportsATemplateThatRaisesWithTheRow) {
  const std::string chat = folder_.write("raises.jinja", "{{ raise_exception('roles must alternate') }}");
  expect_refused(train_on(kMessages + "\n", {"--chat_template", chat}), 3, {"rows.jsonl:1", "roles must alternate"});
  // The model's own template takes users and assistants only.
  expect_refused(train_on(kMessages + "\n" + R"({"messages": [{"role": "tool", "content": "x"}]})" + "\n"), 3,
                 {"rows.jsonl:2", "user and assistant only"});
}

TEST_F(SftData, ReportsATemplateThatDoesNotParse) {
  const std::string chat = folder_.write("broken.jinja", "{% for m in messages %}{{ m.content }");
  const auto done = train_on(kMessages + "\n", {"--chat_template", chat});
  EXPECT_TRUE(done.exit_code == 2 || done.exit_code == 3) << done.err;
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_THAT(done.err, ::testing::HasSubstr("broken.jinja"));
}

// ---- the rows ----

TEST_F(SftData, NamesTheColumnsThatAreThereAndThoseThatWereExpected) {
  expect_refused(train_on("{\"question\": \"1+1=\", \"answer\": \"2\"}\n"), 3, {"messages", "prompt", "text", "found question, answer"});
  expect_refused(train_on("{\"text\": \"a\"}\n", {"--dataset_text_field=body"}), 3, {"body", "text"});
}

TEST_F(SftData, RefusesAnEmptyDataSet) {
  expect_refused(train_on(""), 3, {"rows.jsonl", "row"});
  expect_refused(train_on("\n \n"), 3, {"rows.jsonl", "row"});
  expect_refused(train_on("[]", {}, "rows.json"), 3, {"rows.json", "row"});
  fs::create_directories(folder_.file("empty"));
  expect_refused(two_steps(folder_.file("empty")), 3, {"empty", "found none"});
}

TEST_F(SftData, RefusesRowsWhoseLabelsAreAllMasked) {
  const std::string users = R"({"messages": [{"role": "user", "content": "nobody answers"}]})";
  expect_refused(train_on(users + "\n", {"--assistant_only_loss"}), 3, {"rows.jsonl", "every label is masked", "assistant_only_loss"});
  expect_refused(train_on("{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n"), 3, {"every label is masked"});
  // The completion begins behind the limit.
  expect_refused(train_on(R"({"prompt": "a long prompt", "completion": "x"})", {"--max_length=4"}), 3,
                 {"every label is masked", "max_length (4)"});
}

TEST_F(SftData, NamesLineAndColumnOfInvalidUtf8) {
  const auto done = train_on(kMessages + "\n{\"text\": \"caf\xe9\"}\n");
  expect_refused(done, 3, {"rows.jsonl:2:14", "UTF-8"});
}

TEST_F(SftData, NamesFileLineAndColumnOfABrokenLine) {
  expect_refused(train_on(kMessages + "\n\n{\"messages\": [1, 2,, 3]}\n"), 3, {"rows.jsonl:3:20"});
  expect_refused(train_on(kMessages + "\n{\"messages\": [\n"), 3, {"rows.jsonl:2"});
  expect_refused(train_on(kMessages + "\n[1, 2]\n"), 3, {"rows.jsonl:2", "expected one JSON object per line", "array"});
}

TEST_F(SftData, NamesABrokenCsvLine) {
  expect_refused(train_on("text\n\"never closed\n", {}, "rows.csv"), 3, {"rows.csv"});
  expect_refused(train_on("prompt,completion\na,b\nc,d,e\n", {}, "rows.csv"), 3, {"rows.csv:3", "2", "3"});
}

TEST_F(SftData, NamesABrokenParquetFile) {
  R1_REQUIRE_PARQUET();
  expect_refused(train_on("PAR1 this is no Parquet file PAR1", {}, "rows.parquet"), 3, {"rows.parquet", "not a readable Parquet file"});
  expect_refused(train_on("", {}, "rows.parquet"), 3, {"rows.parquet", "expected a Parquet file"});
}

TEST_F(SftData, NamesWhatIsDamagedInAParquetFile) {
  R1_REQUIRE_PARQUET();
  R1_REQUIRE_SHARED(shared);
  const std::string whole = read_file(shared + "/data/sft/math_think_wrapped_2k.parquet");
  expect_refused(train_on(whole.substr(0, whole.size() / 2), {}, "rows.parquet"), 3, {"rows.parquet", "truncated?"});
  std::string broken = whole;
  for (std::size_t i = 1000; i < 1200; ++i) broken[i] = '\x5a';
  expect_refused(train_on(broken, {}, "rows.parquet"), 3, {"rows.parquet", "row group 0"});
}

TEST_F(SftData, NamesTokenIdsThatTheModelDoesNotHave) {
  expect_refused(train_on("{\"input_ids\": [1, 2, 264]}\n"), 3, {"264", "vocab_size"});
  expect_refused(train_on("{\"input_ids\": [1, -1]}\n"), 3, {"rows.jsonl:1", "-1"});
  expect_refused(train_on("{\"input_ids\": [1, 2], \"labels\": [1, 2, 3]}\n"), 3, {"rows.jsonl:1", "as many labels"});
}

TEST_F(SftData, RefusesAnOverlongRowWhenToldTo) {
  expect_refused(train_on("{\"text\": \"abc\"}\n{\"text\": \"abcdefghijkl\"}\n", {"--max_length=8", "--overlong_rows=error"}), 3,
                 {"rows.jsonl:2", "13 tokens", "max_length is 8"});
}

// ---- the settings ----

TEST_F(SftData, NamesAValueOutOfRangeWithItsPlace) {
  const auto refused = [&](const std::string& line, const std::vector<std::string>& parts) {
    const std::string recipe = folder_.write("recipe.yaml", "seed: 42\n" + line + "\n");
    SCOPED_TRACE(line);
    std::vector<std::string> all = parts;
    all.push_back("recipe.yaml:2");
    expect_refused(sft({"--config", recipe, "--dataset_name", "builtin/chain:rows=8"}), 2, all);
  };
  refused("learning_rate: -1", {"learning_rate", "-1"});
  refused("warmup_ratio: 1.5", {"warmup_ratio", "1.5"});
  refused("per_device_train_batch_size: 0", {"per_device_train_batch_size", "0"});
  refused("max_length: -3", {"max_length", "-3"});
  refused("adam_beta1: 2", {"adam_beta1", "2"});
  refused("max_steps: 0", {"max_steps", "0"});
  refused("packing_strategy: tetris", {"tetris", "bfd", "wrapped"});
  refused("lr_scheduler_type: cosinus", {"cosinus", "cosine"});
  refused("gradient_checkpointing: perhaps", {"perhaps"});
}

TEST_F(SftData, NamesUnsupportedKeysWithTheNearestWay) {
  const auto refused = [&](const std::vector<std::string>& flags, const std::vector<std::string>& parts) {
    std::vector<std::string> all{"--dataset_name", "builtin/chain:rows=8"};
    all.insert(all.end(), flags.begin(), flags.end());
    SCOPED_TRACE(flags[0]);
    expect_refused(sft(all), 2, parts);
  };
  refused({"--optim=paged_adamw_8bit"}, {"optim", "paged_adamw_8bit", "adamw_torch"});
  refused({"--use_peft"}, {"use_peft", "zero3"});
  refused({"--load_in_4bit"}, {"load_in_4bit", "bf16"});
  refused({"--fsdp=full_shard"}, {"fsdp", "zero3"});
  refused({"--fp16"}, {"fp16", "bf16"});
  refused({"--group_by_length"}, {"group_by_length", "packing"});
  refused({"--accelerate_config", test::source_folder() + "/tests/config/recipes/accelerate/fsdp.yaml"}, {"fsdp.yaml", "FSDP", "zero"});
}

TEST_F(SftData, RefusesAMixtureWithUnequalColumns) {
  folder_.write("a.jsonl", "{\"text\": \"a\", \"source\": \"x\"}\n");
  folder_.write("b.jsonl", "{\"text\": \"b\"}\n");
  const auto mixture = [&](const std::string& first, const std::string& second) {
    return folder_.write("recipe.yaml", "dataset_mixture:\n  datasets:\n  - id: " + folder_.file("a.jsonl") + "\n" + first +
                                            "  - id: " + folder_.file("b.jsonl") + "\n" + second);
  };
  const auto run = [&](const std::string& recipe) { return sft({"--config", recipe, "--max_steps=2", "--save_strategy=no"}); };
  expect_refused(run(mixture("    columns: [text, source]\n", "    columns: [text]\n")), 2, {"columns", "source"});
  expect_refused(run(mixture("    columns: [text]\n    weight: 3\n", "    columns: [text]\n")), 2, {"weight", "3"});
  expect_refused(run(mixture("    columns: [text]\n", "    columns: [text]\n") + "x"), 2, {"recipe.yamlx"});
  folder_.write("b.jsonl", "{\"body\": \"b\"}\n");
  expect_refused(run(mixture("", "")), 3, {"column"});
}

}  // namespace
}  // namespace r1
