// A completion depends on its own row alone: not on the batch, the order, the chunks, the cache, preemption or the threads.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "ops/copy.h"
#include "tests/support/tiny_model.h"

namespace r1::test {
namespace {

using engine::Completion;
using engine::EngineOptions;
using engine::Request;

std::shared_ptr<const engine::SamplingParams> random_params(std::size_t row) {
  engine::SamplingParams params;
  params.settings.temperature = row % 5 == 0 ? 0.0F : 0.7F + 0.1F * static_cast<float>(row % 4);
  params.settings.top_k = row % 3 == 0 ? 11 : 0;
  params.settings.top_p = row % 4 == 1 ? 0.9F : 1.0F;
  params.settings.min_p = row % 7 == 2 ? 0.05F : 0.0F;
  params.settings.repetition_penalty = row % 6 == 3 ? 1.2F : 1.0F;
  params.max_new_tokens = 3 + static_cast<std::int64_t>(row * 7 % 29);
  params.min_new_tokens = row % 4 == 2 ? 5 : 0;
  params.stop_token_ids = {3, 17};
  return std::make_shared<engine::SamplingParams>(params);
}

/// Prompts of ragged lengths; some share a beginning, some have several samples.
std::vector<Request> ragged_requests(std::size_t count) {
  RandomStream random(5, "prompts");
  std::vector<std::int32_t> common;
  for (int i = 0; i < 41; ++i) common.push_back(static_cast<std::int32_t>(random.below(53)));
  std::vector<Request> requests;
  while (requests.size() < count) {
    const std::size_t row = requests.size();
    auto prompt = std::make_shared<std::vector<std::int32_t>>();
    if (row % 3 == 0) prompt->assign(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(row % 42));
    const std::uint64_t length = 1 + random.below(row % 8 == 0 ? 60 : 20);
    for (std::uint64_t i = 0; i < length; ++i) prompt->push_back(static_cast<std::int32_t>(random.below(53)));
    const auto params = random_params(row);
    for (std::uint32_t sample = 0; sample < (row % 5 == 1 ? 4U : 1U) && requests.size() < count; ++sample) {
      requests.push_back({row, sample, prompt, params, {}});
    }
  }
  return requests;
}

class EngineInvariance : public testing::Test {
 protected:
  std::vector<Completion> generate(std::span<const Request> requests, const EngineOptions& options, int num_threads = 1) {
    const auto ctx = make_cpu_context(num_threads);
    const TinyModel tiny = make_tiny_model(*ctx, tiny_config_json("qwen2"));
    engine::Engine engine(*ctx, *tiny.model, *tiny.runner, nullptr, options);
    std::vector<Completion> completions = engine.generate(requests);
    stats_ = engine.stats();
    return completions;
  }

  engine::EngineStats stats_;
};

void expect_equal(std::span<const Completion> actual, std::span<const Completion> expected, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i].ids, expected[i].ids) << what << ", request " << i;
    ASSERT_EQ(actual[i].log_probs, expected[i].log_probs) << what << ", request " << i;  // floats: bit for bit
    ASSERT_EQ(actual[i].finish_reason, expected[i].finish_reason) << what << ", request " << i;
  }
}

std::int64_t bytes_of_blocks(std::int64_t num_blocks, int block_size) {
  const auto ctx = make_cpu_context(1);
  const TinyModel tiny = make_tiny_model(*ctx, tiny_config_json("qwen2"));
  return num_blocks * engine::kv_block_bytes(*tiny.model, block_size);
}

TEST_F(EngineInvariance, ACompletionIsTheSameAloneAndInAnyBatch) {
  const std::vector<Request> requests = ragged_requests(256);
  std::vector<Completion> alone;
  for (const Request& request : requests) alone.push_back(generate({&request, 1}, {.max_num_sequences = 1}).front());
  for (const int resident : {1, 8, 44, 256}) {
    expect_equal(generate(requests, {.max_num_sequences = resident}), alone, std::to_string(resident) + " resident sequences");
  }
  EXPECT_LT(stats_.steps, 64);  // 256 at a time: they did share the passes
}

TEST_F(EngineInvariance, ChunksThreadsBlocksAndThePrefixCacheChangeNoBit) {
  const std::vector<Request> requests = ragged_requests(64);
  const std::vector<Completion> expected = generate(requests, {});
  for (const std::int64_t chunk : {1, 2, 3, 7, 16, 64, 511, 512}) {
    expect_equal(generate(requests, {.max_batch_tokens = chunk}), expected, "at most " + std::to_string(chunk) + " tokens a pass");
  }
  for (const int block_size : {16, 64}) {
    expect_equal(generate(requests, {.block_size = block_size}), expected, "blocks of " + std::to_string(block_size));
  }
  expect_equal(generate(requests, {.prefix_cache = false}), expected, "no prefix cache");
  for (const std::int64_t chunk : {7, 64, 512}) {
    expect_equal(generate(requests, {.max_batch_tokens = chunk, .attend_in_batch = true}), expected,
                 "prompts attend within the batch, at most " + std::to_string(chunk) + " tokens");
  }
  expect_equal(generate(requests, {}, 2), expected, "two threads");
}

