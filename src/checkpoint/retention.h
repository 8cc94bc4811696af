// Which checkpoint folders stay.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace r1::checkpoint {

/// Steps of the folders output_dir/checkpoint-N, ascending; others (temporary ones too) are left out.
std::vector<std::int64_t> checkpoint_steps(const std::string& output_dir);
std::string checkpoint_folder(const std::string& output_dir, std::int64_t step);

/// Deletes the oldest checkpoint folders until at most `limit` (>= 1) are left. Where they hold state (a manifest), nothing is deleted
/// before the newest has been read back and found whole.
void delete_oldest_checkpoints(const std::string& output_dir, std::int64_t limit);

/// Removes what saves that never finished left behind: checkpoint-N.tmp.*, checkpoint-N.old.* whose successor is there.
void remove_unfinished_checkpoints(const std::string& output_dir);

}  // namespace r1::checkpoint
