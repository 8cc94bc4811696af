// The trained weights on their way to where completions are generated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "models/causal_lm.h"
#include "parallel/inference_store.h"
#include "parallel/parameter_store.h"

namespace r1::train {

/// Which weights a completion was generated with: every record of a rollout carries them.
struct WeightsStamp {
  std::int64_t version = -1;   // updates of the weights before; -1: none yet
  std::uint64_t checksum = 0;  // sum (mod 2^64) of xxh3 over blocks of 1,024 values of each parameter; the same for any number of ranks

  std::string checksum_text() const;  // 16 hexadecimal digits
};

/// Of values [begin, begin + n) of a parameter, begin at the border of a block. Sums of pieces add up to that of the whole.
std::uint64_t checksum_of(const ExecContext& ctx, const nn::Parameter& parameter, std::int64_t begin, const Tensor& values);
/// Of all parameters, each value once. Collective over the store's ranks.
std::uint64_t checksum_of(const ExecContext& ctx, parallel::ParameterStore& store);

/// A part of the model (tensor-parallel rows) or all of it, with room for the values that the trainers' passes read.
class RolloutModel {
 public:
  /// dtype: what the trainers' passes read, f32 or bf16.
  RolloutModel(const ExecContext& ctx, const models::ModelConfig& config, int tensor_rank, int tensor_size, DType dtype);

  models::CausalLM& model() { return *model_; }
  nn::UnitRunner& runner() { return *runner_; }
  bool is_whole() const { return model_->part().tensor_size == 1; }

  /// Takes the rows that are here from a whole unit's flat values. Not for a whole model.
  void take_rows(nn::ParameterSet& whole, int unit);
  /// A whole model's flat values of a unit.
  Tensor unit_values(int unit);
  DType dtype() const { return store_->activation_dtype(); }

 private:
  const ExecContext& ctx_;
  std::unique_ptr<models::CausalLM> model_;
  std::unique_ptr<parallel::InferenceStore> store_;
  std::unique_ptr<nn::UnitRunner> runner_;
};

/// Weights from K trainers to the other ranks of the world. Each trainer sends the pieces that it answers for, cut into buckets, each to
/// one generator, which broadcasts it to the others: nothing is gathered before, and the trainers send the model once.
class WeightTransfer {
 public:
  /// Collective over the world, trainers first. On a trainer: store; on a generator: generators and target. All outlive this object.
  WeightTransfer(const ExecContext& ctx, comm::Communicator& world, int num_trainers, parallel::ParameterStore* store);
  WeightTransfer(const ExecContext& ctx, comm::Communicator& world, int num_trainers, comm::Communicator& generators, RolloutModel& target);
  ~WeightTransfer();

  /// Collective over the world: the generators have the trainers' values afterwards. Throws Error(kNumeric) when what arrived has another
  /// checksum than what was sent.
  WeightsStamp run(std::int64_t version);

 private:
  struct Bucket {
    int unit = 0;
    std::int64_t begin = 0, end = 0;  // of the unit's flat values
    int owner = 0, receiver = 0;
  };
  struct Arrival;

  void agree_on_buckets();
  std::uint64_t send();
  std::uint64_t receive();
  Arrival expect(int unit);
  std::uint64_t finish(Arrival& arrival);

  const ExecContext& ctx_;
  comm::Communicator& world_;
  std::unique_ptr<comm::Communicator> links_;  // of the world, for sends and receives alone
  int num_trainers_;
  parallel::ParameterStore* store_ = nullptr;
  comm::Communicator* generators_ = nullptr;
  RolloutModel* target_ = nullptr;
  std::unique_ptr<models::CausalLM> whole_;  // declarations of the whole model; values are bound unit by unit
  std::vector<Bucket> buckets_;              // by unit and position
};

}  // namespace r1::train
