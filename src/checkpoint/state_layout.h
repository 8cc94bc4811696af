// Which datasets the state of a model has.
#pragma once

#include <map>
#include <vector>

#include "checkpoint/manifest.h"
#include "nn/parameter.h"

namespace r1::checkpoint {

/// value, exp_avg and exp_avg_sq, in this order, for each parameter.
inline constexpr const char* kStateKinds[] = {"value", "exp_avg", "exp_avg_sq"};
inline constexpr std::int64_t kNumStateKinds = 3;
/// What one slice holds at most: 256 MiB.
inline constexpr std::int64_t kSliceElements = std::int64_t{1} << 26;

/// Datasets <kind>/<parameter>, in order of declaration; file offsets are not known here.
class StateLayout {
 public:
  explicit StateLayout(nn::ParameterSet& parameters);
  const std::vector<DatasetEntry>& datasets() const { return datasets_; }
  /// Index of value/<parameter>; the moments follow.
  std::int64_t first_dataset(const nn::Parameter& parameter) const { return first_.at(&parameter); }
  std::int64_t num_bytes() const;

 private:
  std::vector<DatasetEntry> datasets_;
  std::map<const nn::Parameter*, std::int64_t> first_;
};

}  // namespace r1::checkpoint