TEST_F(EngineInvariance, TheOrderOfArrivalChangesNoBit) {
  std::vector<Request> requests = ragged_requests(96);
  const std::vector<Completion> expected = generate(requests, {.max_num_sequences = 16});
  std::vector<std::size_t> order(requests.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  RandomStream random(9, "order");
  for (int round = 0; round < 3; ++round) {
    shuffle(std::span(order), random);
    std::vector<Request> shuffled;
    for (const std::size_t i : order) shuffled.push_back(requests[i]);
    const std::vector<Completion> completions = generate(shuffled, {.max_num_sequences = 16});
    std::vector<Completion> restored(completions.size());
    for (std::size_t i = 0; i < order.size(); ++i) restored[order[i]] = completions[i];
    expect_equal(restored, expected, "shuffled arrival");
  }
}

TEST_F(EngineInvariance, PreemptionChangesNoBit) {
  const std::vector<Request> requests = ragged_requests(64);
  const std::vector<Completion> expected = generate(requests, {});
  EXPECT_EQ(stats_.preemptions, 0);
  // The smallest pool that the engine accepts: one sequence of the whole length.
  const EngineOptions small{.kv_cache_bytes = bytes_of_blocks(8, 16), .block_size = 16};
  expect_equal(generate(requests, small), expected, "a full pool");
  EXPECT_GT(stats_.preemptions, 10);
  EngineOptions without_prefixes = small;
  without_prefixes.prefix_cache = false;
  expect_equal(generate(requests, without_prefixes), expected, "a full pool without prefix cache");
}

TEST_F(EngineInvariance, LogProbsEqualTheTrainingForwardPassBitForBit) {
  const auto ctx = make_cpu_context(2);
  const TinyModel tiny = make_tiny_model(*ctx, tiny_config_json("qwen3"));
  engine::Engine engine(*ctx, *tiny.model, *tiny.runner, nullptr, {.max_batch_tokens = 40});
  std::vector<Request> requests = ragged_requests(40);
  engine::SamplingParams params;
  params.settings.temperature = 0.8F;
  params.max_new_tokens = 50;
  for (Request& request : requests) request.params = std::make_shared<engine::SamplingParams>(params);
  const std::vector<Completion> completions = engine.generate(requests);

  std::vector<std::int32_t> ids, positions, next_ids;
  std::vector<std::int64_t> lengths;
  std::vector<float> expected;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    std::vector<std::int32_t> tokens = *requests[i].prompt_ids;
    tokens.insert(tokens.end(), completions[i].ids.begin(), completions[i].ids.end());
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      if (t + 1 >= requests[i].prompt_ids->size()) {
        places.push_back(ids.size());
        expected.push_back(completions[i].log_probs[t + 1 - requests[i].prompt_ids->size()]);
      }
      ids.push_back(tokens[t]);
      positions.push_back(static_cast<std::int32_t>(t));
      next_ids.push_back(tokens[t + 1]);
    }
    lengths.push_back(static_cast<std::int64_t>(tokens.size()) - 1);
  }
  nn::Pass pass{*ctx, *tiny.runner, nullptr};
  const models::TokenBatch batch = models::make_token_batch(*ctx, ids, positions, lengths, 53);
  const Tensor labels =
      ops::to_device(*ctx, Tensor::host_from<std::int32_t>(next_ids, {static_cast<std::int64_t>(next_ids.size())}, DType::kI32));
  const Tensor log_probs = ops::to_host(*ctx, tiny.model->log_probs(pass, tiny.model->decode(pass, batch), labels, 0.8F).log_probs.value);
  for (std::size_t i = 0; i < places.size(); ++i) ASSERT_EQ(log_probs.host_span<float>()[places[i]], expected[i]) << i;
}

TEST_F(EngineInvariance, SamplesOfOnePromptShareItsPrefill) {
  auto prompt = std::make_shared<std::vector<std::int32_t>>(90, 7);
  std::vector<Request> requests;
  for (std::uint32_t sample = 0; sample < 8; ++sample) requests.push_back({0, sample, prompt, random_params(1), {}});
  for (const bool prefix_cache : {true, false}) {
    generate(requests, {.prefix_cache = prefix_cache});
    EXPECT_EQ(stats_.prefill_tokens, 90);
  }
}

TEST_F(EngineInvariance, OtherWeightsMeetNoOldPrefix) {
  const auto ctx = make_cpu_context(1);
  const TinyModel tiny = make_tiny_model(*ctx, tiny_config_json("qwen2"));
  engine::Engine engine(*ctx, *tiny.model, *tiny.runner, nullptr, {});
  const std::vector<Request> requests = ragged_requests(12);
  engine.generate(requests);
  checkpoint::init_weights(*tiny.model, *tiny.store, {checkpoint::InitScheme::kScaled, 0.3, 2});
  engine.weights_changed();
  engine::Engine fresh(*ctx, *tiny.model, *tiny.runner, nullptr, {});
  expect_equal(engine.generate(requests), fresh.generate(requests), "after weights_changed()");
}

}  // namespace
}  // namespace r1::test
