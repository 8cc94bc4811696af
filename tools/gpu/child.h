// Programs that gpu_check starts: with a limit of time, in a process of their own that may crash or hang.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/gpu/report.h"

namespace r1::gpu {

/// The time of the whole run.
class Budget {
 public:
  explicit Budget(double seconds);
  double seconds_left() const;
  /// Nothing is started in the last second: it could not say what it found.
  bool is_up() const { return seconds_left() < 1; }

 private:
  double end_;
};

/// Where things lie. `root` holds recipes/tiny, assets/chain and accelerate_configs; `bin` the programs; `work` is for what they write,
/// and is gone at the end; `logs` keeps what failed children wrote.
struct Places {
  std::string root, bin, work, logs, fixtures;
  const Budget* budget = nullptr;
};

struct Program {
  std::string name;  // in `bin`, or on the PATH
  std::vector<std::string> arguments;
  std::string environment;                          // NAME=value words
  std::string prefix;                               // words of the shell before it
  std::string input = "/dev/null";                  // the file that it reads as standard input
  double seconds = 120;                             // more is a hang
  double quiet_seconds = 0;                         // so long without a line is a hang; 0: may be silent
  std::function<void(const std::string&)> on_line;  // each line of its output as it comes
};

struct Child {
  int exit_code = -1;  // 128 + signal for a killed process
  std::string output;  // standard output and error
  bool is_hung = false, is_out_of_time = false;
  bool succeeded() const { return exit_code == 0 && !is_hung && !is_out_of_time; }
};

Child run_program(const Places& places, const Program& program);

/// Why a child did not succeed: hung, killed by a signal, or the last of what it wrote.
std::string problem_of(const Child& child);
/// FAILED with the reason, or "not run" when the time of the whole run ended it.
void report_failed_child(Report& report, const std::string& name, const Child& child);

/// What stands before our ELF files: R1_LAUNCHER (a loader, set by tools/gpu_check of a package) and a space, or nothing.
std::string launcher();
/// env … that gives a program of the host (Python) the libraries that it had before those of the package came first.
std::string host_environment();
std::string quoted(const std::string& text);
/// The path that the shell finds, or empty.
std::string path_of_program(const std::string& program);
/// The last 400 bytes or so of what a program wrote, on one line of valid UTF-8.
std::string tail_of(const std::string& output);

/// Every line of a file, or of a text, that is a JSON object; others are left out. No file: none.
std::vector<Json> json_lines(const std::string& text);
std::vector<Json> json_lines_of_file(const std::string& path);
double median(std::vector<double> values);

/// A part of gpu_check that uses the device in its process: run as a child of gpu_check itself. When it dies or hangs, the item that it had
/// begun is FAILED and another child goes on behind it. arguments() is asked before each of them.
void run_items(const Places& places, Report& report, const std::string& part, const std::function<std::vector<std::string>()>& arguments,
               double quiet_seconds);
/// The child's side: what Report tells its parent.
std::function<void(const Json&)> told_to_parent();
/// Its last word.
void tell_end();
inline constexpr char kItemSeparator = '|';
/// Of a child whose device gives no answer any more (an illegal access: everything behind it fails), after it has told what failed.
inline constexpr int kExitDeviceLost = 97;

}  // namespace r1::gpu
