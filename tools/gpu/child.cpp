#include "tools/gpu/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/profile.h"
#include "base/strings.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

constexpr double kGrace = 5;  // seconds between asking a process to end and ending it, and to wait for one that does not end even so

/// Without a zombie when it is over; false: it goes on.
bool has_ended(pid_t process, int& status) {
  const pid_t found = ::waitpid(process, &status, WNOHANG);
  return found == process || (found < 0 && errno == ECHILD);
}

bool ends_within(pid_t process, double seconds, int& status) {
  for (const double end = now_seconds() + seconds; now_seconds() < end; ::usleep(20'000)) {
    if (has_ended(process, status)) return true;
  }
  return false;
}

/// A process that a driver holds in the kernel cannot be killed: it is left behind then, with its pipe.
void end_group(pid_t process, int& status) {
  ::kill(-process, SIGTERM);
  if (!ends_within(process, kGrace, status)) {
    ::kill(-process, SIGKILL);
    ends_within(process, kGrace, status);
  }
  ::kill(-process, SIGKILL);  // what is left of the group
}

/// The shell's process, leader of a group of its own, writing into `pipe`.
pid_t start(const std::string& line, int pipe) {
  const pid_t parent = ::getpid(), process = ::fork();
  if (process != 0) return process;
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing holds the device when gpu_check is killed
  if (::getppid() != parent) ::_exit(127);
  ::dup2(pipe, STDOUT_FILENO);
  ::dup2(pipe, STDERR_FILENO);
  ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
  ::_exit(127);
}

/// Calls `on_line` for each complete line of what has come.
class Lines {
 public:
  explicit Lines(const std::function<void(const std::string&)>& on_line) : on_line_(on_line) {}
  void add(const char* piece, std::size_t count) {
    if (!on_line_) return;
    rest_.append(piece, count);
    for (std::size_t end = 0; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) on_line_(rest_.substr(0, end));
  }

 private:
  const std::function<void(const std::string&)>& on_line_;
  std::string rest_;
};

std::string command_line(const Places& places, const Program& program) {
  const std::string own = places.bin + "/" + program.name;
  std::string line = "exec " + (program.environment.empty() ? "" : "env " + program.environment + " ") + program.prefix;
  if (program.name == "gpu_check") line += launcher();  // the package's other programs are scripts that put it in themselves
  line += quoted(fs::exists(own) ? own : program.name);
  for (const std::string& argument : program.arguments) line += " " + quoted(argument);
  return line + " <" + quoted(program.input);
}

void keep_log(const Places& places, const Program& program, const Child& child) {
  static int number = 0;
  if (places.logs.empty()) return;
  fs::create_directories(places.logs);
  const std::string name = fs::path(program.name).filename().string();
  write_file_atomically(fmt::format("{}/{:03}_{}.txt", places.logs, ++number, name),
                        command_line(places, program) + "\n" + problem_of(child) + "\n\n" + child.output);
}

/// One process from its start to its end.
class Watched {
 public:
  Watched(const Program& program, double budget)
      : program_(program), budget_(budget), begin_(now_seconds()), last_output_(begin_), lines_(program.on_line) {}

  Child run(const std::string& line) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail(ErrorKind::kInternal, "{}: no pipe: {}", program_.name, std::strerror(errno));
    process_ = start(line, ends[1]);
    ::close(ends[1]);
    if (process_ < 0) fail(ErrorKind::kInternal, "{}: no process: {}", program_.name, std::strerror(errno));
    watch(ends[0]);
    ::close(ends[0]);
    if (!is_over_ && !ends_within(process_, kGrace, status_)) {
      child_.is_hung = true;
      end_group(process_, status_);
    }
    child_.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
    return std::move(child_);
  }

 private:
  /// Until its output ends, it does, or its time.
  void watch(int output) {
    for (;;) {
      pollfd one{output, POLLIN, 0};
      ::poll(&one, 1, 100);
      if (one.revents != 0) {
        if (!read_some(output)) return;
      } else if ((is_over_ = has_ended(process_, status_))) {
        return;  // though something that it started still holds the pipe
      }
      const double now = now_seconds();
      const bool is_silent = program_.quiet_seconds > 0 && now - last_output_ > program_.quiet_seconds;
      if (now - begin_ < std::min(program_.seconds, budget_) && !is_silent) continue;
      (budget_ <= program_.seconds && !is_silent ? child_.is_out_of_time : child_.is_hung) = true;
      end_group(process_, status_);
      is_over_ = true;
      return;
    }
  }

  bool read_some(int output) {
    char piece[65536];
    const ssize_t count = ::read(output, piece, sizeof piece);
    if (count <= 0) return false;
    last_output_ = now_seconds();
    child_.output.append(piece, static_cast<std::size_t>(count));
    lines_.add(piece, static_cast<std::size_t>(count));
    return true;
  }

  const Program& program_;
  double budget_, begin_, last_output_;
  Lines lines_;
  Child child_;
  pid_t process_ = -1;
  int status_ = 0;
  bool is_over_ = false;
};

constexpr std::string_view kMessage = "@gpu_check ";
constexpr int kMostDeathsInARow = 6;

}  // namespace

Budget::Budget(double seconds) : end_(now_seconds() + seconds) {}
double Budget::seconds_left() const { return end_ - now_seconds(); }

Child run_program(const Places& places, const Program& program) {
  if (places.budget != nullptr && places.budget->is_up()) return {.is_out_of_time = true};
  Watched watched(program, places.budget != nullptr ? places.budget->seconds_left() : HUGE_VAL);
  Child child = watched.run(command_line(places, program));
  if (!child.succeeded()) keep_log(places, program, child);
  return child;
}

