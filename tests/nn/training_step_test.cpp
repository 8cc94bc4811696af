// One training step of a tiny model: on the guarded device, with recompute, and what the tape keeps.
#include <gmock/gmock.h>

#include "models/registry.h"
#include "ops/copy.h"
#include "tests/support/guarded_device.h"
#include "tests/support/tiny_model.h"

namespace r1 {
namespace {

struct Batch {
  std::vector<std::int32_t> ids, positions, labels;
  std::vector<std::int64_t> lengths;
};

Batch make_batch() {
  Batch batch;
  for (const std::int64_t length : {7, 1, 12}) {
    for (std::int64_t t = 0; t < length; ++t) {
      batch.ids.push_back(static_cast<std::int32_t>((batch.ids.size() * 11 + 3) % 53));
      batch.positions.push_back(static_cast<std::int32_t>(t));
      batch.labels.push_back(t + 1 < length ? static_cast<std::int32_t>((batch.ids.size() * 7) % 53) : ops::kIgnoreIndex);
    }
    batch.lengths.push_back(length);
  }
  return batch;
}

using Recompute = nn::RecomputeGranularity;

/// All gradients of one step, in order of declaration.
std::vector<float> gradients(const ExecContext& ctx, const std::string& config, Recompute recompute, std::int64_t* saved_bytes = nullptr) {
  test::TinyModel tiny = test::make_tiny_model(ctx, config);
  tiny.runner->set_recompute(recompute);
  const Batch batch = make_batch();
  const auto tokens = models::make_token_batch(ctx, batch.ids, batch.positions, batch.lengths, 53);
  const Tensor labels =
      ops::to_device(ctx, Tensor::host_from<std::int32_t>(batch.labels, {static_cast<std::int64_t>(batch.labels.size())}, DType::kI32));
  tiny.store->begin_step();
  tiny.store->begin_micro_batch(0);
  nn::Tape tape(ctx);
  nn::Pass pass{ctx, *tiny.runner, &tape};
  tiny.model->cross_entropy(pass, tiny.model->decode(pass, tokens), labels, 0.1F);
  if (saved_bytes != nullptr) *saved_bytes = tape.saved_bytes();
  tape.backward();
  std::vector<float> all;
  tiny.store->for_each_shard([&](parallel::Shard& shard) {
    const Tensor on_host = ops::to_host(ctx, shard.gradient);
    const auto values = on_host.host_span<float>();
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

TEST(TrainingStep, RunsOnTheGuardedDeviceWithTheSameBits) {
  const auto plain = make_cpu_context(2);
  const auto guarded = test::make_guarded_context(2);
  for (const char* more : {"", R"(, "tie_word_embeddings": true)"}) {
    const std::string config = test::tiny_config_json("qwen2", more);
    EXPECT_EQ(gradients(*guarded, config, Recompute::kNone), gradients(*plain, config, Recompute::kNone));
    EXPECT_EQ(gradients(*guarded, config, Recompute::kSelective), gradients(*plain, config, Recompute::kNone));
    EXPECT_EQ(gradients(*guarded, config, Recompute::kFull), gradients(*plain, config, Recompute::kNone));
  }
}

TEST(TrainingStep, RecomputeChangesNoBitAndSavesMemory) {
  const auto ctx = make_cpu_context(1);
  for (const std::string& config : {test::tiny_config_json("llama", R"(, "attention_bias": true)"), test::tiny_config_json("qwen3")}) {
    std::int64_t kept = 0, selective = 0, full = 0;
    const std::vector<float> expected = gradients(*ctx, config, Recompute::kNone, &kept);
    EXPECT_EQ(gradients(*ctx, config, Recompute::kSelective, &selective), expected);
    EXPECT_EQ(gradients(*ctx, config, Recompute::kFull, &full), expected);
    EXPECT_LT(selective, kept);
    EXPECT_LT(full, kept / 2);
    EXPECT_LT(full, selective);
  }
}

TEST(TrainingStep, KeepsExactlyTheTensorsThatTheBackwardPassReads) {
  const auto ctx = make_cpu_context(1);
  std::int64_t saved = 0;
  gradients(*ctx, test::tiny_config_json("qwen2"), Recompute::kNone, &saved);
  const std::int64_t tokens = 20, hidden = 24, qkv = 8 * 6, query = 4 * 6, intermediate = 40, layers = 3, heads = 4, vocab = 53;
  // A layer: the normed input and the sum with rstd (twice), qkv, attention's output and lse, gate_up and the activation.
  const std::int64_t layer = tokens * (4 * hidden + 2 + qkv + query + heads + 3 * intermediate);
  // The head: the last sum and rstd, the gradients of hidden state and weight.
  const std::int64_t head = tokens * (2 * hidden + 1) + vocab * hidden;
  EXPECT_EQ(saved, 4 * (layers * layer + head));
  // Selective recompute makes the normed inputs and the activation again.
  gradients(*ctx, test::tiny_config_json("qwen2"), Recompute::kSelective, &saved);
  EXPECT_EQ(saved, 4 * (layers * (layer - tokens * (2 * hidden + intermediate)) + head));
}

TEST(TrainingStep, HoldsNoMoreThanItSaysThatItKeeps) {
  const auto ctx = make_cpu_context(1);
  test::TinyModel tiny = test::make_tiny_model(*ctx, test::tiny_config_json("qwen2"));
  const Batch batch = make_batch();
  const auto tokens = models::make_token_batch(*ctx, batch.ids, batch.positions, batch.lengths, 53);
  tiny.store->begin_step();
  tiny.store->begin_micro_batch(0);
  const auto held_blocks = [&](Recompute recompute) {
    tiny.runner->set_recompute(recompute);
    const std::int64_t before = ctx->allocator().stats().bytes_in_use;
    nn::Tape tape(*ctx);
    nn::Pass pass{*ctx, *tiny.runner, &tape};
    tiny.model->decode(pass, tokens);
    return (ctx->allocator().stats().bytes_in_use - before) / 4096;
  };
  held_blocks(Recompute::kNone);  // makes the rotary table
  // The allocator's smallest block is 4 KiB: one for each of a layer's tensors, and two for gate_up.
  EXPECT_EQ(held_blocks(Recompute::kNone), 3 * 12);
  EXPECT_EQ(held_blocks(Recompute::kSelective), 3 * 9);
}

TEST(TrainingStep, AccumulatedMicroBatchesFoldInOrder) {
  const auto ctx = make_cpu_context(1);
  test::TinyModel tiny = test::make_tiny_model(*ctx, test::tiny_config_json("qwen2"));
  const Batch batch = make_batch();
  const auto tokens = models::make_token_batch(*ctx, batch.ids, batch.positions, batch.lengths, 53);
  const Tensor labels =
      ops::to_device(*ctx, Tensor::host_from<std::int32_t>(batch.labels, {static_cast<std::int64_t>(batch.labels.size())}, DType::kI32));
  std::vector<std::vector<float>> parts;
  std::vector<float> folded;
  const auto collect = [&] {
    std::vector<float> all;
    tiny.store->for_each_shard([&](parallel::Shard& shard) {
      const Tensor on_host = ops::to_host(*ctx, shard.gradient);
      const auto values = on_host.host_span<float>();
      all.insert(all.end(), values.begin(), values.end());
    });
    return all;
  };
  const auto run = [&](std::int64_t index, float scale) {
    tiny.store->begin_micro_batch(index);
    nn::Tape tape(*ctx);
    nn::Pass pass{*ctx, *tiny.runner, &tape};
    tiny.model->cross_entropy(pass, tiny.model->decode(pass, tokens), labels, scale);
    tape.backward();
  };
  const float scales[] = {0.1F, 0.07F, 0.3F};
  for (const float scale : scales) {
    tiny.store->begin_step();
    run(0, scale);
    parts.push_back(collect());
  }
  tiny.store->begin_step();
  for (int k = 0; k < 3; ++k) run(k, scales[k]);
  folded = collect();
  ASSERT_EQ(folded.size(), parts[0].size());
  for (std::size_t i = 0; i < folded.size(); ++i) ASSERT_EQ(folded[i], (parts[0][i] + parts[1][i]) + parts[2][i]) << i;
}

TEST(TrainingStep, AllocatesNothingOnceItIsWarm) {
  const auto ctx = make_cpu_context(2);
  test::TinyModel tiny = test::make_tiny_model(*ctx, test::tiny_config_json("qwen2"));
  const Batch batch = make_batch();
  const auto tokens = models::make_token_batch(*ctx, batch.ids, batch.positions, batch.lengths, 53);
  const Tensor labels =
      ops::to_device(*ctx, Tensor::host_from<std::int32_t>(batch.labels, {static_cast<std::int64_t>(batch.labels.size())}, DType::kI32));
  std::int64_t warm = 0;
  for (int step = 0; step < 5; ++step) {
    tiny.store->begin_step();
    for (int k = 0; k < 2; ++k) {
      tiny.store->begin_micro_batch(k);
      nn::Tape tape(*ctx);
      nn::Pass pass{*ctx, *tiny.runner, &tape};
      tiny.model->cross_entropy(pass, tiny.model->decode(pass, tokens), labels, 0.1F);
      tape.backward();
    }
    tiny.store->gradient_norm();
    if (step == 1) warm = ctx->allocator().stats().source_allocations;
  }
  EXPECT_EQ(ctx->allocator().stats().source_allocations, warm);
}

TEST(PackedParameter, IsOneMatrixOverNeighbours) {
  const auto ctx = make_cpu_context(1);
  nn::ParameterSet set;
  set.begin_unit("u");
  nn::Parameter& a = set.declare("a.weight", {2, 3}, {});
  nn::Parameter& b = set.declare("b.weight", {4, 3}, {});
  set.bind_values(0, ctx->empty({18}));
  EXPECT_EQ(nn::PackedParameter({&a, &b}).value().shape(), (Shape{6, 3}));
  EXPECT_THROW(nn::PackedParameter({&b, &a}), Error);
}

TEST(WeightDecay, SkipsBiasesAndNorms) {
  for (const char* name : {"model.layers.0.self_attn.q_proj.bias", "model.layers.0.input_layernorm.weight", "model.norm.weight",
                           "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.q_a_layernorm.weight"}) {
    EXPECT_FALSE(nn::has_weight_decay(name)) << name;
  }
  for (const char* name :
       {"model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.gate.weight", "model.layers.0.self_attn.o_proj.weight"}) {
    EXPECT_TRUE(nn::has_weight_decay(name)) << name;
  }
}

}  // namespace
}  // namespace r1
