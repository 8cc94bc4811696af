// A training step and decode steps of a tiny Qwen2 on the emulated kernels against the CPU backend. The matrix products (cuBLASLt on a
// GPU) and the attention of training (cuDNN) are the CPU backend's in both: they cannot be emulated.
#include <gmock/gmock.h>

#include "engine/engine.h"
#include "tests/ops/simt/compare.h"
#include "tests/support/tiny_model.h"
#include "train/optimizer.h"
#include "train/sft.h"

namespace r1::test {
namespace {

/// Odd sizes, which take the paths of single elements, and sizes for 16-byte accesses.
const std::string kConfigs[] = {
    tiny_config_json("qwen2", R"(, "tie_word_embeddings": true)"),
    R"({"model_type": "qwen2", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "rms_norm_eps": 1e-6})",
};

class SmallRows : public train::TrainingRows {
 public:
  std::int64_t num_rows() const override { return 4; }
  void append_to(train::MicroBatch& batch, std::int64_t index) const override {
    std::vector<std::int32_t> ids, labels;
    for (std::int64_t t = 0; t < 5 + index * 3; ++t) {
      ids.push_back(static_cast<std::int32_t>((index * 13 + t * 5) % 53));
      labels.push_back(t % 3 != 0 ? ids.back() : ops::kIgnoreIndex);
    }
    const std::int64_t pieces[] = {static_cast<std::int64_t>(ids.size())};
    batch.add_row(ids, labels, pieces);
  }
};

struct StepResult {
  double loss = 0, gradient_norm = 0;
  std::vector<float> weights;
};

StepResult training_step(const ExecContext& ctx, const std::string& config) {
  TinyModel tiny = make_tiny_model(ctx, config);
  train::SftOptions options;
  options.per_device_train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  train::SftObjective objective(ctx, *tiny.model, options, std::make_shared<SmallRows>(), nullptr);
  tiny.store->begin_step();
  const std::int64_t num_micro_batches = objective.prepare(0);
  for (std::int64_t k = 0; k < num_micro_batches; ++k) {
    tiny.store->begin_micro_batch(k);
    nn::Tape tape(ctx);
    nn::Pass pass{ctx, *tiny.runner, &tape};
    objective.forward(pass, k);
    tape.backward();
  }
  report::MetricRow metrics;
  StepResult result;
  result.loss = objective.finish_step(metrics);
  result.gradient_norm = tiny.store->gradient_norm();
  // A large epsilon: with a small one the first step has the sign of each gradient, and those near 0 may have either.
  train::adamw_step(ctx, *tiny.store, {0.9, 0.999, 1e-3, 0.1}, 1e-2, train::clip_factor(result.gradient_norm, 1.0), 0);
  tiny.model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = tiny.store->gather_value(parameter);
    for (const float weight : value.host_span<float>()) result.weights.push_back(weight);
  });
  return result;
}

TEST(SimtModel, TrainsAStepAsTheCpuBackendDoes) {
  const auto cpu = make_cpu_context(1);
  for (const std::string& config : kConfigs) {
    const StepResult expected = training_step(*cpu, config);
    const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
      const StepResult result = training_step(ctx, config);
      return {{static_cast<float>(result.loss), static_cast<float>(result.gradient_norm)}, result.weights};
    });
    EXPECT_NEAR(found[0][0], expected.loss, 1e-6 * expected.loss);
    EXPECT_NEAR(found[0][1], expected.gradient_norm, 1e-5 * expected.gradient_norm);
    EXPECT_LE(largest_error(found[1], expected.weights), 1e-5);
  }
  EXPECT_THAT(simt::launch_stats().kernels,
              testing::IsSupersetOf({"embedding", "embedding_backward", "rms_norm", "add_rms_norm", "rms_norm_backward", "rope", "swiglu",
                                     "swiglu_backward", "log_softmax_stats", "log_softmax_results", "logits_gradient", "sum_squares_blocks",
                                     "sum_blocks", "adamw", "fill"}));
}

/// A greedy row and rows with every filter; each prompt is prefilled, then eight decode steps follow.
std::vector<engine::Completion> generate(const ExecContext& ctx, const std::string& config) {
  const TinyModel tiny = make_tiny_model(ctx, config);
  engine::Engine engine(ctx, *tiny.model, *tiny.runner, nullptr, {.max_model_len = 64, .max_num_sequences = 4, .block_size = 16});
  const ops::SamplingSettings settings[] = {
      {.temperature = 0}, {.temperature = 0.8F, .top_p = 0.9F, .repetition_penalty = 1.2F}, {.top_k = 7, .min_p = 0.02F}};
  std::vector<engine::Request> requests;
  for (std::size_t r = 0; r < 3; ++r) {
    engine::SamplingParams params;
    params.settings = settings[r];
    params.max_new_tokens = 9;
    std::vector<std::int32_t> prompt;
    for (std::size_t t = 0; t < 5 + 13 * r; ++t) prompt.push_back(static_cast<std::int32_t>((r * 7 + t * 11) % 53));
    requests.push_back({r, 0, std::make_shared<std::vector<std::int32_t>>(prompt), std::make_shared<engine::SamplingParams>(params), {}});
  }
  return engine.generate(requests);
}

TEST(SimtModel, DecodesEightStepsAsTheCpuBackendDoes) {
  const auto cpu = make_cpu_context(1);
  for (const std::string& config : kConfigs) {
    const std::vector<engine::Completion> expected = generate(*cpu, config);
    const Results found = on_all_schedules([&](const ExecContext& ctx) {
      Results results;
      for (const engine::Completion& completion : generate(ctx, config)) {
        results.emplace_back(completion.ids.begin(), completion.ids.end());
        results.push_back(completion.log_probs);
      }
      return results;
    });
    for (std::size_t r = 0; r < expected.size(); ++r) {
      EXPECT_EQ(found[2 * r], std::vector<float>(expected[r].ids.begin(), expected[r].ids.end())) << "row " << r;
      EXPECT_EQ(found[2 * r].size(), 9U);
      EXPECT_LE(largest_error(found[2 * r + 1], expected[r].log_probs), 2e-5) << "row " << r;
    }
  }
  EXPECT_THAT(simt::launch_stats().kernels, testing::IsSupersetOf({"embedding", "rms_norm", "add_rms_norm", "rope", "swiglu",
                                                                   "write_kv_cache", "paged_attention", "sample"}));
}

}  // namespace
}  // namespace r1::test
