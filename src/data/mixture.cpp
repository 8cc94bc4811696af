#include "data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/strings.h"

namespace r1::data {
namespace {

void check_equal_column_lists(const std::vector<MixturePart>& parts) {
  const MixturePart* first = nullptr;
  for (const MixturePart& part : parts) {
    if (part.columns.empty()) continue;
    if (first == nullptr) first = &part;
    if (std::set(part.columns.begin(), part.columns.end()) != std::set(first->columns.begin(), first->columns.end())) {
      fail(ErrorKind::kConfig, "dataset_mixture: expected the same columns in every part, found {} for {} and {} for {}",
           join(first->columns, ", "), first->request.name, join(part.columns, ", "), part.request.name);
    }
  }
}

DatasetPtr open_part(const MixturePart& part, std::uint64_t seed) {
  if (!(part.weight > 0 && part.weight <= 1)) {
    fail(ErrorKind::kConfig, "dataset_mixture: {}: weight: expected a share over 0 and at most 1, found {}", part.request.name,
         part.weight);
  }
  DatasetPtr rows = open_dataset(part.request);
  if (!part.columns.empty()) rows = select_columns(std::move(rows), part.columns, part.request.name);
  std::vector<std::int64_t> indices = shuffled_indices(rows->num_rows(), seed);
  indices.resize(static_cast<std::size_t>(static_cast<double>(indices.size()) * part.weight));
  if (indices.empty()) {
    fail(ErrorKind::kData, "dataset_mixture: {}: weight {} of {} rows leaves none", part.request.name, part.weight, rows->num_rows());
  }
  return select_rows(std::move(rows), std::move(indices));
}

// In the order of the first part.
std::vector<std::string> shared_columns(const std::vector<DatasetPtr>& parts, const MixtureRequest& request) {
  std::vector<std::string> shared;
  for (const std::string& column : parts.front()->column_names()) {
    if (std::all_of(parts.begin(), parts.end(), [&](const DatasetPtr& part) { return part->has_column(column); })) shared.push_back(column);
  }
  if (!shared.empty()) return shared;
  std::string found;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    found += fmt::format("{}{}: {}", i == 0 ? "" : "; ", request.parts[i].request.name, join(parts[i]->column_names(), ", "));
  }
  fail(ErrorKind::kData, "dataset_mixture: expected at least one column that all parts have, found none ({})", found);
}

std::int64_t test_rows(double size, std::int64_t num_rows) {
  const double rows = size < 1 ? std::ceil(size * static_cast<double>(num_rows)) : size;
  if (!(size > 0) || rows >= static_cast<double>(num_rows) || rows != std::floor(rows)) {
    fail(ErrorKind::kConfig, "dataset_mixture: test_split_size: expected a share below 1 or a number of rows below {}, found {}", num_rows,
         size);
  }
  return static_cast<std::int64_t>(rows);
}

}  // namespace

MixtureSplits open_mixture(const MixtureRequest& request) {
  if (request.parts.empty()) fail(ErrorKind::kConfig, "dataset_mixture: expected at least one data set, found none");
  check_equal_column_lists(request.parts);
  std::vector<DatasetPtr> parts;
  for (const MixturePart& part : request.parts) parts.push_back(open_part(part, request.seed));
  const std::vector<std::string> columns = shared_columns(parts, request);
  for (DatasetPtr& part : parts) part = select_columns(std::move(part), columns, "dataset_mixture");
  const DatasetPtr all = concatenate(std::move(parts));
  std::vector<std::int64_t> order = shuffled_indices(all->num_rows(), request.seed);
  if (!request.test_split_size) return {select_rows(all, std::move(order)), nullptr};
  const auto border = order.begin() + static_cast<std::ptrdiff_t>(test_rows(*request.test_split_size, all->num_rows()));
  return {select_rows(all, {border, order.end()}), select_rows(all, {order.begin(), border})};
}

}  // namespace r1::data
