#include "tensor/shape.h"

#include <fmt/format.h>

#include "base/error.h"

namespace r1 {

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  if (dims.size() > kMaxRank) fail(ErrorKind::kShape, "a tensor has at most {} dimensions, found {}", kMaxRank, dims.size());
  std::int64_t count = 1;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    std::int64_t next = 0;
    if (dims[i] < 0 || __builtin_mul_overflow(count, dims[i] == 0 ? 1 : dims[i], &next) || next > (std::int64_t{1} << 62)) {
      fail(ErrorKind::kShape, "impossible extent {} in dimension {}", dims[i], i);
    }
    count = next;
    dims_[i] = dims[i];
  }
}

std::int64_t Shape::num_elements() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : dims()) count *= extent;
  return count;
}

std::string Shape::to_string() const { return fmt::format("[{}]", fmt::join(dims(), ", ")); }

}  // namespace r1
