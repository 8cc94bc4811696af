#include "report/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

#include "base/log.h"
#include "base/profile.h"
#include "base/strings.h"

namespace r1::report {
namespace {

constexpr std::size_t kSpeedWindow = 20;

// Columns of a valid UTF-8 text, taking each code point as one: wide characters do not occur in our own words.
std::string cut_to(const std::string& text, std::size_t width) {
  if (count_code_points(text) <= width) return text;
  std::size_t position = 0;
  for (std::size_t i = 0; i + 1 < width; ++i) next_code_point(text, position);
  return text.substr(0, position) + "…";
}

void write_stderr(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // a closed terminal must not end the run
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string progress_line(std::string_view unit, const ProgressState& state) {
  std::string line = fmt::format("{} {}", unit, state.done);
  if (state.total > 0) line += fmt::format("/{}", state.total);
  auto add = [&](const std::string& part) { line += " · " + part; };
  if (state.loss) add(fmt::format("loss {:.4f}", *state.loss));
  if (state.reward) add(fmt::format("reward {:.3f}", *state.reward));
  for (const auto& [name, value] : state.more) add(name + " " + value);
  if (state.tokens_per_second) add(format_count(*state.tokens_per_second) + " tokens/s");
  if (state.fraction_of_peak) add(fmt::format("{:.0f} % of peak", 100 * *state.fraction_of_peak));
  if (state.seconds_left) add(format_seconds(*state.seconds_left) + " left");
  return line;
}

std::string progress_bar(std::string_view unit, const ProgressState& state, int width) {
  const std::string line = progress_line(unit, state);
  constexpr int kBarColumns = 20;
  if (state.total <= 0 || width < 2 * kBarColumns) return cut_to(line, static_cast<std::size_t>(std::max(width, 2)));
  const std::int64_t filled = std::clamp<std::int64_t>(state.done * kBarColumns / state.total, 0, kBarColumns);
  std::string bar;
  for (int column = 0; column < kBarColumns; ++column) bar += column < filled ? "━" : "╌";
  return cut_to(bar + " " + line, static_cast<std::size_t>(width));
}

struct Progress::Impl {
  ProgressOptions options;
  bool on_terminal = false;
  std::mutex mutex;
  bool drawn = false;  // the bar stands on the terminal's last line
  bool finished = false;
  std::optional<ProgressState> last;
  std::int64_t last_line_done = -1;
  double last_shown = 0;
  std::deque<std::pair<double, std::int64_t>> window;  // (seconds, done) of the last updates

  static std::atomic<Impl*> active;

  double now() const { return options.clock != nullptr ? options.clock() : now_seconds(); }

  // Called by the log, under its mutex, before it writes a line.
  static void clear_active() {
    Impl* impl = active.load();
    if (impl == nullptr) return;
    std::lock_guard lock(impl->mutex);
    impl->clear();
  }

  void clear() {
    if (!drawn) return;
    write_stderr("\r\033[K");
    drawn = false;
  }

  std::optional<double> seconds_left(double time, std::int64_t done, std::int64_t total) {
    window.emplace_back(time, done);
    if (window.size() > kSpeedWindow) window.pop_front();
    const double seconds = time - window.front().first;
    const std::int64_t advanced = done - window.front().second;
    if (total <= 0 || advanced <= 0 || seconds <= 0) return std::nullopt;
    return seconds / static_cast<double>(advanced) * static_cast<double>(std::max<std::int64_t>(0, total - done));
  }
};

std::atomic<Progress::Impl*> Progress::Impl::active{nullptr};

Progress::Progress(ProgressOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  impl_->on_terminal = impl_->options.on_terminal.value_or(::isatty(STDERR_FILENO) == 1);
  impl_->window.emplace_back(impl_->now(), 0);
  if (impl_->on_terminal) {
    Impl::active = impl_.get();
    log::set_before_line(&Impl::clear_active);
  }
}

Progress::~Progress() { finish(); }

void Progress::update(ProgressState state) {
  const double time = impl_->now();
  if (impl_->last && state.done < impl_->last->done) impl_->window.clear();
  // The first count of a resumed run is not work of this process.
  if (!impl_->last && state.done > 1) impl_->window = {{time, state.done}};
  const std::optional<double> seconds_left = impl_->seconds_left(time, state.done, state.total);
  if (!state.seconds_left) state.seconds_left = seconds_left;
  const bool first = !impl_->last;
  const bool last = state.total > 0 && state.done >= state.total;
  if (impl_->finished || !log::enabled(log::Level::kInfo)) {
    impl_->last = std::move(state);
    return;
  }
  if (impl_->on_terminal) {
    std::lock_guard lock(impl_->mutex);
    if (first || last || !impl_->drawn || time - impl_->last_shown >= impl_->options.redraw_interval_seconds) {
      write_stderr("\r\033[K" + progress_bar(impl_->options.unit, state, terminal_width() - 1));
      impl_->drawn = true;
      impl_->last_shown = time;
    }
  } else if (first || last || time - impl_->last_shown >= impl_->options.line_interval_seconds) {
    log::info("{}", progress_line(impl_->options.unit, state));
    impl_->last_shown = time;
    impl_->last_line_done = state.done;
  }
  impl_->last = std::move(state);
}

void Progress::finish() {
  if (impl_->finished) return;
  impl_->finished = true;
  // The last line stays: on a terminal it replaces the bar (the log clears it first).
  if (impl_->last && impl_->last_line_done != impl_->last->done) {
    impl_->last->seconds_left.reset();
    log::info("{}", progress_line(impl_->options.unit, *impl_->last));
  }
  if (impl_->on_terminal) {
    log::set_before_line(nullptr);
    Impl::active = nullptr;
    impl_->clear();
  }
}

}  // namespace r1::report
