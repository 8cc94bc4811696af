// part-*.parquet or part-*.jsonl: one row per input row, in input order.
#pragma once

#include <string>

#include "config/generate_config.h"
#include "data/dataset.h"
#include "generate/sample_journal.h"

namespace r1::generate {

struct OutputSettings {
  std::string folder;
  config::OutputFormat format = config::OutputFormat::kParquet;
  std::string model_name;
  bool output_ids = false;
};

/// folder/part-00003.parquet
std::string part_path(const OutputSettings& settings, std::int64_t part);

/// Writes every part that is not there yet from the journal, with all input columns + generations, finish_reasons, num_tokens,
/// model_name and, when wanted, generation_ids. provenance (a JSON object) goes into each Parquet file's metadata under the key
/// "open_r1_hpc", or beside JSONL parts as provenance.json. Throws Error(kDisk), Error(kData).
void write_output(const OutputSettings& settings, const data::Dataset& dataset, const SampleJournal& journal, const Json& provenance);

}  // namespace r1::generate
