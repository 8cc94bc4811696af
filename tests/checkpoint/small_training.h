// A small model on the ranks of a group, and rows to train it on.
#pragma once

#include <exception>
#include <memory>

#include "base/hash.h"
#include "checkpoint/checkpointer.h"
#include "checkpoint/collective_error.h"
#include "ops/copy.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"
#include "train/sft.h"

namespace r1::test {

class SmallRows : public train::TrainingRows {
 public:
  std::int64_t num_rows() const override { return 40; }
  void append_to(train::MicroBatch& batch, std::int64_t index) const override {
    const std::int64_t length = 3 + index % 5;
    std::vector<std::int32_t> ids;
    for (std::int64_t t = 0; t < length; ++t) ids.push_back(static_cast<std::int32_t>((index * 17 + t * t) % 53));
    const std::int64_t piece[] = {length};
    batch.add_row(ids, ids, piece);
  }
};

/// A model of three layers, initialised by its seed, spread over the group.
struct SmallTraining {
  SmallTraining(const ExecContext& ctx, comm::Communicator& communicator, parallel::Sharding sharding, std::uint64_t seed = 1)
      : model(models::make_model(models::parse_model_config(tiny_config_json("qwen2", R"(, "tie_word_embeddings": true)"), "tiny"))),
        store(parallel::make_parameter_store(ctx, model->parameters(), communicator, {sharding})) {
    checkpoint::init_weights(*model, *store, {checkpoint::InitScheme::kScaled, 0.3, seed});
  }

  /// Checksum of all that this rank's shards hold.
  std::string digest(const ExecContext& ctx) const {
    Xxh3Stream stream;
    store->for_each_shard([&](parallel::Shard& shard) {
      for (const Tensor* tensor : {&shard.value, &shard.exp_avg, &shard.exp_avg_sq}) {
        const Tensor host = ops::to_host(ctx, *tensor);
        const auto values = host.host_span<float>();
        stream.update(values.data(), values.size_bytes());
      }
    });
    return stream.hex_digest();
  }

  std::unique_ptr<models::CausalLM> model;
  std::unique_ptr<parallel::ParameterStore> store;
};

/// Rank 0's temporary folder, on all ranks.
class CommonFolder {
 public:
  explicit CommonFolder(comm::Communicator& communicator)
      : communicator_(communicator), path_(checkpoint::text_of_first_rank(communicator, mine_.path(), "folder")) {}
  ~CommonFolder() {
    if (std::uncaught_exceptions() == 0) communicator_.barrier("folder");  // nobody needs it any more
  }
  CommonFolder(const CommonFolder&) = delete;
  CommonFolder& operator=(const CommonFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  comm::Communicator& communicator_;
  TemporaryFolder mine_;
  std::string path_;
};

inline checkpoint::HostAccess host_access(const ExecContext& ctx) {
  return {[&ctx](const Tensor& device) { return ops::to_host(ctx, device); },
          [&ctx](const Tensor& host, Tensor& device) { ops::from_host(ctx, host, device); }};
}

}  // namespace r1::test
