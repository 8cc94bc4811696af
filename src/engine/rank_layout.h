// Which ranks hold one copy of the model together, and how they talk.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "nn/tensor_parallel.h"

namespace r1::engine {

/// The world as data × pipeline × tensor ranks, tensor ranks next to each other: a group of num_stages × tensor_size ranks holds one copy
/// of the model, and all its ranks schedule the same batches. Groups share nothing but the queue of samples.
class RankLayout {
 public:
  /// Collective over the world, whose size tensor_size × num_stages divides (else Error(kUsage)). The communicator outlives this object.
  RankLayout(comm::Communicator& world, int tensor_size, int num_stages);
  ~RankLayout();
  RankLayout(const RankLayout&) = delete;
  RankLayout& operator=(const RankLayout&) = delete;

  int num_groups() const { return num_groups_; }
  int stage() const { return stage_; }
  int num_stages() const { return num_stages_; }
  int tensor_rank() const { return tensor_rank_; }
  int tensor_size() const { return tensor_size_; }
  /// One rank has the whole model.
  bool is_alone() const { return num_stages_ * tensor_size_ == 1; }
  /// The group's rank that takes samples from the queue and writes them.
  bool is_leader() const { return stage_ == 0 && tensor_rank_ == 0; }
  /// The group's rank that draws tokens: what the others know of them comes from it.
  bool draws() const { return stage_ == num_stages_ - 1 && tensor_rank_ == 0; }
  /// Null when each rank has whole layers.
  nn::TensorParallel* tensor_parallel() const { return tensor_parallel_.get(); }

  // Collective over the group, in the same order on all its ranks.
  std::int64_t agreed_minimum(std::int64_t value, std::string_view what);
  /// What the drawing rank has drawn, to the others.
  comm::Work share_draws(const ExecContext& ctx, Tensor& drawn);
  /// The leader's values on all ranks. The leader does not wait for the others.
  void share_from_leader(const ExecContext& ctx, std::vector<std::int64_t>& values);

  /// The state between two layers to the next stage; from the previous stage, [num_tokens, hidden_size] each.
  comm::Work send_state(const ExecContext& ctx, const nn::Activations& state);
  nn::Activations receive_state(const ExecContext& ctx, std::int64_t num_tokens, std::int64_t hidden_size, DType dtype);

 private:
  int num_groups_ = 1, stage_ = 0, num_stages_ = 1, tensor_rank_ = 0, tensor_size_ = 1;
  // A communicator for each purpose: calls of one run in order, and a stage that is ahead must not hold up the others.
  std::unique_ptr<comm::Communicator> tensor_, draws_, leader_, from_previous_, to_next_;
  std::unique_ptr<nn::TensorParallel> tensor_parallel_;
  comm::Work leader_send_;
};

}  // namespace r1::engine
