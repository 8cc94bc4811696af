// Decode steps as recorded work: one call of the device for a step instead of some hundred launches.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "engine/batch_builder.h"
#include "nn/unit_runner.h"
#include "tensor/recorded_work.h"

namespace r1::engine {

struct DecodeGraphOptions {
  int block_size = 32;
  std::int64_t max_model_len = 0;
  /// A block of the cache that belongs to no sequence. The batch is filled up to a recorded size with rows that write there.
  BlockId spare_block = 0;
};

/// A step's shape is the number of sequences, rounded up (1, 2, 4, then multiples of 8), and the blocks of the longest, rounded up to a
/// power of two. The first step of a shape runs as usual, the second is recorded, and from then on its recording is replayed.
class DecodeGraphs {
 public:
  /// Sequences that a batch may be filled up with.
  static constexpr int kMaxFill = 7;

  /// Null where steps cannot be recorded: on the CPU, where units are gathered for their passes, in blocks of less than kMaxFill slots.
  /// Everything outlives the object.
  static std::unique_ptr<DecodeGraphs> make(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const KvCache& cache,
                                            const DecodeGraphOptions& options);

  /// Whether a step may go this way: each chunk is the one token that a sequence drew before.
  static bool are_decode_steps(std::span<const ScheduledChunk> chunks);

  /// [num_chunks, vocab_size] f32 on the device, valid until the next call.
  Tensor logits(std::span<const ScheduledChunk> chunks);

  /// Steps that were replayed so far.
  std::int64_t num_replays() const { return num_replays_; }
  /// The model has other values. Recordings stay where values keep their places.
  void weights_changed() {
    if (!runner_.values_never_move()) forget();
  }

 private:
  struct Shape {
    std::int64_t num_rows = 0, blocks_each = 0;
    auto operator<=>(const Shape&) const = default;
  };
  struct Graph {
    Tensor tables;             // all of BatchTables in one i32 array: one copy to the device per step
    models::TokenBatch batch;  // views of it
    Tensor logits;             // [num_rows, vocab_size]
    Tensor cos, sin;           // the rotary table that the recording reads
    std::unique_ptr<RecordedWork> work;
  };

  /// Sets a flag for the length of a scope.
  class Running {
   public:
    explicit Running(bool& flag) : flag_(flag) { flag_ = true; }
    ~Running() { flag_ = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    bool& flag_;
  };

  DecodeGraphs(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const KvCache& cache,
               const DecodeGraphOptions& options);
  Shape shape_of(std::span<const ScheduledChunk> chunks) const;
  void forget() { graphs_.clear(); }
  /// Room for logits of so many sequences; forgets all graphs when the room moves.
  void reserve_logits(std::int64_t num_rows);
  Graph make_graph(const Shape& shape) const;
  void fill(Graph& graph, const Shape& shape, std::span<const ScheduledChunk> chunks) const;
  void run(Graph& graph);
  void run_first(Graph& graph, const Shape& shape, std::span<const ScheduledChunk> chunks);
  void record(Graph& graph);
  /// For whoever else runs out of memory on this device: forgets all recordings. False when that frees nothing, or a step is running.
  bool give_back();

  const ExecContext& ctx_;
  models::CausalLM& model_;
  nn::UnitRunner& runner_;
  const KvCache& cache_;
  DecodeGraphOptions options_;
  std::unique_ptr<ExecContext> own_;  // whose free blocks only recorded work takes
  Tensor logits_;                     // of the largest batch so far; all graphs write here
  std::map<Shape, Graph> graphs_;
  std::int64_t num_replays_ = 0;
  bool has_failed_ = false, is_running_ = false;
  std::shared_ptr<void> reclaimer_;
};

}  // namespace r1::engine
