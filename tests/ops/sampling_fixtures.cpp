// The filtered distributions of transformers' generate(): ../shared/fixtures/generation/sampling.{json,safetensors}.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/json.h"
#include "io/safetensors.h"
#include "ops/sampling.h"
#include "tests/support/op_tensors.h"
#include "tests/support/paths.h"

namespace r1::test {
namespace {

template <typename T>
std::vector<T> elements(const io::StoredTensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

TEST(Sampling, ProbabilitiesAgreeWithTransformers) {
  R1_REQUIRE_SHARED(shared);
  const std::string base = shared + "/fixtures/generation/sampling";
  const io::Safetensors file = io::Safetensors::open_file(base + ".safetensors");
  const Json cases = read_json_file(base + ".json");
  const std::vector<std::int64_t> context = elements<std::int64_t>(file.at("context_ids"));
  const std::vector<std::int32_t> seen(context.begin(), context.end());

  const auto reference = make_cpu_context(1, Backend::kReference);
  const auto cpu = make_cpu_context(1);
  ASSERT_GT(cases.size(), 40U);
  for (const Json& entry : cases) {
    const int row = entry["logits"], number = entry["case"];
    const std::vector<float> logits = elements<float>(file.at(fmt::format("logits.{}", row)));
    std::vector<float> expected = elements<float>(file.at(fmt::format("probs.{}.{}", row, number)));
    const ops::SamplingSettings settings{.temperature = entry.value("temperature", 1.0F),
                                         .top_k = entry.value("top_k", 0),
                                         .top_p = entry.value("top_p", 1.0F),
                                         .min_p = entry.value("min_p", 0.0F),
                                         .repetition_penalty = entry.value("repetition_penalty", 1.0F)};
    // Rows 1 and 2 have equal scores; which of them top_p keeps is the choice of torch.sort, which is not stable.
    const bool ties = row != 0;
    if (ties) std::sort(expected.begin(), expected.end());
    for (const ExecContext* ctx : {reference.get(), cpu.get()}) {
      SCOPED_TRACE(fmt::format("row {}, case {}, {}", row, number, ctx == cpu.get() ? "cpu" : "reference"));
      const auto V = static_cast<std::int64_t>(logits.size());
      Tensor probabilities = ctx->empty({1, V});
      ops::sampling_probabilities(*ctx, device_tensor(*ctx, {1, V}, logits), std::span(&settings, 1),
                                  device_tensor(*ctx, {static_cast<std::int64_t>(seen.size())}, seen),
                                  device_tensor(*ctx, {2}, std::vector<std::int32_t>{0, static_cast<std::int32_t>(seen.size())}),
                                  probabilities);
      std::vector<float> found = values_of<float>(*ctx, probabilities);
      if (ties) std::sort(found.begin(), found.end());
      EXPECT_EQ(std::count_if(found.begin(), found.end(), [](float p) { return p > 0; }), entry["kept"].get<std::int64_t>());
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6) << "id " << i;
    }
  }
}

}  // namespace
}  // namespace r1::test
