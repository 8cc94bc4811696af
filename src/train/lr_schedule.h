// The learning rate of each optimizer step, with Hugging Face's schedule names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace r1::train {

/// `lr_scheduler_kwargs`; each schedule reads its own.
struct LrScheduleOptions {
  std::optional<double> min_lr, min_lr_rate;  // cosine_with_min_lr: exactly one of them
  double num_cycles = 0.5;                    // cosine: waves over the run; cosine_with_restarts: hard restarts (default 1)
  double lr_end = 1e-7, power = 1;            // polynomial
};

/// The rate is a factor in [0, 1] times learning_rate; warmup rises linearly from 0, so that the first step of a run with
/// warmup changes nothing. Pure function of the step. Source: transformers, optimization.py.
class LrSchedule {
 public:
  /// Throws Error(kConfig) for an unknown name (with the known ones), for kwargs that the schedule does not take together,
  /// for a min_lr over the learning rate.
  LrSchedule(std::string_view lr_scheduler_type, double learning_rate, std::int64_t warmup_steps, std::int64_t max_steps,
             const LrScheduleOptions& options = {});

  /// step counts optimizer steps from 0.
  double learning_rate(std::int64_t step) const;

  static std::vector<std::string> names();

 private:
  double factor(double step) const;
  enum class Kind { kConstant, kConstantWithWarmup, kLinear, kCosine, kCosineWithMinLr, kCosineWithRestarts, kPolynomial };
  Kind kind_;
  double learning_rate_;
  std::int64_t warmup_steps_, max_steps_;
  LrScheduleOptions options_;
  double min_rate_ = 0;
};

}  // namespace r1::train
