// Parquet files as data sets.
#pragma once

#include <string>

#include "data/dataset.h"

namespace r1::data {

/// Rows are decoded a row group at a time; the groups used last stay in memory, up to 512 MiB per file. Throws Error(kData) for
/// a broken file, and when the Parquet module is missing (io/parquet_file.h).
DatasetPtr open_parquet(const std::string& path);

}  // namespace r1::data
