// samples.jsonl: which samples each step was trained on, for audits of what a chain of restarts did.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace r1::train {

/// One line per step: {"step": 7, "samples": [31, 4, …]}, in the order of training, with "skipped": true when the step's update was not
/// applied. Rank 0 alone owns one. A write that fails throws Error(kDisk).
class SampleLog {
 public:
  /// resumed_from_step: lines of later steps move to samples.jsonl.lost-<unix seconds>; without it an existing file is replaced.
  SampleLog(const std::string& output_dir, std::optional<std::int64_t> resumed_from_step);
  ~SampleLog();
  SampleLog(const SampleLog&) = delete;
  SampleLog& operator=(const SampleLog&) = delete;

  /// One write call: a killed process loses nothing.
  void append(std::int64_t step, std::span<const std::int64_t> samples, bool is_skipped);

 private:
  std::string path_;
  int file_ = -1;
};

/// For messages: the first ids of a step.
std::string list_samples(std::span<const std::int64_t> samples);

}  // namespace r1::train
