// Which checkpoint folders stay.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace r1::train {

/// Steps of the folders output_dir/checkpoint-N, ascending; others are left out.
std::vector<std::int64_t> checkpoint_steps(const std::string& output_dir);

/// Deletes the oldest checkpoint folders until at most `limit` (>= 1) are left.
void delete_oldest_checkpoints(const std::string& output_dir, std::int64_t limit);

}  // namespace r1::train
