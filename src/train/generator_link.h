// GRPO with ranks that generate and do not train (--num_processes K: ranks 0 to K - 1 train, the others generate).
//
// Of each rollout: order (rank 0 to all) → weights, when they have changed → completions, streamed to the trainers as they are finished.
// While completions are on their way the trainers score those that are there and compute their reference log-probabilities. Training and
// generating never overlap: a completion always comes from the weights that its update starts with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/world.h"
#include "train/rollout.h"

namespace r1::train {

/// What rank 0 tells the generators to do.
struct GeneratorOrder {
  enum class Kind : std::int64_t { kGenerate, kFinish, kStop };  // kStop: a signal stopped the trainers, everything is saved
  Kind kind = Kind::kFinish;
  bool is_evaluation = false;
  std::int64_t step = 0, weights_version = 0;
  std::vector<PromptDraw> draws;
};

/// The groups of ranks that a job is split into; which of them this rank belongs to.
class GeneratorLink {
 public:
  /// Collective over the world. tensors: the group of all ranks for tensors on the device; host: the same for host memory. Both outlive
  /// this object. Of the generators, tensor_parallel_size neighbours hold a copy of the model together.
  GeneratorLink(comm::Communicator& tensors, comm::Communicator& host, int num_trainers, int tensor_parallel_size);
  ~GeneratorLink();

  bool is_generator() const { return host_.rank() >= num_trainers_; }
  int num_trainers() const { return num_trainers_; }
  int num_streams() const { return static_cast<int>(streams_.size()); }
  /// All ranks, for tensors.
  comm::Communicator& all() { return tensors_; }
  /// The trainers, or the generators.
  comm::Communicator& own_group() { return *own_group_; }

  /// Collective over the trainers: rank 0's order to the generators.
  void send(const GeneratorOrder& order);
  GeneratorOrder receive_order();
  /// At the end of a run: the highest of the generators' values, on all ranks. Collective over the world.
  std::int64_t largest_of_generators(std::int64_t mine, std::string_view what);

  /// A message of a generating copy of the model to all trainers.
  struct Message {
    std::vector<std::byte> items;                 // pack_items(); empty: the rollout's last message
    RolloutStats stats;                           // of the last message
    bool wants_stop = false, wants_save = false;  // a signal has come to that generator
  };
  /// On the leader of a copy; returns at once.
  void post(const Message& message);
  /// Until all messages are with the trainers.
  void finish_posts();
  /// On a trainer: the stream's next message, when it is there. Not after a rollout's last one until the next order.
  std::optional<Message> poll(int stream);

 private:
  struct Stream;

  comm::Communicator& tensors_;
  comm::Communicator& host_;
  std::unique_ptr<ExecContext> ctx_;  // for messages in host memory
  int num_trainers_;
  std::unique_ptr<comm::Communicator> own_group_;
  std::vector<std::unique_ptr<Stream>> streams_;  // on a generator: null but for the one that it leads
};

}  // namespace r1::train
