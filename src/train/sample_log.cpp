#include "train/sample_log.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "report/metrics.h"

namespace r1::train {

SampleLog::SampleLog(const std::string& output_dir, std::optional<std::int64_t> resumed_from_step) : path_(output_dir + "/samples.jsonl") {
  if (resumed_from_step) report::cut_rows_after_step(path_, *resumed_from_step);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (resumed_from_step ? 0 : O_TRUNC), 0644);
  if (file_ < 0) fail(ErrorKind::kDisk, "{}: cannot create this file: {}", path_, std::strerror(errno));
}

SampleLog::~SampleLog() { ::close(file_); }

void SampleLog::append(std::int64_t step, std::span<const std::int64_t> samples, bool is_skipped) {
  const std::string line =
      fmt::format("{{\"step\": {}, {}\"samples\": [{}]}}\n", step, is_skipped ? "\"skipped\": true, " : "", fmt::join(samples, ", "));
  const ssize_t written = ::write(file_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return;
  fail(ErrorKind::kDisk, "{}: cannot write: {} ({} bytes free there); make room and start again with --resume_from_checkpoint latest",
       path_, std::strerror(written < 0 ? errno : ENOSPC), free_disk_bytes(path_));
}

std::string list_samples(std::span<const std::int64_t> samples) {
  constexpr std::size_t kListed = 64;
  const auto shown = samples.first(std::min(kListed, samples.size()));
  return fmt::format("{}{}", fmt::join(shown, ", "), samples.size() > kListed ? fmt::format(" and {} more", samples.size() - kListed) : "");
}

}  // namespace r1::train
