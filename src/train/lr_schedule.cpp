#include "train/lr_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/strings.h"

namespace r1::train {

std::vector<std::string> LrSchedule::names() {
  return {"constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr", "cosine_with_restarts", "polynomial"};
}

LrSchedule::LrSchedule(std::string_view lr_scheduler_type, double learning_rate, std::int64_t warmup_steps, std::int64_t max_steps,
                       const LrScheduleOptions& options)
    : kind_(Kind::kConstant), learning_rate_(learning_rate), warmup_steps_(warmup_steps), max_steps_(max_steps), options_(options) {
  const std::vector<std::string> known = names();
  const auto found = std::find(known.begin(), known.end(), lr_scheduler_type);
  if (found == known.end())
    fail(ErrorKind::kConfig, "lr_scheduler_type: expected one of {}; found '{}'", join(known, ", "), lr_scheduler_type);
  kind_ = std::array{Kind::kConstant,        Kind::kConstantWithWarmup, Kind::kLinear,    Kind::kCosine,
                     Kind::kCosineWithMinLr, Kind::kCosineWithRestarts, Kind::kPolynomial}[static_cast<std::size_t>(found - known.begin())];
  if (kind_ == Kind::kCosineWithMinLr) {
    if (options.min_lr.has_value() == options.min_lr_rate.has_value()) {
      fail(ErrorKind::kConfig, "lr_scheduler_kwargs: cosine_with_min_lr needs exactly one of min_lr and min_lr_rate");
    }
    min_rate_ = options.min_lr ? *options.min_lr / learning_rate : *options.min_lr_rate;
    if (!(min_rate_ >= 0 && min_rate_ <= 1)) {
      fail(ErrorKind::kConfig, "lr_scheduler_kwargs: expected a minimum from 0 to learning_rate ({}), found {}", learning_rate,
           options.min_lr.value_or(min_rate_ * learning_rate));
    }
  }
  if (kind_ == Kind::kPolynomial && options.lr_end > learning_rate) {
    fail(ErrorKind::kConfig, "lr_scheduler_kwargs: lr_end ({}) must be below learning_rate ({})", options.lr_end, learning_rate);
  }
}

double LrSchedule::learning_rate(std::int64_t step) const { return learning_rate_ * factor(static_cast<double>(step)); }

double LrSchedule::factor(double step) const {
  const auto warmup = static_cast<double>(warmup_steps_);
  const auto total = static_cast<double>(max_steps_);
  if (kind_ == Kind::kConstant) return 1;
  if (step < warmup) return step / std::max(1.0, warmup);
  if (kind_ == Kind::kConstantWithWarmup) return 1;
  const double progress = (step - warmup) / std::max(1.0, total - warmup);
  switch (kind_) {
    case Kind::kLinear:
      return std::max(0.0, (total - step) / std::max(1.0, total - warmup));
    case Kind::kCosine:
    case Kind::kCosineWithMinLr: {
      const double wave = 0.5 * (1 + std::cos(std::numbers::pi * options_.num_cycles * 2 * progress));
      return std::max(0.0, kind_ == Kind::kCosine ? wave : wave * (1 - min_rate_) + min_rate_);
    }
    case Kind::kCosineWithRestarts: {
      if (progress >= 1) return 0;
      const double cycles = options_.num_cycles == 0.5 ? 1 : options_.num_cycles;
      return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * std::fmod(cycles * progress, 1.0))));
    }
    case Kind::kPolynomial: {
      if (step > total) return options_.lr_end / learning_rate_;
      const double remaining = 1 - progress;
      return ((learning_rate_ - options_.lr_end) * std::pow(remaining, options_.power) + options_.lr_end) / learning_rate_;
    }
    default:
      return 1;
  }
}

}  // namespace r1::train
