// Token-loss sums of packed blocks against the reference trainer (../shared/fixtures/sft, made by fixtures/make/make_sft.py).
#include <gmock/gmock.h>

#include "base/json.h"
#include "checkpoint/hf_import.h"
#include "data/packing.h"
#include "io/element_convert.h"
#include "io/safetensors.h"
#include "models/registry.h"
#include "nn/unit_runner.h"
#include "tests/support/paths.h"
#include "train/micro_batch.h"
#include "train/sft.h"

namespace r1::train {
namespace {

struct PackedLossCase {
  const char* packing;  // key of expected.json without "packed_"
  const char* labels;
  data::PackingStrategy strategy;
  bool causal;  // over the whole block: documents see each other
};

class PackedLoss : public ::testing::TestWithParam<PackedLossCase> {};

// The blocks are packed here, from the documents' token ids: what is compared is our own packing under our own attention.
TEST_P(PackedLoss, AgreesWithTheReferenceBlockByBlock) {
  R1_REQUIRE_SHARED(shared);
  const PackedLossCase& example = GetParam();
  const Json expected = read_json_file(shared + "/fixtures/sft/expected.json");
  const io::Safetensors fixture = io::Safetensors::open_file(shared + "/fixtures/sft/packed_loss.safetensors");
  const std::string key = std::string(example.packing) + "." + example.labels;
  const io::StoredTensor &sums = fixture.at(key + ".loss_sum"), &counts = fixture.at(key + ".n_items");
  std::vector<float> loss_sums(static_cast<std::size_t>(sums.num_elements()));
  std::vector<std::int64_t> num_targets(static_cast<std::size_t>(counts.num_elements()));
  io::convert_to_f32(sums.dtype, sums.bytes, loss_sums);
  io::convert_to_i64(counts.dtype, counts.bytes, num_targets, key);

  const std::string folder = shared + "/fixtures/checkpoints/" + expected.at("model").get<std::string>();
  const auto ctx = make_cpu_context(2);
  const auto model = models::make_model(models::load_model_config(folder));
  const auto store = parallel::make_replicated_store(*ctx, model->parameters(), parallel::OptimizerState::kAdamW);
  nn::UnitRunner runner(model->parameters(), *store);
  checkpoint::load_weights(folder, *model, *store);

  const Json& documents = expected.at("examples");
  const std::string labels = std::string("labels_") + example.labels;
  std::vector<std::int64_t> lengths;
  for (const Json& document : documents) lengths.push_back(static_cast<std::int64_t>(document.at("input_ids").size()));
  const data::Packing packing = data::pack_rows(lengths, expected.at("max_length").get<std::int64_t>(), example.strategy);
  ASSERT_EQ(packing.blocks.size(), loss_sums.size());

  for (std::size_t i = 0; i < packing.blocks.size(); ++i) {
    std::vector<std::int32_t> block_ids, block_labels;
    std::vector<std::int64_t> pieces;
    for (const data::Piece& piece : packing.blocks[i].pieces) {
      const Json& document = documents[static_cast<std::size_t>(piece.row)];
      for (std::int64_t t = piece.begin; t < piece.end; ++t) {
        block_ids.push_back(document.at("input_ids")[static_cast<std::size_t>(t)].get<std::int32_t>());
        block_labels.push_back(document.at(labels)[static_cast<std::size_t>(t)].get<std::int32_t>());
      }
      pieces.push_back(piece.length());
    }
    if (example.causal) pieces = {static_cast<std::int64_t>(block_ids.size())};
    MicroBatch batch;
    batch.add_row(block_ids, block_labels, pieces);
    EXPECT_EQ(batch.num_labelled_tokens(), num_targets[i]) << key << " block " << i;

    store->begin_step();
    store->begin_micro_batch(0);
    nn::Tape tape(*ctx);
    nn::Pass pass{*ctx, runner, &tape};
    const DeviceBatch device = to_device(*ctx, batch, model->config().vocab_size);
    const auto parts = model->cross_entropy(pass, model->decode(pass, device.tokens), device.labels, 1.0F);
    // fixtures/README.md, "sft": 2e-3 on the sums in fp32.
    EXPECT_NEAR(ordered_sum(*ctx, parts.token_loss), static_cast<double>(loss_sums[i]), 2e-3) << key << " block " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PackedLoss,
                         ::testing::Values(PackedLossCase{"wrapped", "full", data::PackingStrategy::kWrapped, true},
                                           PackedLossCase{"wrapped", "assistant_only", data::PackingStrategy::kWrapped, true},
                                           PackedLossCase{"bfd", "full", data::PackingStrategy::kBfd, false},
                                           PackedLossCase{"bfd", "assistant_only", data::PackingStrategy::kBfd, false}),
                         [](const auto& test) { return std::string(test.param.packing) + "_" + test.param.labels; });

}  // namespace
}  // namespace r1::train
