// Generation with weights in f32, bf16, int8 and e4m3 storage.
#include <gmock/gmock.h>

#include <cmath>

#include "base/json.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/inference_model.h"
#include "engine/engine.h"
#include "ops/copy.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace r1::test {
namespace {

using parallel::WeightStorage;

std::vector<engine::Completion> generate(const std::string& folder, WeightStorage storage,
                                         const std::vector<std::vector<std::int32_t>>& prompts, const engine::SamplingParams& params) {
  const auto ctx = make_cpu_context(2);
  const auto loaded = checkpoint::load_inference_model(*ctx, folder, storage);
  engine::Engine engine(*ctx, *loaded->model, *loaded->runner, &loaded->tokenizer, {});
  std::vector<engine::Request> requests;
  for (const auto& prompt : prompts) {
    requests.push_back(
        {requests.size(), 0, std::make_shared<std::vector<std::int32_t>>(prompt), std::make_shared<engine::SamplingParams>(params), {}});
  }
  return engine.generate(requests);
}

TEST(WeightStorage, Stories260KTellsItsGoldenStoryGreedily) {
  R1_REQUIRE_SHARED(shared);
  const std::string folder = shared + "/data/models/stories260K";
  const Json golden = read_json_file(folder + "/golden.json");
  const auto expected = golden["greedy_from_bos_256_new"].get<std::vector<std::int32_t>>();
  engine::SamplingParams params;
  params.settings.temperature = 0;
  params.max_new_tokens = static_cast<std::int64_t>(expected.size()) - 1;
  const engine::Completion completion = generate(folder, WeightStorage::kF32, {{expected[0]}}, params).front();
  EXPECT_EQ(completion.ids, std::vector<std::int32_t>(expected.begin() + 1, expected.end()));
  EXPECT_EQ(completion.text, golden["greedy_text"].get<std::string>());
}

TEST(WeightStorage, Bf16StorageGivesTheBitsOfItsWidenedWeights) {
  R1_REQUIRE_SHARED(shared);
  const std::string folder = shared + "/fixtures/checkpoints/qwen2_bf16";
  engine::SamplingParams params;
  params.settings = {.temperature = 0.9F, .top_p = 0.95F};
  params.max_new_tokens = 30;
  const std::vector<std::vector<std::int32_t>> prompts = {{1, 2, 3}, {50, 60, 70, 80}, {9}};
  const auto stored = generate(folder, WeightStorage::kStored, prompts, params);
  const auto widened = generate(folder, WeightStorage::kF32, prompts, params);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(stored[i].ids, widened[i].ids);
    EXPECT_EQ(stored[i].log_probs, widened[i].log_probs);
  }
}

TEST(WeightStorage, WhatIsStoredAsBf16IsAboutHalfAsLargeAndInt8SmallerStill) {
  R1_REQUIRE_SHARED(shared);
  const auto ctx = make_cpu_context(1);
  const auto bytes = [&](WeightStorage storage) {
    return static_cast<double>(
        checkpoint::load_inference_model(*ctx, shared + "/fixtures/checkpoints/llama3", storage)->store->num_bytes());
  };
  const double f32 = bytes(WeightStorage::kF32);
  EXPECT_NEAR(bytes(WeightStorage::kBF16) / f32, 0.5, 0.01);
  EXPECT_LT(bytes(WeightStorage::kInt8) / f32, 0.45);
  EXPECT_EQ(bytes(WeightStorage::kStored), f32);  // the fixture is stored as f32
}

