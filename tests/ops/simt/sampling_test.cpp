#include "ops/sampling.h"

#include "ops/op_scope.h"
#include "tests/ops/sampling_cases.h"
#include "tests/ops/simt/compare.h"

#define R1_SIMT 1
#include "ops/cuda/movement.h"

namespace r1::test {
namespace {

using ops::SamplingSettings;

struct SamplingTensors {
  SamplingTensors(const ExecContext& ctx, const SamplingData& data, DType dtype)
      : logits(stored_tensor(ctx, {static_cast<std::int64_t>(data.uniforms.size()), data.V}, data.logits, dtype)),
        seen(device_tensor(ctx, {static_cast<std::int64_t>(data.seen.size())}, data.seen)),
        offsets(device_tensor(ctx, {static_cast<std::int64_t>(data.offsets.size())}, data.offsets)),
        uniforms(device_tensor(ctx, {static_cast<std::int64_t>(data.uniforms.size())}, data.uniforms)) {}
  Tensor logits, seen, offsets, uniforms;
};

Results run_sampling(const ExecContext& ctx, const ops::OpTable& table, const SamplingData& data, DType dtype) {
  const SamplingTensors in(ctx, data, dtype);
  Tensor ids = ctx.empty(in.uniforms.shape(), DType::kI32), log_probs = ctx.empty(in.uniforms.shape()),
         probabilities = ctx.empty(in.logits.shape());
  ops::OpScope scope(ctx, "sampling test");
  table.sample(ctx, in.logits, kRowSettings, in.seen, in.offsets, in.uniforms, ids, &log_probs);
  table.sampling_probabilities(ctx, in.logits, kRowSettings, in.seen, in.offsets, probabilities);
  return {floats_of(ctx, ids), floats_of(ctx, log_probs), floats_of(ctx, probabilities)};
}

#if defined(__SANITIZE_ADDRESS__)
// A switch between two emulated threads costs fifty times as much there: what the sanitizer may find shows in a small vocabulary.
const std::vector<std::int64_t> kVocabularies = {2, 37, 300};
#else
const std::vector<std::int64_t> kVocabularies = {2, 37, 1000, 3001};
#endif

TEST(SimtSampling, ChoosesAndDistributesAsTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const std::int64_t V : kVocabularies) {
      SCOPED_TRACE(fmt::format("{} ids, {}", V, dtype_name(dtype)));
      const auto num_rows = static_cast<std::int64_t>(kRowSettings.size());
      const SamplingData data(V, random_values(num_rows * V, static_cast<std::uint64_t>(V), 2.0), dtype, static_cast<std::uint64_t>(V));
      const Results expected = run_sampling(*reference, ops::reference_table(), data, DType::kF32);
      const Results found = on_all_schedules([&](const ExecContext& ctx) { return run_sampling(ctx, simt_table(), data, dtype); });
      EXPECT_EQ(found[0], expected[0]);
      EXPECT_LE(largest_error(found[1], expected[1]), kLogProbTolerance);
      EXPECT_LE(largest_error(found[2], expected[2]), kProbabilityTolerance);
      for (std::size_t i = 0; i < found[2].size(); ++i)
        ASSERT_EQ(found[2][i] > 0, expected[2][i] > 0) << "id " << i % static_cast<std::size_t>(V);
    }
  }
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(SimtSampling, SharesALargeVocabularyAmongItsThreads) {
  // Over 256 tiles of 32 ids a tile is more than one access of a warp: other threads than those that filtered an id add it up.
  for (const std::int64_t V : {9001, 9008}) {  // in single elements, and 16 bytes at a time
    const std::vector<SamplingSettings> settings = {{.top_p = 0.9F}, {.top_k = 500, .min_p = 0.02F}};
    const auto run = [&](const ExecContext& ctx, const ops::OpTable& table) -> Results {
      const Tensor logits = stored_tensor(ctx, {2, V}, random_values(2 * V, 5, 2.0), DType::kF32);
      const Tensor seen = device_tensor(ctx, {0}, std::vector<std::int32_t>{}),
                   offsets = device_tensor(ctx, {3}, std::vector<std::int32_t>{0, 0, 0});
      const Tensor uniforms = stored_tensor(ctx, {2}, {0.7F, 0.3F}, DType::kF32);
      Tensor ids = ctx.empty({2}, DType::kI32);
      ops::OpScope scope(ctx, "sampling test");
      table.sample(ctx, logits, settings, seen, offsets, uniforms, ids, nullptr);
      return {floats_of(ctx, ids)};
    };
    const auto reference = make_cpu_context(1, Backend::kReference);
    EXPECT_EQ(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table()); }), run(*reference, ops::reference_table()));
  }
}
#endif

