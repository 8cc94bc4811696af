// Whole SFT steps, optimizer included, on memory that faults outside of ops: what would fail on a GPU fails here.
#include <gmock/gmock.h>

#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"
#include "train/optimizer.h"
#include "train/sft.h"

namespace r1::train {
namespace {

/// Rows of 3 to 9 tokens; every second token is learnt.
class SmallRows : public TrainingRows {
 public:
  std::int64_t num_rows() const override { return 10; }
  void append_to(MicroBatch& batch, std::int64_t index) const override {
    std::vector<std::int32_t> ids, labels;
    for (std::int64_t t = 0; t < 3 + index % 7; ++t) {
      ids.push_back(static_cast<std::int32_t>((index * 13 + t * 5) % 53));
      labels.push_back(t % 2 == 0 ? ids.back() : ops::kIgnoreIndex);
    }
    const std::int64_t pieces[] = {2, static_cast<std::int64_t>(ids.size()) - 2};
    batch.add_row(ids, labels, pieces);
  }
};

std::vector<float> weights_after_two_steps(const ExecContext& ctx, double* eval_loss) {
  test::TinyModel tiny = test::make_tiny_model(ctx, test::tiny_config_json("qwen2", R"(, "tie_word_embeddings": true)"));
  SftOptions options;
  options.per_device_train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  SftObjective objective(ctx, *tiny.model, options, std::make_shared<SmallRows>(), std::make_shared<SmallRows>());
  for (std::int64_t step = 0; step < 2; ++step) {
    tiny.store->begin_step();
    const std::int64_t count = objective.prepare(step);
    EXPECT_EQ(count, 2);
    for (std::int64_t k = 0; k < count; ++k) {
      tiny.store->begin_micro_batch(k);
      nn::Tape tape(ctx);
      nn::Pass pass{ctx, *tiny.runner, &tape};
      objective.forward(pass, k);
      tape.backward();
    }
    report::MetricRow metrics;
    EXPECT_GT(objective.finish_step(metrics), 0);
    adamw_step(ctx, *tiny.store, {0.9, 0.999, 1e-8, 0.1}, 1e-2, clip_factor(tiny.store->gradient_norm(), 1.0), step);
  }
  nn::Pass pass{ctx, *tiny.runner, nullptr};
  *eval_loss = *objective.evaluate(pass)->metrics.number("eval_loss");
  std::vector<float> weights;
  tiny.model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = tiny.store->gather_value(parameter);
    const auto values = value.host_span<float>();
    weights.insert(weights.end(), values.begin(), values.end());
  });
  return weights;
}

TEST(SftStep, RunsOnTheGuardedDeviceWithTheSameBits) {
  double guarded_loss = 0, plain_loss = 0;
  const auto guarded = test::make_guarded_context(2);
  const auto plain = make_cpu_context(2);
  EXPECT_EQ(weights_after_two_steps(*guarded, &guarded_loss), weights_after_two_steps(*plain, &plain_loss));
  EXPECT_EQ(guarded_loss, plain_loss);
}

TEST(SftObjective, TrainsEveryRowOnceInAnEpoch) {
  const auto ctx = make_cpu_context(1);
  test::TinyModel tiny = test::make_tiny_model(*ctx, test::tiny_config_json("qwen2"));
  SftOptions options;
  options.per_device_train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  SftObjective objective(*ctx, *tiny.model, options, std::make_shared<SmallRows>(), nullptr);
  EXPECT_EQ(objective.steps_per_epoch(), 3);  // 10 rows, 4 a step: the last step has 2
  std::int64_t rows = 0, tokens = 0;
  for (std::int64_t step = 0; step < 3; ++step) {
    objective.prepare(step);
    rows += objective.step_work().num_rows;
    tokens += objective.step_work().num_tokens;
  }
  EXPECT_EQ(rows, 10);
  EXPECT_EQ(tokens, 3 + 4 + 5 + 6 + 7 + 8 + 9 + 3 + 4 + 5);
  EXPECT_DOUBLE_EQ(objective.epoch(3), 1.0);
}

TEST(MicroBatch, ShiftsLabelsInsideEachPieceAlone) {
  MicroBatch batch;
  const std::int32_t ids[] = {5, 6, 7, 8, 9};
  const std::int64_t pieces[] = {2, 3};
  batch.add_row(ids, ids, pieces);
  EXPECT_THAT(batch.labels, ::testing::ElementsAre(6, -100, 8, 9, -100));
  EXPECT_THAT(batch.position_ids, ::testing::ElementsAre(0, 1, 0, 1, 2));
  EXPECT_EQ(batch.num_labelled_tokens(), 3);
}

}  // namespace
}  // namespace r1::train
