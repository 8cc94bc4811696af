#include "tools/gpu/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"

namespace r1::gpu {
namespace {

constexpr Outcome kOutcomes[] = {Outcome::kPassed,   Outcome::kFailed, Outcome::kNotRun, Outcome::kMeasured,   Outcome::kFound,
                                 Outcome::kNotFound, Outcome::kMet,    Outcome::kMissed, Outcome::kNotMeasured};

Outcome outcome_of(const std::string& name) {
  for (const Outcome outcome : kOutcomes) {
    if (name == name_of(outcome)) return outcome;
  }
  return Outcome::kFailed;  // a child that says anything else is broken
}

}  // namespace

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "passed";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kNotRun:
      return "not run";
    case Outcome::kMeasured:
      return "measured";
    case Outcome::kFound:
      return "found";
    case Outcome::kNotFound:
      return "not found";
    case Outcome::kMet:
      return "met";
    case Outcome::kMissed:
      return "missed";
    case Outcome::kNotMeasured:
      return "not measured";
  }
  return "";
}

void Report::section(const std::string& name, bool keep) {
  if (section_ == name) return;
  section_ = name;
  if (tell_) return;
  if (opened_.insert(name).second && !(keep && root_.contains(name))) root_[name] = Json::array();
  fmt::print("\n== {}\n", name);
  std::fflush(stdout);
}

void Report::line(const std::string& name, Outcome outcome, const std::string& text, Json details) {
  if (tell_) {
    return tell_({{"section", section_}, {"name", name}, {"outcome", name_of(outcome)}, {"text", text}, {"details", details}});
  }
  ++counts_[outcome];
  Json object = {{"name", name}, {"outcome", name_of(outcome)}, {"text", text}};
  object.update(details);
  root_[section_].push_back(std::move(object));
  const bool is_quiet = outcome == Outcome::kNotRun || outcome == Outcome::kNotFound || outcome == Outcome::kNotMeasured;
  const char* word = outcome == Outcome::kFailed ? "FAILED" : outcome == Outcome::kMissed ? "MISSED" : name_of(outcome);
  fmt::print("{:<46} {:<8}{} {}\n", name, word, is_quiet ? ":" : "", text);
  std::fflush(stdout);
  write();
}

void Report::set(const std::string& key, Json value) {
  if (tell_) return tell_({{"set", key}, {"value", std::move(value)}});
  root_[key] = std::move(value);
  write();
}

void Report::set(const std::string& object, const std::string& key, Json value) {
  if (tell_) return tell_({{"object", object}, {"set", key}, {"value", std::move(value)}});
  root_[object][key] = std::move(value);
  write();
}

bool Report::begin(const std::string& item, bool is_preparation) {
  if (skip_.contains(item)) return false;
  if (!tell_) return true;
  tell_({{"begin", item}, {"is_preparation", is_preparation}});
  const char *dies = std::getenv("R1_GPU_CHECK_DIES_AT"), *hangs = std::getenv("R1_GPU_CHECK_HANGS_AT");  // for tests
  if (dies != nullptr && item == dies) std::raise(SIGSEGV);
  if (hangs != nullptr && item == hangs) ::pause();
  return true;
}

void Report::take(const Json& message) {
  if (message.contains("outcome")) {
    section(message.at("section"));
    line(message.at("name"), outcome_of(message.at("outcome")), message.at("text"), message.at("details"));
  } else if (message.contains("object")) {
    set(message.at("object"), message.at("set"), message.at("value"));
  } else if (message.contains("set")) {
    set(message.at("set").get<std::string>(), message.at("value"));
  }
}

int Report::total(Outcome outcome) const {
  int count = 0;
  for (const auto& [name, section] : root_.items()) {
    if (!section.is_array()) continue;
    for (const Json& one : section) count += one.is_object() && one.value("outcome", "") == name_of(outcome);
  }
  return count;
}

void Report::write() {
  try {
    write_file_atomically(path_, root_.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
  } catch (const Error& error) {  // the table on the screen is still there
    if (!has_told_of_the_disk_) fmt::print(stderr, "gpu_check: {}\n", error.what());
    has_told_of_the_disk_ = true;
  }
}

}  // namespace r1::gpu
