#include "models/model_config.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/strings.h"
#include "models/registry.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace r1::models {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(const std::string& json) {
  try {
    make_model(parse_model_config(json, "config.json"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kModel);
    return error.what();
  }
  return "no error";
}

std::string tiny_with(const std::string& from, const std::string& to) { return replace_all(test::tiny_config_json("qwen2"), from, to); }

TEST(ModelConfig, ReadsBothStylesOfPublishedFiles) {
  const ModelConfig v4 = parse_model_config(test::tiny_config_json("llama", R"(, "torch_dtype": "bfloat16", "rope_theta": 500000.0,
      "eos_token_id": [7, 9], "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192})"),
                                            "v4");
  EXPECT_EQ(v4.torch_dtype, DType::kBF16);
  EXPECT_EQ(v4.rope_theta, 500000);
  EXPECT_EQ(v4.rope_scaling.rope_type, "llama3");
  EXPECT_THAT(v4.eos_token_ids, ::testing::ElementsAre(7, 9));
  const ModelConfig v5 = parse_model_config(
      test::tiny_config_json("qwen2", R"(, "dtype": "float16", "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"})"),
      "v5");
  EXPECT_EQ(v5.torch_dtype, DType::kF16);
  EXPECT_EQ(v5.rope_theta, 1000000);
}

TEST(ModelConfig, NamesWhatIsMissingImpossibleOrNotSupported) {
  EXPECT_THAT(message_of("{}"), HasSubstr("model_type"));
  EXPECT_THAT(message_of(tiny_with("\"hidden_size\": 24, ", "")), AllOf(HasSubstr("config.json"), HasSubstr("'hidden_size' is missing")));
  EXPECT_THAT(message_of(tiny_with("\"hidden_size\": 24", "\"hidden_size\": -24")), HasSubstr("found -24"));
  EXPECT_THAT(message_of(tiny_with("\"hidden_size\": 24", "\"hidden_size\": \"24\"")), HasSubstr("expected an integer"));
  EXPECT_THAT(message_of(tiny_with("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3")),
              HasSubstr("multiple of num_key_value_heads (3)"));
  EXPECT_THAT(message_of(tiny_with("\"head_dim\": 6", "\"head_dim\": 7")), HasSubstr("even"));
  EXPECT_THAT(message_of(test::tiny_config_json("mamba")), AllOf(HasSubstr("'mamba'"), HasSubstr("qwen2")));
  EXPECT_THAT(message_of(test::tiny_config_json("qwen2", R"(, "rope_scaling": {"rope_type": "longrope"})")), HasSubstr("'longrope'"));
  EXPECT_THAT(message_of(test::tiny_config_json("qwen2", R"(, "use_sliding_window": true)")), HasSubstr("use_sliding_window"));
  EXPECT_THAT(message_of(test::tiny_config_json("qwen2", R"(, "hidden_act": "gelu")")), HasSubstr("'gelu'"));
  EXPECT_THAT(message_of("{\"model_type\": \"qwen2\","), HasSubstr("config.json:1:"));
}

TEST(ModelConfig, AFolderWithoutConfigSaysWhatIsExpected) {
  const test::TemporaryFolder folder;
  try {
    load_model_config(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(folder.path()), HasSubstr("config.json"), HasSubstr("safetensors")));
  }
}

TEST(TokenBatch, RefusesIdsOutsideTheVocabulary) {
  const auto ctx = make_cpu_context(1);
  const std::int32_t ids[] = {1, 53}, positions[] = {0, 1};
  const std::int64_t lengths[] = {2};
  try {
    make_token_batch(*ctx, ids, positions, lengths, 53);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("53"), HasSubstr("vocab_size")));
  }
}

TEST(CausalLM, DeclaresThePublishedNamesOnce) {
  const auto model = make_model(parse_model_config(test::tiny_config_json("qwen2"), "tiny"));
  EXPECT_NE(model->parameters().find("model.layers.2.self_attn.k_proj.bias"), nullptr);
  EXPECT_NE(model->parameters().find("lm_head.weight"), nullptr);
  const auto tied = make_model(parse_model_config(test::tiny_config_json("qwen2", R"(, "tie_word_embeddings": true)"), "tiny"));
  EXPECT_EQ(tied->parameters().find("lm_head.weight"), nullptr);
  EXPECT_EQ(model->parameters().num_elements() - tied->parameters().num_elements(), 53 * 24);
}

}  // namespace
}  // namespace r1::models
