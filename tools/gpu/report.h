// What gpu_check found: one JSON file and one table.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace r1::gpu {

/// The first four are of checks and measurements; kFound and kNotFound of libraries and devices; the others of goals, which fail nothing.
enum class Outcome { kPassed, kFailed, kNotRun, kMeasured, kFound, kNotFound, kMet, kMissed, kNotMeasured };

/// As the file has it: "passed", "failed", "not run", …
const char* name_of(Outcome outcome);

/// What a line says of work that the time did not reach.
inline constexpr const char* kTimeIsUp = "the time is up";

/// The file is written after every line, so that whatever happens next loses nothing. In a child process nothing is written: its parent
/// is told instead.
class Report {
 public:
  /// before: what an earlier run of other parts left in the file, or an empty object. A section of it stays until this run opens it.
  Report(std::string path, Json before) : path_(std::move(path)), root_(std::move(before)) {}
  /// Of a child process. skip: items that it leaves out.
  Report(std::function<void(const Json&)> tell, std::set<std::string> skip) : tell_(std::move(tell)), skip_(std::move(skip)) {}

  /// The lines that follow belong to the section. Prints a heading where another section was open. keep: what an earlier run left in it
  /// stays.
  void section(const std::string& name, bool keep = false);
  /// One line of the table and one object of the section. `details` are further keys.
  void line(const std::string& name, Outcome outcome, const std::string& text, Json details = Json::object());
  /// A key of the file's first level.
  void set(const std::string& key, Json value);
  /// A key of an object on the first level.
  void set(const std::string& object, const std::string& key, Json value);

  /// Before an item of work that may end the process; false: leave it out. is_preparation: the next process needs it again.
  bool begin(const std::string& item, bool is_preparation = false);

  /// What a child told.
  void take(const Json& message);

  const Json& json() const { return root_; }
  /// Lines of this run.
  int count(Outcome outcome) const {
    const auto found = counts_.find(outcome);
    return found == counts_.end() ? 0 : found->second;
  }
  /// Lines of the whole file.
  int total(Outcome outcome) const;
  void write();

 private:
  std::string path_, section_;
  Json root_ = Json::object();
  std::set<std::string> opened_;
  std::map<Outcome, int> counts_;
  std::function<void(const Json&)> tell_;
  std::set<std::string> skip_;
  bool has_told_of_the_disk_ = false;
};

}  // namespace r1::gpu
