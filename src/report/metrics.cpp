#include "report/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "report/json_rows.h"
#include "report/tensorboard.h"

namespace r1::report {
namespace {

double unix_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

LoggedRow row_of(const Json& object, const std::string& where) {
  LoggedRow row;
  const auto step = object.is_object() ? object.find("step") : object.end();
  if (!object.is_object() || step == object.end() || !step->is_number_integer()) {
    fail(ErrorKind::kData, "{}: expected an object with an integer \"step\"; move the file away to start a fresh one", where);
  }
  row.step = step->get<std::int64_t>();
  for (const auto& [key, value] : object.items()) {
    if (key == "step") continue;
    if (key == "epoch" && value.is_number()) row.epoch = value.get<double>();
    else if (value.is_boolean()) row.values.set(key, value.get<bool>());
    else if (value.is_number_integer()) row.values.set(key, value.get<std::int64_t>());
    else if (value.is_number()) row.values.set(key, value.get<double>());
    else if (value.is_null()) row.values.set(key, std::nan(""));
    else if (value.is_string()) row.values.set(key, value.get<std::string>());
  }
  return row;
}

/// Calls line(text, its number from 1) for each line; a last line without its newline is torn and comes with whole = false.
template <typename Line>
void for_each_line(std::string_view content, Line&& line) {
  std::size_t begin = 0;
  for (int number = 1; begin < content.size(); ++number) {
    const std::size_t end = content.find('\n', begin);
    const bool whole = end != std::string_view::npos;
    line(content.substr(begin, whole ? end - begin : end), number, whole);
    begin = whole ? end + 1 : content.size();
  }
}

}  // namespace

Json json_of(const MetricValue& value) {
  return std::visit(
      [](const auto& held) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, double>) {
          if (!std::isfinite(held)) return nullptr;
        }
        return held;
      },
      value);
}

void add_values(Json& object, const MetricRow& values) {
  for (const auto& [name, value] : values.values()) object[name] = json_of(value);
}

std::optional<double> MetricRow::number(std::string_view name) const {
  for (const auto& [held, value] : values_) {
    if (held != name) continue;
    if (const auto* real = std::get_if<double>(&value)) return *real;
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* truth = std::get_if<bool>(&value)) return *truth ? 1.0 : 0.0;
    return std::nullopt;
  }
  return std::nullopt;
}

void MetricRow::put(std::string name, MetricValue value) {
  for (auto& [held, old] : values_) {
    if (held == name) {
      old = std::move(value);
      return;
    }
  }
  values_.emplace_back(std::move(name), std::move(value));
}

std::int64_t cut_rows_after_step(const std::string& path, std::int64_t step) {
  if (!std::filesystem::exists(path)) return 0;
  const std::string content = read_file(path);
  std::string kept, lost;
  std::int64_t num_lost = 0;
  for_each_line(content, [&](std::string_view line, int number, bool whole) {
    const std::string where = fmt::format("{}:{}", path, number);
    // A process that was killed may have left half a line; it belongs to a step whose end nobody saw.
    const bool keep = whole && row_of(parse_json(line, where), where).step <= step;
    if (!keep) ++num_lost;
    (keep ? kept : lost).append(line).push_back('\n');
  });
  if (num_lost == 0) return 0;
  write_file_atomically(fmt::format("{}.lost-{}", path, static_cast<std::int64_t>(unix_seconds())), lost);
  write_file_atomically(path, kept);
  return num_lost;
}

struct MetricsSink::Impl {
  std::string path;
  int file = -1;
  std::unique_ptr<EventFileWriter> events;
  std::vector<LoggedRow> history;

  ~Impl() {
    if (file >= 0) ::close(file);
  }

  [[noreturn]] void fail_write(const char* action, int error) const {
    fail(ErrorKind::kDisk, "{}: cannot {}: {} ({} bytes free there); choose another folder or make room", path, action,
         std::strerror(error), free_disk_bytes(path));
  }
};

MetricsSink::MetricsSink(const MetricsOptions& options) : impl_(std::make_unique<Impl>()) {
  make_directories(options.output_dir);
  impl_->path = options.output_dir + "/metrics.jsonl";
  int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  if (options.resumed_from_step) {
    cut_rows_after_step(impl_->path, *options.resumed_from_step);
    if (std::filesystem::exists(impl_->path)) {
      for_each_line(read_file(impl_->path), [&](std::string_view line, int number, bool) {
        const std::string where = fmt::format("{}:{}", impl_->path, number);
        impl_->history.push_back(row_of(parse_json(line, where), where));
      });
    }
  } else {
    flags |= O_TRUNC;
  }
  impl_->file = ::open(impl_->path.c_str(), flags, 0644);
  if (impl_->file < 0) impl_->fail_write("create this file", errno);
  if (options.tensorboard) {
    const std::string folder = options.output_dir + "/runs";
    make_directories(folder);
    impl_->events = std::make_unique<EventFileWriter>(folder);
  }
}

MetricsSink::~MetricsSink() = default;

void MetricsSink::log(std::int64_t step, double epoch, const MetricRow& values) {
  Json object = {{"step", step}, {"epoch", json_of(epoch)}};
  add_values(object, values);
  const std::string line = to_json_line(object) + "\n";
  const ssize_t written = ::write(impl_->file, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size())) impl_->fail_write("write", written < 0 ? errno : ENOSPC);
  if (impl_->events) {
    std::vector<std::pair<std::string, double>> scalars;
    for (const auto& [name, value] : values.values()) {
      const std::optional<double> number = values.number(name);
      if (!number) continue;
      const bool evaluation = name.starts_with("eval_");
      scalars.emplace_back(evaluation ? "eval/" + name.substr(5) : "train/" + name, *number);
    }
    scalars.emplace_back("train/epoch", epoch);
    impl_->events->add_scalars(step, unix_seconds(), scalars);
  }
  impl_->history.push_back({step, epoch, values});
}

const std::vector<LoggedRow>& MetricsSink::history() const { return impl_->history; }

}  // namespace r1::report
