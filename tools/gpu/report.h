// What gpu_check found: one JSON file and one table.
#pragma once

#include <string>

#include "base/json.h"

namespace r1::gpu {

enum class Outcome { kPassed, kFailed, kNotRun, kMeasured };

class Report {
 public:
  /// Prints a heading; the lines that follow belong to the section.
  void section(const std::string& name);
  /// One line of the table and one object of the section. `details` are further keys.
  void line(const std::string& name, Outcome outcome, const std::string& text, Json details = Json::object());
  /// A key of the file's first level.
  void set(const std::string& key, Json value) { root_[key] = std::move(value); }
  int count(Outcome outcome) const { return counts_[static_cast<int>(outcome)]; }
  void write(const std::string& path) const;

 private:
  Json root_ = Json::object();
  std::string section_;
  int counts_[4] = {0, 0, 0, 0};
};

}  // namespace r1::gpu
