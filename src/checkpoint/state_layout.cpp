#include "checkpoint/state_layout.h"

#include <fmt/format.h>

namespace r1::checkpoint {

StateLayout::StateLayout(nn::ParameterSet& parameters) {
  parameters.for_each([&](nn::Parameter& parameter) {
    first_.emplace(&parameter, static_cast<std::int64_t>(datasets_.size()));
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < parameter.shape.rank(); ++axis) shape.push_back(parameter.shape[axis]);
    for (const char* kind : kStateKinds)
      datasets_.push_back({fmt::format("{}/{}", kind, parameter.name), shape, parameter.num_elements(), 0});
  });
}

std::int64_t StateLayout::num_bytes() const {
  std::int64_t bytes = 0;
  for (const DatasetEntry& dataset : datasets_) bytes += dataset.num_elements * static_cast<std::int64_t>(sizeof(float));
  return bytes;
}

}  // namespace r1::checkpoint
