#include "config/dataset_args.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/strings.h"

namespace r1::config {

void add_dataset_fields(FieldList& fields, DatasetArgs& args) {
  fields.group("Data", "data/dataset");
  fields.add("dataset_name", args.dataset_name,
             "File, folder, name under R1_DATA or the Hugging Face cache, or builtin/<task>[:key=value,…].");
  fields.add("dataset_config", args.dataset_config, "Named configuration (sub-folder) of the data set.");
  fields.add("dataset_train_split", args.dataset_train_split, "Split to train on.");
  fields.add("dataset_test_split", args.dataset_test_split, "Split to evaluate on; only read when there is an evaluation.");
  fields.add("dataset_mixture", args.dataset_mixture_map,
             "Several data sets: {datasets: [{id, config, split, columns, weight}], seed, test_split_size}.");
}

namespace {

// Reads the values of one struct through a field list, so that types, ranges and typos are treated as everywhere.
template <typename Declare>
void read_map(const Value& map, const std::string& place, Declare declare) {
  if (!map.is_map()) fail(ErrorKind::kConfig, "{}: expected a map, found {}", place, describe(map));
  FieldList fields;
  declare(fields);
  std::vector<Assignment> assignments;
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    assignments.push_back({.key = map.keys[i], .value = map.items[i], .source = Source::kFile, .where = place});
  }
  std::vector<std::string> notices;
  apply_assignments(fields, assignments, notices);
}

}  // namespace

DatasetMixture parse_dataset_mixture(const Dict& map, const std::string& place) {
  DatasetMixture mixture;
  const Value* datasets = map.root().find("datasets");
  if (datasets == nullptr || !datasets->is_list() || datasets->items.empty()) {
    fail(ErrorKind::kConfig, "{}: expected a list 'datasets' of maps with an id each, found {}", place,
         datasets == nullptr ? "no such key" : describe(*datasets));
  }
  Value rest;
  rest.kind = Value::Kind::kMap;
  for (std::size_t i = 0; i < map.keys().size(); ++i) {
    if (map.keys()[i] == "datasets") continue;
    rest.keys.push_back(map.keys()[i]);
    rest.items.push_back(map.root().items[i]);
  }
  read_map(rest, place, [&](FieldList& fields) {
    fields.add("seed", mixture.seed, "Seed of the shuffles.").at_least(0);
    fields.add("test_split_size", mixture.test_split_size, "Part for the test split: a fraction, or rows.").above(0);
    fields.unsupported("dataset", {}, "the key is 'datasets', a list");
  });
  if (mixture.test_split_size && *mixture.test_split_size >= 1 &&
      *mixture.test_split_size != static_cast<double>(static_cast<std::int64_t>(*mixture.test_split_size))) {
    fail(ErrorKind::kConfig, "{}: 'test_split_size': expected a fraction below 1 or a whole number of rows, found {}", place,
         *mixture.test_split_size);
  }

  std::optional<std::set<std::string>> columns;
  std::string first_with_columns;
  for (std::size_t i = 0; i < datasets->items.size(); ++i) {
    MixturePart part;
    const std::string part_place = fmt::format("{}, part {}", place, i + 1);
    read_map(datasets->items[i], part_place, [&](FieldList& fields) {
      fields.add("id", part.id, "Name of the data set.");
      fields.add("config", part.config, "Its configuration.");
      fields.add("split", part.split, "Its split.");
      fields.add("columns", part.columns, "Columns to keep.");
      fields.add("weight", part.weight, "Share of its rows to keep.").above(0).at_most(1);
    });
    if (part.id.empty()) fail(ErrorKind::kConfig, "{}: expected an 'id' (the data set's name), found none", part_place);
    if (!part.columns.empty()) {
      const std::set<std::string> names(part.columns.begin(), part.columns.end());
      if (columns && names != *columns) {
        auto text = [](const std::set<std::string>& set) { return join(std::vector<std::string>(set.begin(), set.end()), ", "); };
        fail(ErrorKind::kConfig, "{}: expected the columns of '{}' ({}), '{}' has ({}); give all parts the same columns", part_place,
             first_with_columns, text(*columns), part.id, text(names));
      }
      if (!columns) first_with_columns = part.id;
      columns = names;
    }
    mixture.parts.push_back(std::move(part));
  }
  return mixture;
}

}  // namespace r1::config
