// Twenty optimizer steps against the reference trainer (../shared/fixtures/training, made by fixtures/make/make_train.py).
#include <gmock/gmock.h>

#include <cmath>

#include "base/json.h"
#include "checkpoint/hf_import.h"
#include "io/element_convert.h"
#include "io/safetensors.h"
#include "models/registry.h"
#include "nn/unit_runner.h"
#include "tests/support/paths.h"
#include "train/lr_schedule.h"
#include "train/micro_batch.h"
#include "train/optimizer.h"
#include "train/sft.h"

namespace r1::train {
namespace {

std::vector<std::int64_t> integers(const io::Safetensors& file, const std::string& name) {
  const io::StoredTensor& stored = file.at(name);
  std::vector<std::int64_t> values(static_cast<std::size_t>(stored.num_elements()));
  io::convert_to_i64(stored.dtype, stored.bytes, values, name);
  return values;
}

std::vector<float> floats(const io::Safetensors& file, const std::string& name) {
  const io::StoredTensor& stored = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(stored.num_elements()));
  io::convert_to_f32(stored.dtype, stored.bytes, values);
  return values;
}

// The fixture's [steps * accum, micro_bs, T] rows, right padded, as micro-batches without padding.
MicroBatch micro_batch_at(const io::Safetensors& file, std::int64_t index) {
  const std::vector<std::int64_t>& shape = file.at("input_ids").shape;
  const auto ids = integers(file, "input_ids"), mask = integers(file, "attention_mask"), labels = integers(file, "labels");
  MicroBatch batch;
  for (std::int64_t row = 0; row < shape[1]; ++row) {
    std::vector<std::int32_t> row_ids, row_labels;
    for (std::int64_t t = 0; t < shape[2]; ++t) {
      const auto at = static_cast<std::size_t>((index * shape[1] + row) * shape[2] + t);
      if (mask[at] == 0) continue;
      row_ids.push_back(static_cast<std::int32_t>(ids[at]));
      row_labels.push_back(static_cast<std::int32_t>(labels[at]));
    }
    const std::int64_t piece[] = {static_cast<std::int64_t>(row_ids.size())};
    batch.add_row(row_ids, row_labels, piece);
  }
  return batch;
}

class Trajectory : public ::testing::TestWithParam<const char*> {};

TEST_P(Trajectory, AgreesWithTheReferenceTrainer) {
  R1_REQUIRE_SHARED(shared);
  const std::string name = GetParam();
  const Json hyper = read_json_file(shared + "/fixtures/training/" + name + ".json")["hyper"];
  const io::Safetensors fixture = io::Safetensors::open_file(shared + "/fixtures/training/" + name + ".safetensors");
  const auto ctx = make_cpu_context(2);
  const auto model = models::make_model(models::load_model_config(shared + "/fixtures/checkpoints/" + name));
  const auto store = parallel::make_replicated_store(*ctx, model->parameters(), parallel::OptimizerState::kAdamW);
  nn::UnitRunner runner(model->parameters(), *store);
  checkpoint::load_weights(shared + "/fixtures/checkpoints/" + name, *model, *store);

  const std::int64_t steps = hyper["steps"], accumulation = hyper["accum"];
  LrScheduleOptions kwargs;
  if (hyper["schedule_kwargs"].contains("min_lr_rate")) kwargs.min_lr_rate = hyper["schedule_kwargs"]["min_lr_rate"].get<double>();
  if (hyper["schedule_kwargs"].contains("min_lr")) kwargs.min_lr = hyper["schedule_kwargs"]["min_lr"].get<double>();
  const LrSchedule schedule(hyper["schedule"].get<std::string>(), hyper["lr"], hyper["warmup_steps"], steps, kwargs);
  const AdamWOptions adamw{hyper["betas"][0], hyper["betas"][1], hyper["eps"], hyper["weight_decay"]};
  const auto losses = floats(fixture, "loss"), norms = floats(fixture, "grad_norm");
  const auto counts = integers(fixture, "n_items");

  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<MicroBatch> batches;
    std::int64_t labelled = 0;
    for (std::int64_t k = 0; k < accumulation; ++k) {
      batches.push_back(micro_batch_at(fixture, step * accumulation + k));
      labelled += batches.back().num_labelled_tokens();
    }
    const auto at = static_cast<std::size_t>(step);
    ASSERT_EQ(labelled, counts[at]);
    double loss = 0;
    store->begin_step();
    for (std::int64_t k = 0; k < accumulation; ++k) {
      store->begin_micro_batch(k);
      nn::Tape tape(*ctx);
      nn::Pass pass{*ctx, runner, &tape};
      const DeviceBatch batch = to_device(*ctx, batches[static_cast<std::size_t>(k)], model->config().vocab_size);
      const auto parts = model->cross_entropy(pass, model->decode(pass, batch.tokens), batch.labels, 1.0F / static_cast<float>(labelled));
      tape.backward();
      loss += ordered_sum(*ctx, parts.token_loss) / static_cast<double>(labelled);
    }
    const double norm = store->gradient_norm();
    // fixtures/README.md, "training": fp32 against fp64 moves the loss by 9e-7 and the norm by 2e-6; suggested 5e-5 and 1e-4.
    EXPECT_NEAR(loss, losses[at], 5e-5) << "step " << step;
    EXPECT_NEAR(norm / static_cast<double>(norms[at]), 1, 1e-4) << "step " << step;
    adamw_step(*ctx, *store, adamw, schedule.learning_rate(step), clip_factor(norm, hyper["clip"]), step);
  }

  model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor value = store->gather_value(parameter);
    double sum = 0, squares = 0;
    for (const float x : value.host_span<float>()) {
      sum += static_cast<double>(x);
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    const auto read = [&](const std::string& key) { return static_cast<double>(floats(fixture, key + parameter.name)[0]); };
    EXPECT_NEAR(std::sqrt(squares) / read("final.l2."), 1, 1e-4) << parameter.name;
    // A sum over n weights, each within 5e-4 of the fixture's and with errors of both signs.
    EXPECT_NEAR(sum, read("final.sum."), 5e-4 * std::sqrt(static_cast<double>(parameter.num_elements())) * 4) << parameter.name;
    const std::string last = "weight.step" + std::to_string(steps) + "." + parameter.name;
    if (fixture.find(last) == nullptr) return;
    const auto expected = floats(fixture, last);
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(value.host_span<float>()[i], expected[i], 5e-4) << parameter.name << " " << i;
  });
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Trajectory, ::testing::Values("qwen2", "llama3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace r1::train
