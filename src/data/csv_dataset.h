// CSV files as data sets (RFC 4180: quotes, doubled quotes, line ends inside quotes).
#pragma once

#include <string>

#include "data/dataset.h"

namespace r1::data {

/// The first record names the columns. A column whose filled fields are all unquoted canonical integers (no leading zeros) holds
/// integers, all numbers: doubles, otherwise texts; an empty field without quotes is null. The whole file is checked when it
/// is opened: throws Error(kData) "file:line: …" for a record with another number of fields, an open quote, text behind a
/// closing quote, invalid UTF-8, a column name given twice.
DatasetPtr open_csv(const std::string& path);

}  // namespace r1::data
