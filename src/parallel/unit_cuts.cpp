#include "parallel/unit_cuts.h"

#include <algorithm>

#include "ops/reduce.h"

namespace r1::parallel {

std::vector<std::int64_t> cut_unit(const nn::ParameterSet& parameters, int unit_index, int num_ranks) {
  const nn::Unit& unit = parameters.units()[static_cast<std::size_t>(unit_index)];
  std::vector<std::int64_t> cuts(static_cast<std::size_t>(num_ranks) + 1, 0);
  cuts.back() = unit.num_elements;
  int member = 0;
  for (int rank = 1; rank < num_ranks; ++rank) {
    // In double: exact enough for a target, and no overflow.
    const auto target = static_cast<std::int64_t>(static_cast<double>(unit.num_elements) * rank / num_ranks);
    const auto end_of = [&](int m) {
      const nn::Parameter& parameter = parameters.at(unit.first_parameter + m);
      return parameter.offset + parameter.num_elements();
    };
    while (end_of(member) <= target && member + 1 < unit.num_parameters) ++member;
    const std::int64_t begin = parameters.at(unit.first_parameter + member).offset;
    const std::int64_t below = begin + (target - begin) / ops::kReduceBlock * ops::kReduceBlock;
    const std::int64_t above = std::min(below + ops::kReduceBlock, end_of(member));
    cuts[static_cast<std::size_t>(rank)] = target - below <= above - target ? below : above;
  }
  return cuts;
}

}  // namespace r1::parallel