TEST(SimtSampling, KeepsTheLowestIdsOfEqualOnes) {
  // 1,000 equal ids: top_p 0.6 keeps the first 600.
  const std::vector<SamplingSettings> settings = {{.top_p = 0.6F}};
  const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
    const Tensor logits = stored_tensor(ctx, {1, 1000}, std::vector<float>(1000, 0.5F), DType::kF32);
    const Tensor seen = device_tensor(ctx, {0}, std::vector<std::int32_t>{}),
                 offsets = device_tensor(ctx, {2}, std::vector<std::int32_t>{0, 0});
    Tensor probabilities = ctx.empty({1, 1000});
    ops::OpScope scope(ctx, "sampling test");
    simt_table().sampling_probabilities(ctx, logits, settings, seen, offsets, probabilities);
    return {floats_of(ctx, probabilities)};
  });
  // 0.6F is a little over 0.6, so that the 601st id stays: the sum before it is below.
  const auto kept = static_cast<std::size_t>(std::ceil(1000.0 * double{0.6F}));
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(found[0][i] > 0, i < kept) << i;
}

TEST(SimtSampling, MarksARowWhoseLogitsAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
    const std::vector<SamplingSettings> settings(2);
    const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
      const Tensor logits = stored_tensor(ctx, {2, 3}, {0, bad, 1, -INFINITY, 4, -INFINITY}, DType::kF32);
      const Tensor seen = device_tensor(ctx, {0}, std::vector<std::int32_t>{}),
                   offsets = device_tensor(ctx, {3}, std::vector<std::int32_t>{0, 0, 0});
      const Tensor uniforms = stored_tensor(ctx, {2}, {0.5F, 0.5F}, DType::kF32);
      Tensor ids = ctx.empty({2}, DType::kI32), log_probs = ctx.empty({2});
      ops::OpScope scope(ctx, "sampling test");
      simt_table().sample(ctx, logits, settings, seen, offsets, uniforms, ids, &log_probs);
      return {floats_of(ctx, ids)};
    });
    EXPECT_EQ(found[0], (std::vector<float>{-1, 1}));
  }
}

TEST(SimtSampling, DrawsTheUniformsOfTheHost) {
  std::vector<std::int64_t> row_ids;
  std::vector<std::int32_t> samples, positions;
  std::vector<float> expected;
  for (int i = 0; i < 300; ++i) {
    row_ids.push_back(i * 0x123456789LL);
    samples.push_back(i % 7);
    positions.push_back(i * 31);
    expected.push_back(token_uniform(0xFEDCBA9876543210ULL, static_cast<std::uint64_t>(row_ids.back()),
                                     static_cast<std::uint32_t>(samples.back()), static_cast<std::uint32_t>(positions.back())));
  }
  const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
    const Tensor rows = device_tensor(ctx, {300}, row_ids), sample = device_tensor(ctx, {300}, samples),
                 position = device_tensor(ctx, {300}, positions);
    Tensor uniforms = ctx.empty({300});
    ops::OpScope scope(ctx, "uniforms test");
    ops::simt_backend::token_uniforms(ctx, 0xFEDCBA9876543210ULL, rows, sample, position, uniforms);
    return {floats_of(ctx, uniforms)};
  });
  EXPECT_EQ(found[0], expected);
}

}  // namespace
}  // namespace r1::test
