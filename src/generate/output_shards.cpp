#include "generate/output_shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "io/parquet_file.h"
#include "io/parquet_schema.h"

namespace r1::generate {
namespace {

constexpr const char* kMetadataKey = "open_r1_hpc";

Json output_row(const OutputSettings& settings, Json row, std::span<const SampleRecord> samples) {
  Json generations = Json::array(), reasons = Json::array(), counts = Json::array(), ids = Json::array();
  for (const SampleRecord& sample : samples) {
    generations.push_back(sample.text);
    reasons.push_back(sample.finish_reason);
    counts.push_back(sample.ids.size());
    ids.push_back(sample.ids);
  }
  row["generations"] = std::move(generations);
  row["finish_reasons"] = std::move(reasons);
  row["num_tokens"] = std::move(counts);
  row["model_name"] = settings.model_name;
  if (settings.output_ids) row["generation_ids"] = std::move(ids);
  return row;
}

/// The columns of ours have their types whatever the samples are; the input's are those of all its rows, so that the parts agree.
Json output_schema(const OutputSettings& settings, const data::Dataset& dataset, const SampleGrid& grid) {
  Json schema = Json::object();
  std::vector<Json> rows;
  for (std::int64_t i = 0; i < grid.num_rows; ++i) {
    rows.push_back(dataset.row(i));
    if (static_cast<std::int64_t>(rows.size()) < grid.rows_per_part && i + 1 < grid.num_rows) continue;
    schema = schema.empty() ? io::infer_parquet_schema(rows) : io::merge_parquet_schemas(schema, io::infer_parquet_schema(rows));
    rows.clear();
  }
  schema["generations"] = Json{{"list", "string"}};
  schema["finish_reasons"] = Json{{"list", "string"}};
  schema["num_tokens"] = Json{{"list", "int64"}};
  schema["model_name"] = "string";
  if (settings.output_ids) schema["generation_ids"] = Json{{"list", Json{{"list", "int64"}}}};
  return schema;
}

}  // namespace

std::string part_path(const OutputSettings& settings, std::int64_t part) {
  const char* ending = settings.format == config::OutputFormat::kParquet ? "parquet" : "jsonl";
  return fmt::format("{}/part-{:05}.{}", settings.folder, part, ending);
}

void write_output(const OutputSettings& settings, const data::Dataset& dataset, const SampleJournal& journal, const Json& provenance) {
  const SampleGrid& grid = journal.grid();
  const bool is_parquet = settings.format == config::OutputFormat::kParquet;
  const Json schema = is_parquet ? output_schema(settings, dataset, grid) : Json();
  for (std::int64_t part = 0; part < grid.num_parts(); ++part) {
    const std::string path = part_path(settings, part);
    if (std::filesystem::exists(path)) continue;
    const std::vector<SampleRecord> samples = journal.read_part(part);
    std::vector<Json> rows;
    const auto num_samples = static_cast<std::size_t>(grid.num_samples);
    for (std::size_t i = 0; i < samples.size(); i += num_samples) {
      const std::int64_t row = part * grid.rows_per_part + static_cast<std::int64_t>(i / num_samples);
      rows.push_back(output_row(settings, dataset.row(row), std::span(samples).subspan(i, num_samples)));
    }
    if (is_parquet) {
      io::write_parquet(path, rows, {.schema = schema, .metadata = {{kMetadataKey, provenance.dump()}}});
      continue;
    }
    AtomicFile file(path);
    for (const Json& row : rows) file.write(to_json_line(row) + "\n");
    file.commit();
  }
  if (!is_parquet) write_file_atomically(settings.folder + "/provenance.json", provenance.dump(2) + "\n");
}

}  // namespace r1::generate
