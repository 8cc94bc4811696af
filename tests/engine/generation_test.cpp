// Completions against the ground truth, ends of completions, bad input, the guarded device.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoint/hf_import.h"
#include "engine/engine.h"
#include "tests/support/guarded_device.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"
#include "text/tokenizer.h"

namespace r1::test {
namespace {

using engine::Completion;
using engine::FinishReason;
using engine::Request;

Request request(std::vector<std::int32_t> prompt, engine::SamplingParams params) {
  return {0,
          0,
          std::make_shared<std::vector<std::int32_t>>(std::move(prompt)),
          std::make_shared<engine::SamplingParams>(std::move(params)),
          {}};
}

engine::SamplingParams greedy(std::int64_t max_new_tokens) {
  engine::SamplingParams params;
  params.settings.temperature = 0;
  params.max_new_tokens = max_new_tokens;
  return params;
}

TEST(Generation, GreedyCompletionsEqualTheFixtures) {
  R1_REQUIRE_SHARED(shared);
  for (const char* name : {"qwen2", "qwen2_untied", "llama3", "qwen3", "qwen2_bf16"}) {
    const Json fixture = Json::parse(read_file(shared + "/fixtures/generation/" + name + ".json"));
    const std::string folder = shared + "/fixtures/checkpoints/" + name;
    const auto ctx = make_cpu_context(2);
    TinyModel loaded;
    loaded.model = models::make_model(models::load_model_config(folder));
    loaded.store = parallel::make_replicated_store(*ctx, loaded.model->parameters(), parallel::OptimizerState::kNone);
    loaded.runner = std::make_unique<nn::UnitRunner>(loaded.model->parameters(), *loaded.store);
    checkpoint::load_weights(folder, *loaded.model, *loaded.store);
    engine::Engine engine(*ctx, *loaded.model, *loaded.runner, nullptr, {.max_batch_tokens = 16});
    for (const bool with_eos : {false, true}) {
      engine::SamplingParams params = greedy(fixture["max_new_tokens"]);
      if (with_eos) params.stop_token_ids = fixture["eos_case"]["eos_token_ids"].get<std::vector<std::int32_t>>();
      std::vector<Request> requests;
      for (const Json& prompt : fixture["prompts"]) requests.push_back(request(prompt.get<std::vector<std::int32_t>>(), params));
      const std::vector<Completion> completions = engine.generate(requests);
      const Json& expected = with_eos ? fixture["eos_case"]["completions"] : fixture["completions"];
      for (std::size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(completions[i].ids, expected[i].get<std::vector<std::int32_t>>()) << name << ", prompt " << i;
        if (with_eos || !fixture.contains("logprob_sum")) continue;
        double sum = 0;
        for (const float log_prob : completions[i].log_probs) sum += static_cast<double>(log_prob);
        EXPECT_NEAR(sum, fixture["logprob_sum"][i].get<double>(), 48 * 2e-4) << name << ", prompt " << i;  // 2e-4 a token
      }
    }
  }
}

class GenerationEnds : public testing::Test {
 protected:
  Completion run(const Request& wanted, engine::EngineOptions options = {}) {
    return engine::Engine(*ctx_, *tiny_.model, *tiny_.runner, nullptr, options).generate({&wanted, 1}).front();
  }
  std::unique_ptr<ExecContext> ctx_ = make_cpu_context(1);
  TinyModel tiny_ = make_tiny_model(*ctx_, tiny_config_json("llama"));
};

TEST_F(GenerationEnds, EachLimitIsNamed) {
  EXPECT_EQ(run(request({1, 2, 3}, greedy(5))).finish_reason, FinishReason::kMaxNewTokens);
  const Completion full = run(request({1, 2, 3}, greedy(50)), {.max_model_len = 20});
  EXPECT_EQ(full.finish_reason, FinishReason::kMaxModelLen);
  EXPECT_EQ(full.ids.size(), 17U);
}

TEST_F(GenerationEnds, AStopTokenStaysAndMinNewTokensPostponesIt) {
  const Completion free = run(request({1, 2, 3}, greedy(20)));
  engine::SamplingParams params = greedy(20);
  params.stop_token_ids = {free.ids[0], free.ids[4]};
  const Completion stopped = run(request({1, 2, 3}, params));
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.ids, std::vector<std::int32_t>{free.ids[0]});
  params.min_new_tokens = 3;
  const Completion later = run(request({1, 2, 3}, params));
  ASSERT_GE(later.ids.size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(std::ranges::count(params.stop_token_ids, later.ids[static_cast<std::size_t>(i)]), 0);
  params.min_new_tokens = 0;
  params.ignore_eos = true;
  EXPECT_EQ(run(request({1, 2, 3}, params)).ids, free.ids);
}

TEST_F(GenerationEnds, BadPromptsAreNamed) {
  const auto message = [&](std::vector<std::int32_t> prompt) -> std::string {
    try {
      run(request(std::move(prompt), greedy(2)), {.max_model_len = 16});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message({}).find("empty"), std::string::npos);
  EXPECT_NE(message(std::vector<std::int32_t>(16, 1)).find("16 tokens"), std::string::npos);
  EXPECT_NE(message({1, 53}).find("expected 0 to 52"), std::string::npos);
}

TEST_F(GenerationEnds, ACacheThatHoldsNoSequenceIsRefusedWithTheNumbers) {
  try {
    run(request({1}, greedy(1)), {.kv_cache_bytes = 1000});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory);
    EXPECT_NE(std::string(error.what()).find("--kv-cache-memory"), std::string::npos);
  }
}

TEST(Generation, AStopTextCutsTheTextAndKeepsTheIds) {
  R1_REQUIRE_SHARED(shared);
  const auto ctx = make_cpu_context(1);
  const std::string folder = shared + "/fixtures/checkpoints/qwen2";
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  const TinyModel tiny = make_tiny_model(*ctx, read_file(folder + "/config.json"));
  engine::Engine engine(*ctx, *tiny.model, *tiny.runner, &tokenizer, {});
  engine::SamplingParams params;
  params.max_new_tokens = 60;
  const Request free_request = request({65, 66}, params);
  const Completion free = engine.generate({&free_request, 1}).front();
  ASSERT_GT(free.text.size(), 8U);
  params.stop_texts = {"never there", free.text.substr(4, 3)};
  const std::size_t cut = free.text.find(params.stop_texts[1]);
  const Request stop_request = request({65, 66}, params);
  const Completion stopped = engine.generate({&stop_request, 1}).front();
  EXPECT_EQ(stopped.finish_reason, FinishReason::kStop);
  EXPECT_EQ(stopped.text, free.text.substr(0, cut));
  EXPECT_LT(stopped.ids.size(), free.ids.size());
  EXPECT_TRUE(std::equal(stopped.ids.begin(), stopped.ids.end(), free.ids.begin()));
}

TEST(Generation, EightDecodeStepsRunOnTheGuardedDevice) {
  const auto guarded = make_guarded_context(1);
  const TinyModel tiny = make_tiny_model(*guarded, tiny_config_json("qwen2"));
  const auto plain = make_cpu_context(1);
  const TinyModel same = make_tiny_model(*plain, tiny_config_json("qwen2"));
  engine::SamplingParams params;
  params.settings = {.temperature = 0.9F, .top_k = 20, .repetition_penalty = 1.1F};
  params.min_new_tokens = 8;
  params.max_new_tokens = 8;
  params.stop_token_ids = {5};
  std::vector<Request> requests = {request({1, 2, 3, 4, 5, 6, 7}, params), request({9}, params)};
  requests.push_back(requests[0]);
  requests[2].sample = 1;
  const auto on_guarded = engine::Engine(*guarded, *tiny.model, *tiny.runner, nullptr, {}).generate(requests);
  const auto on_plain = engine::Engine(*plain, *same.model, *same.runner, nullptr, {}).generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(on_guarded[i].ids, on_plain[i].ids);
}

}  // namespace
}  // namespace r1::test