std::string problem_of(const Child& child) {
  const std::string tail = child.output.empty() ? "" : ": " + tail_of(child.output);
  if (child.is_out_of_time) return kTimeIsUp;
  if (child.is_hung) return "it hung and was ended" + tail;
  if (child.exit_code > 128 && child.exit_code < 160)
    return fmt::format("killed by signal {} ({}){}", child.exit_code - 128, ::strsignal(child.exit_code - 128), tail);
  return fmt::format("exit code {}{}", child.exit_code, tail);
}

void report_failed_child(Report& report, const std::string& name, const Child& child) {
  report.line(name, child.is_out_of_time ? Outcome::kNotRun : Outcome::kFailed, problem_of(child));
}

std::string launcher() {
  const char* words = std::getenv("R1_LAUNCHER");
  return words != nullptr && *words != '\0' ? std::string(words) + " " : "";
}

std::string host_environment() { return "env ${R1_HOST_LIBRARIES+LD_LIBRARY_PATH=\"$R1_HOST_LIBRARIES\"} "; }

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string path_of_program(const std::string& program) {
  FILE* pipe = ::popen(("command -v " + quoted(program) + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return {};
  char piece[4096];
  std::string path;
  for (std::size_t count = 0; (count = std::fread(piece, 1, sizeof piece, pipe)) > 0;) path.append(piece, count);
  ::pclose(pipe);
  return std::string(trim(path));
}

std::string tail_of(const std::string& output) {
  constexpr std::size_t kLength = 400;
  std::string text = replace_invalid_utf8(output);
  if (text.size() > kLength) {
    std::size_t begin = text.size() - kLength;
    while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) ++begin;
    text = "…" + text.substr(begin);
  }
  for (char& c : text) c = c == '\n' || c == '\r' ? ' ' : c;
  return std::string(trim(text));
}

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> rows;
  for (const std::string& line : split(text, '\n')) {
    if (line.empty() || line.front() != '{') continue;
    Json row = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (row.is_object()) rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Json> json_lines_of_file(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error) ? json_lines(read_file(path)) : std::vector<Json>{};
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[values.size() / 2] : (values[values.size() / 2 - 1] + values[values.size() / 2]) / 2;
}

namespace {

/// What one child of a part has told so far.
struct Told {
  std::string item;  // that it began last
  bool is_preparation = false, has_failed = false, has_ended = false, has_succeeded = false;
};

void take(Report& report, const std::string& line, Told& told, std::vector<std::string>& done) {
  if (!line.starts_with(kMessage)) return;
  const Json message = Json::parse(line.substr(kMessage.size()), nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) return;
  if (message.contains("end")) {
    told.has_ended = true;
  } else if (message.contains("begin")) {
    told.item = message.value("begin", "");
    told.has_failed = false;
    told.is_preparation = message.value("is_preparation", false);
    if (!told.is_preparation) done.push_back(told.item);
  } else {
    const std::string outcome = message.value("outcome", "");
    told.has_failed |= outcome == name_of(Outcome::kFailed);
    told.has_succeeded |= outcome == name_of(Outcome::kPassed) || outcome == name_of(Outcome::kMeasured);
    report.take(message);
  }
}

std::string without_messages(const std::string& output) {
  std::string rest;
  for (const std::string& line : split(output, '\n')) {
    if (!line.empty() && !line.starts_with(kMessage)) rest += line + "\n";
  }
  return rest;
}

}  // namespace

void run_items(const Places& places, Report& report, const std::string& part, const std::function<std::vector<std::string>()>& arguments,
               double quiet_seconds) {
  if (const char* patience = std::getenv("R1_GPU_CHECK_PATIENCE")) quiet_seconds = std::atof(patience);  // for tests
  std::vector<std::string> done;
  for (int deaths = 0; deaths < kMostDeathsInARow; ++deaths) {
    Told told;
    Program program{.name = "gpu_check", .arguments = arguments(), .seconds = 1e9, .quiet_seconds = quiet_seconds};
    program.arguments.insert(program.arguments.begin(), {"--child", part});
    if (!done.empty()) program.arguments.insert(program.arguments.end(), {"--skip", join(done, std::string(1, kItemSeparator))});
    program.on_line = [&](const std::string& line) { take(report, line, told, done); };
    Child child = run_program(places, program);
    if (told.has_ended && child.succeeded()) return;
    child.output = without_messages(child.output);
    // A child that lost the device has said why.
    const bool is_told = told.has_failed && child.exit_code == kExitDeviceLost && !child.is_out_of_time;
    if (!is_told) report_failed_child(report, told.item.empty() ? part : told.item, child);
    // Without an item that could be left out the next one would end in the same way.
    if (child.is_out_of_time || told.item.empty() || told.has_ended) return;
    if (told.is_preparation) done.push_back(told.item);
    if (told.has_succeeded) deaths = 0;
  }
  report.line("the rest of " + part, Outcome::kNotRun, fmt::format("{} processes in a row died", kMostDeathsInARow));
}

std::function<void(const Json&)> told_to_parent() {
  return [](const Json& message) {
    // With a line break before it: what a library wrote last may have none.
    const std::string text = fmt::format("\n{}{}\n", kMessage, message.dump(-1, ' ', false, Json::error_handler_t::replace));
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
}

void tell_end() { told_to_parent()({{"end", true}}); }

}  // namespace r1::gpu
