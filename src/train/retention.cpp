#include "train/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/strings.h"

namespace r1::train {

std::vector<std::int64_t> checkpoint_steps(const std::string& output_dir) {
  constexpr std::string_view kPrefix = "checkpoint-";
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !entry.is_directory()) continue;
    if (const auto step = parse_int(std::string_view(name).substr(kPrefix.size()))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void delete_oldest_checkpoints(const std::string& output_dir, std::int64_t limit) {
  const std::vector<std::int64_t> steps = checkpoint_steps(output_dir);
  const auto keep = static_cast<std::size_t>(std::max<std::int64_t>(limit, 1));
  for (std::size_t i = 0; i + keep < steps.size(); ++i) {
    const std::string folder = fmt::format("{}/checkpoint-{}", output_dir, steps[i]);
    std::filesystem::remove_all(folder);
    log::info("deleted {} (save_total_limit {})", folder, limit);
  }
}

}  // namespace r1::train