/// Holds each stored weight, value_of(stored, its index) times the scale of its row, to within(weight, scale) of the exact one.
/// Returns the distance of the first log-prob that a model with such weights gives.
double distance_in_8_bits(WeightStorage storage, DType dtype, double (*value_of)(const Tensor& stored, std::size_t i),
                          double (*within)(double weight, double scale)) {
  const auto ctx = make_cpu_context(1);
  const TinyModel exact = make_tiny_model(*ctx, tiny_config_json("qwen2"));
  const auto model = models::make_model(models::parse_model_config(tiny_config_json("qwen2"), "tiny config"));
  parallel::InferenceStore store(*ctx, model->parameters(), storage, DType::kF32);
  int num_stored = 0;
  exact.model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = exact.store->gather_value(parameter);
    nn::Parameter& stored = *model->parameters().find(parameter.name);
    store.set_value(stored, value);
    if (stored.value.dtype() != dtype) return;
    ++num_stored;
    const Tensor narrow = ops::to_host(*ctx, stored.value), scales = ops::to_host(*ctx, stored.scales);
    for (std::int64_t r = 0; r < value.dim(0); ++r) {
      const double scale = scales.host_span<float>()[static_cast<std::size_t>(r)];
      for (std::int64_t c = 0; c < value.dim(1); ++c) {
        const auto i = static_cast<std::size_t>(r * value.dim(1) + c);
        const double weight = value.host_span<float>()[i];
        EXPECT_LE(std::fabs(value_of(narrow, i) * scale - weight), within(weight, scale));
      }
    }
  });
  EXPECT_EQ(num_stored, 3 * 7);  // q, k, v, o, gate, up, down of three layers

  nn::UnitRunner runner(model->parameters(), store);
  engine::SamplingParams params;
  params.settings.temperature = 0;
  params.max_new_tokens = 1;
  const engine::Request request{
      0, 0, std::make_shared<std::vector<std::int32_t>>(20, 7), std::make_shared<engine::SamplingParams>(params), {}};
  const auto of_narrow = engine::Engine(*ctx, *model, runner, nullptr, {}).generate({&request, 1}).front();
  const auto of_exact = engine::Engine(*ctx, *exact.model, *exact.runner, nullptr, {}).generate({&request, 1}).front();
  return std::fabs(of_narrow.log_probs[0] - of_exact.log_probs[0]);
}

TEST(WeightStorage, Int8WeightsAreTheNearestStepsOfTheirRowAndTheirProductFollows) {
  const double distance = distance_in_8_bits(
      WeightStorage::kInt8, DType::kI8, [](const Tensor& stored, std::size_t i) -> double { return stored.host_span<std::int8_t>()[i]; },
      [](double, double scale) { return 0.501 * scale; });  // half a step, and a rounding
  // 1/254 of the largest weight of a row, averaged over 24 to 40 inputs and three layers.
  EXPECT_LE(distance, 0.15);
}

TEST(WeightStorage, Fp8WeightsAreTheNearestE4m3OfTheirRowAndTheirProductFollows) {
  const double distance = distance_in_8_bits(
      WeightStorage::kFp8, DType::kF8E4M3,
      [](const Tensor& stored, std::size_t i) -> double { return f8e4m3_to_f32(stored.host_span<std::uint8_t>()[i]); },
      // Half of the last of three bits, or half of the smallest step of 2^-9.
      [](double weight, double scale) { return std::max(0.0626 * std::fabs(weight), 0.001 * scale); });
  // A sixteenth of each weight and activation at most, averaged over 24 to 40 inputs and three layers.
  EXPECT_LE(distance, 0.5);
}

TEST(WeightStorage, WeightsThatAreNotNumbersAreRefusedIn8Bits) {
  const auto ctx = make_cpu_context(1);
  for (const WeightStorage storage : {WeightStorage::kInt8, WeightStorage::kFp8}) {
    const auto model = models::make_model(models::parse_model_config(tiny_config_json("qwen2"), "tiny config"));
    parallel::InferenceStore store(*ctx, model->parameters(), storage, DType::kF32);
    const nn::Parameter& parameter = *model->parameters().find("model.layers.1.mlp.up_proj.weight");
    Tensor value = Tensor::host(parameter.shape, DType::kF32);
    std::ranges::fill(value.host_span<float>(), 0.5F);
    value.host_span<float>()[3] = NAN;
    try {
      store.set_value(parameter, value);
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_THAT(error.what(), testing::HasSubstr("model.layers.1.mlp.up_proj.weight: row 0 holds nan"));
    }
  }
}

TEST(GenerationDefaults, EveryEndTokenOfTheFilesEndsACompletion) {
  R1_REQUIRE_SHARED(shared);
  const std::string folder = shared + "/fixtures/checkpoints/qwen2";
  const text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  const Json file = read_json_file(folder + "/generation_config.json");
  const checkpoint::GenerationDefaults defaults = checkpoint::load_generation_defaults(folder, tokenizer);
  std::vector<std::int32_t> expected;
  for (const Json& id : file["eos_token_id"].is_array() ? file["eos_token_id"] : Json::array({file["eos_token_id"]}))
    expected.push_back(id);
  std::ranges::sort(expected);
  EXPECT_EQ(defaults.eos_token_ids, expected);
  EXPECT_EQ(defaults.repetition_penalty.has_value(), file.contains("repetition_penalty"));
}

}  // namespace
}  // namespace r1::test
