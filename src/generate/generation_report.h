// What a generation run came to: the table at its end and the page beside its output.
#pragma once

#include <functional>
#include <string>

#include "config/generate_config.h"
#include "engine/engine.h"
#include "generate/sample_journal.h"

namespace r1::generate {

struct GenerationSummary {
  double seconds = 0;
  int num_ranks = 1;
  engine::EngineStats engine;  // of rank 0; all zero when nothing was left to do
};

/// Prints the summary and writes _report.html into the output folder (the underscore keeps it out of the data set's files). Reads the
/// samples that the journals still hold: those of this run.
void write_generation_report(const config::GenerateConfig& config, const SampleGrid& grid, const SampleJournal& journal,
                             const GenerationSummary& summary, const std::function<std::string(std::int64_t row)>& prompt_text);

}  // namespace r1::generate
