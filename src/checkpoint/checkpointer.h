// Saving the state of a run so that it is never lost: a checkpoint is whole under its final name, or it is not there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "checkpoint/file_plan.h"
#include "checkpoint/host_access.h"
#include "checkpoint/training_state.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

struct CheckpointerOptions {
  std::string output_dir;
  std::string version;                           // of the suite
  std::optional<std::int64_t> save_total_limit;  // none: all stay
  bool async_save = false;
  CheckpointLayout layout = CheckpointLayout::kFile;
};

/// Writes further files into the checkpoint's folder before it is published. Collective.
using AddFiles = std::function<void(const std::string& folder)>;

/// Every rank makes one; save and wait are collective.
///
/// output_dir/checkpoint-N.tmp.<job> is written by all ranks, closed, flushed to disk, gets its manifest, and is renamed to checkpoint-N;
/// then output_dir/latest names it and save_total_limit is enforced. With async_save training goes on as soon as the state is copied.
class Checkpointer {
 public:
  Checkpointer(CheckpointerOptions options, nn::ParameterSet& parameters, parallel::ParameterStore& store, HostAccess access);
  ~Checkpointer();

  /// Throws the same error on every rank: kDisk with needed and free bytes, kNumeric for a value that is not finite; then everything
  /// is as it was before. With async_save an error comes out of the next call.
  void save(const TrainingState& state, const AddFiles& add_files);
  /// Until the save in the background is done.
  void wait();

  /// Bytes of one checkpoint's tensors.
  std::int64_t state_bytes() const;
  /// Seconds that training stood still in save() and wait(), and that writing took, since the start.
  double stall_seconds() const;
  double write_seconds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace r1::checkpoint
