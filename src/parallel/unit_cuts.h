// Where a unit's flat buffer is cut into the ranks' pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/parameter.h"

namespace r1::parallel {

/// Rank r's piece of the unit is [result[r], result[r + 1]). Each cut is the border of a block of ops::kReduceBlock elements of a
/// parameter (counted from its first element) that lies nearest to r/N of the unit, so that every block's sum is one rank's and no
/// padding is needed. A small unit may leave ranks with nothing.
std::vector<std::int64_t> cut_unit(const nn::ParameterSet& parameters, int unit, int num_ranks);

}  // namespace r1::parallel
