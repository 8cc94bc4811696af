// r1_inspect forward against PyTorch (../shared/fixtures/forward, made by fixtures/make/make_models.py).
#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "io/element_convert.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1 {
namespace {

std::vector<float> floats(const io::Safetensors& file, const std::string& name) {
  const io::StoredTensor& stored = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(stored.num_elements()));
  io::convert_to_f32(stored.dtype, stored.bytes, values);
  return values;
}

/// Copies tensors under other names into a new file.
void copy_tensors(const io::Safetensors& from, const std::vector<std::pair<std::string, std::string>>& names, const std::string& path) {
  std::vector<io::TensorDescription> descriptions;
  std::map<std::string, std::span<const std::byte>> bytes;
  for (const auto& [source, target] : names) {
    const io::StoredTensor* stored = from.find(source);
    if (stored == nullptr) continue;
    descriptions.push_back({target, stored->dtype, stored->shape});
    bytes[target] = stored->bytes;
  }
  io::write_safetensors(path, descriptions, [&](const io::TensorDescription& d) { return bytes.at(d.name); });
}

void expect_near(const std::vector<float>& got, const std::vector<float>& expected, double tolerance, const std::vector<bool>& counts,
                 const char* what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  const std::size_t group = expected.size() / counts.size();
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (counts[i / group]) worst = std::max(worst, std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i])));
  }
  EXPECT_LT(worst, tolerance) << what;
}

class Forward : public ::testing::TestWithParam<const char*> {
 protected:
  // Runs r1_inspect forward on the inputs of one kind ("batch", "packed") and opens what it wrote.
  io::Safetensors run(const std::string& shared, const std::string& kind, const std::string& labels) {
    copy_tensors(reference_,
                 {{kind + ".input_ids", "input_ids"},
                  {kind + ".attention_mask", "attention_mask"},
                  {kind + ".position_ids", "position_ids"},
                  {kind + ".cu_seqlens", "cu_seqlens"},
                  {kind + "." + labels, "labels"}},
                 folder_.file("in.safetensors"));
    const auto done = test::run_program(R1_BIN_DIR "/r1_inspect",
                                        {"forward", "--model", shared + "/fixtures/checkpoints/" + GetParam(), "--input",
                                         folder_.file("in.safetensors"), "--output", folder_.file("out.safetensors"), "--grads"});
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return io::Safetensors::open_file(folder_.file("out.safetensors"));
  }

  void expect_gradients(const std::string& shared, const io::Safetensors& got, const std::string& kind) {
    const io::Safetensors gradients = io::Safetensors::open_file(shared + "/fixtures/forward/" + GetParam() + ".grads.safetensors");
    int compared = 0;
    for (const io::StoredTensor& stored : gradients.tensors()) {
      const std::string prefix = kind + ".grad.";
      if (!stored.name.starts_with(prefix)) continue;
      const auto expected = floats(gradients, stored.name), values = floats(got, stored.name.substr(kind.size() + 1));
      double difference = 0, norm = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double d = static_cast<double>(values[i]) - static_cast<double>(expected[i]);
        difference += d * d;
        norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
      }
      // Suggested by the fixtures: 3e-5 relative L2 per parameter, plus 1e-7 for tiny ones.
      EXPECT_LE(std::sqrt(difference), 3e-5 * std::sqrt(norm) + 1e-7) << stored.name;
      ++compared;
    }
    if (kind == "batch") {
      EXPECT_GT(compared, 10);
    }
  }

  test::TemporaryFolder folder_;
  io::Safetensors reference_;
};

// Suggested by fixtures/README.md: logits, log-probabilities and entropy 2e-4, loss 2e-5 (fp32 against fp64 stays below 2e-5).
constexpr double kLogits = 2e-4, kLoss = 2e-5;

TEST_P(Forward, PaddedBatchAgreesWithPyTorch) {
  R1_REQUIRE_SHARED(shared);
  reference_ = io::Safetensors::open_file(shared + "/fixtures/forward/" + GetParam() + ".safetensors");
  const io::Safetensors got = run(shared, "batch", "labels");
  const auto mask = floats(reference_, "batch.attention_mask");
  const std::vector<bool> counts(mask.begin(), mask.end());
  expect_near(floats(got, "logits"), floats(reference_, "batch.logits"), kLogits, counts, "logits");
  const std::vector<bool> all(floats(got, "logprobs").size(), true);
  expect_near(floats(got, "logprobs"), floats(reference_, "batch.logp_t1"), kLogits, all, "logprobs");
  expect_near(floats(got, "entropy"), floats(reference_, "batch.entropy_t1"), kLogits, all, "entropy");
  EXPECT_NEAR(floats(got, "loss")[0], floats(reference_, "batch.loss")[0], kLoss);
  EXPECT_NEAR(floats(got, "grad_norm")[0] / floats(reference_, "batch.grad_norm_total")[0], 1, 3e-5);
  expect_gradients(shared, got, "batch");
}

TEST_P(Forward, PackedDocumentsAgreeWithPyTorch) {
  R1_REQUIRE_SHARED(shared);
  reference_ = io::Safetensors::open_file(shared + "/fixtures/forward/" + GetParam() + ".safetensors");
  const io::Safetensors got = run(shared, "packed", "labels_doc");
  const std::vector<bool> counts(static_cast<std::size_t>(reference_.at("packed.input_ids").num_elements()), true);
  expect_near(floats(got, "logits"), floats(reference_, "packed.logits"), kLogits, counts, "logits");
  EXPECT_NEAR(floats(got, "loss")[0], floats(reference_, "packed.loss_doc")[0], kLoss);
  EXPECT_NEAR(floats(got, "grad_norm")[0] / floats(reference_, "packed.grad_norm_total")[0], 1, 3e-5);
  const io::Safetensors across = run(shared, "packed", "labels_all");
  EXPECT_NEAR(floats(across, "loss")[0], floats(reference_, "packed.loss_all")[0], kLoss);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Forward, ::testing::Values("qwen2", "qwen2_untied", "qwen2_bf16", "llama3", "qwen3"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace r1
