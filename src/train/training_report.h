// report.html of a training run.
#pragma once

#include <string>
#include <vector>

#include "config/common_config.h"
#include "report/html_report.h"
#include "train/trainer.h"

namespace r1::train {

class TrainingReport {
 public:
  /// kind: "SFT" or "GRPO".
  TrainingReport(const config::CommonConfig& config, std::string kind) : config_(config), kind_(std::move(kind)) {}

  std::vector<report::CompletionRecord>& completions() { return completions_; }
  void add_note(std::string note) { notes_.push_back(std::move(note)); }
  void add_table(report::Table table) { tables_.push_back(std::move(table)); }
  void write(const std::string& path, const std::vector<report::LoggedRow>& history, const TrainResult& result) const;

 private:
  const config::CommonConfig& config_;
  std::string kind_;
  std::vector<report::CompletionRecord> completions_;
  std::vector<std::string> notes_;
  std::vector<report::Table> tables_;
};

/// "22 November 2026 14:05, host n042, r1_train 0.1.0".
std::string run_subtitle(const std::string& program);

}  // namespace r1::train
