#include "tools/gpu/report.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/files.h"

namespace r1::gpu {
namespace {

const char* word_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "passed";
    case Outcome::kFailed:
      return "FAILED";
    case Outcome::kNotRun:
      return "not run";
    case Outcome::kMeasured:
      return "measured";
  }
  return "";
}

}  // namespace

void Report::section(const std::string& name) {
  section_ = name;
  root_[name] = Json::array();
  fmt::print("\n== {}\n", name);
  std::fflush(stdout);
}

void Report::line(const std::string& name, Outcome outcome, const std::string& text, Json details) {
  ++counts_[static_cast<int>(outcome)];
  Json object = {{"name", name}, {"outcome", outcome == Outcome::kFailed ? "failed" : word_of(outcome)}, {"text", text}};
  object.update(details);
  root_[section_].push_back(std::move(object));
  if (outcome == Outcome::kNotRun) {
    fmt::print("{:<46} not run: {}\n", name, text);
  } else {
    fmt::print("{:<46} {:<8} {}\n", name, word_of(outcome), text);
  }
  std::fflush(stdout);
}

void Report::write(const std::string& path) const { write_file_atomically(path, root_.dump(1) + "\n"); }

}  // namespace r1::gpu
