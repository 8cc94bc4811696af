// Which data: one data set or a mixture of several.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"

namespace r1::config {

/// One part of a mixture: the split is loaded, its columns selected, shuffled with the mixture's seed, and the first
/// int(rows * weight) rows are kept.
struct MixturePart {
  std::string id;
  std::optional<std::string> config;
  std::string split = "train";
  std::vector<std::string> columns;  // empty: all
  double weight = 1.0;
};

/// Parts are concatenated and shuffled with the seed, then split into train and test when test_split_size is given.
struct DatasetMixture {
  std::vector<MixturePart> parts;
  std::int64_t seed = 0;
  std::optional<double> test_split_size;  // a fraction below 1, or a number of rows
};

struct DatasetArgs {
  std::string dataset_name;
  std::optional<std::string> dataset_config;
  std::string dataset_train_split = "train", dataset_test_split = "test";
  Dict dataset_mixture_map;                       // as given
  std::optional<DatasetMixture> dataset_mixture;  // parsed and checked from it
};

void add_dataset_fields(FieldList& fields, DatasetArgs& args);

/// Parses and checks the map of `dataset_mixture`. place starts each message (file:line or flag). Throws Error(kConfig): no list
/// `datasets`, an unknown key (with the nearest), a part without id, parts whose given columns are not equal as sets.
DatasetMixture parse_dataset_mixture(const Dict& map, const std::string& place);

}  // namespace r1::config
