// Several data sets as one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/open_dataset.h"

namespace r1::data {

struct MixturePart {
  DatasetRequest request;
  std::vector<std::string> columns;  // to keep; empty: all
  double weight = 1.0;               // share of its rows that is kept, over 0 and at most 1
};

struct MixtureRequest {
  std::vector<MixturePart> parts;
  std::uint64_t seed = 0;
  std::optional<double> test_split_size;  // below 1: a share (rounded up); else a number of rows
};

struct MixtureSplits {
  DatasetPtr train;
  DatasetPtr test;  // null without test_split_size
};

/// Each part: split opened, columns selected, rows shuffled with the seed, the first int(rows × weight) kept. Then all parts one
/// after another, shuffled with the seed, cut into test and train. The columns are those that all parts have.
/// Source: Open R1's get_dataset (../shared/reference/open_r1_behaviour.md §4). Throws Error(kConfig) for lists of columns that
/// differ as sets or a weight out of range, Error(kData) when the parts share no column or a split would be empty.
MixtureSplits open_mixture(const MixtureRequest& request);

}  // namespace r1::data
