#include "checkpoint/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/manifest.h"

namespace r1::checkpoint {
namespace {

constexpr std::string_view kPrefix = "checkpoint-";

bool is_whole(const std::string& folder) {
  try {
    return find_damage(folder, read_manifest(folder)).empty();
  } catch (const Error&) {
    return false;
  }
}

/// A step of staging may delete the same folder: what it took away meanwhile is no error. Nothing is lost by a folder that stays.
bool delete_folder(const std::filesystem::path& folder) {
  std::error_code error;
  for (int attempt = 0; attempt < 5; ++attempt) {
    std::filesystem::remove_all(folder, error);
    if (!error) return true;
  }
  log::warning("{} could not be deleted: {}; it takes room until it is deleted by hand", folder.string(), error.message());
  return false;
}

}  // namespace

std::string checkpoint_folder(const std::string& output_dir, std::int64_t step) {
  return fmt::format("{}/{}{}", output_dir, kPrefix, step);
}

std::vector<std::int64_t> checkpoint_steps(const std::string& output_dir) {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !entry.is_directory(error)) continue;
    if (const auto step = parse_int(std::string_view(name).substr(kPrefix.size()))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void delete_oldest_checkpoints(const std::string& output_dir, std::int64_t limit) {
  const std::vector<std::int64_t> steps = checkpoint_steps(output_dir);
  const auto keep = static_cast<std::size_t>(std::max<std::int64_t>(limit, 1));
  if (steps.size() <= keep) return;
  const std::string newest = checkpoint_folder(output_dir, steps.back());
  if (std::filesystem::exists(newest + "/" + kManifestName) && !is_whole(newest)) {
    log::warning("{} does not read back as it was written; no older checkpoint is deleted", newest);
    return;
  }
  for (std::size_t i = 0; i + keep < steps.size(); ++i) {
    const std::string folder = checkpoint_folder(output_dir, steps[i]);
    if (delete_folder(folder)) log::info("deleted {} (save_total_limit {})", folder, limit);
  }
}

void remove_unfinished_checkpoints(const std::string& output_dir) {
  std::vector<std::filesystem::path> unfinished;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(output_dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    if (name.find(".tmp.") != std::string::npos) unfinished.push_back(entry.path());
    if (const std::size_t old = name.find(".old."); old != std::string::npos) {
      const std::filesystem::path successor = output_dir + "/" + name.substr(0, old);
      // Killed between the two renames of a replacement: the old one is still the checkpoint of its step.
      if (std::filesystem::exists(successor)) {
        unfinished.push_back(entry.path());
      } else {
        std::filesystem::rename(entry.path(), successor);
      }
    }
  }
  for (const auto& path : unfinished) {
    if (delete_folder(path)) log::notice("{}: removed; its save never finished", path.string());
  }
}

}  // namespace r1::checkpoint
