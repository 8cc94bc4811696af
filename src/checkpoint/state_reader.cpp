#include "checkpoint/state_reader.h"

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "io/hdf5_file.h"

namespace r1::checkpoint {
namespace {

constexpr int kIndexFormat = 1;

}  // namespace

void write_index(const std::string& folder, const StateLayout& state, const FilePlan& plan) {
  Json files = Json::array(), datasets = Json::array();
  for (const DatasetEntry& dataset : state.datasets()) {
    datasets.push_back(
        {{"name", dataset.name}, {"shape", dataset.shape}, {"num_elements", dataset.num_elements}, {"pieces", Json::array()}});
  }
  for (const PlannedFile& file : plan.files) {
    files.push_back({{"name", file.name}, {"node", file.node}, {"ranks", file.ranks}});
    for (std::size_t i = 0; i < file.pieces.size(); ++i) {
      const StatePiece& piece = file.pieces[i];
      datasets[static_cast<std::size_t>(piece.dataset)]["pieces"].push_back(
          {{"begin", piece.begin}, {"end", piece.end}, {"file", file.name}, {"dataset", file.datasets[i].name}});
    }
  }
  const Json index{{"format", kIndexFormat}, {"files", std::move(files)}, {"datasets", std::move(datasets)}};
  write_file_atomically(folder + "/" + kIndexName, index.dump(1) + "\n");
}

StateReader::StateReader(std::string folder, const Manifest& manifest) : folder_(std::move(folder)) {
  if (std::ranges::any_of(manifest.files, [](const FileEntry& file) { return file.name == kIndexName; })) {
    read_index(manifest);
    return;
  }
  for (const StateFile& file : manifest.state_files) {
    for (DatasetEntry dataset : file.datasets) {
      pieces_[dataset.name] = {{0, dataset.num_elements, file.name, dataset.name}};
      dataset.file_offset = 0;
      datasets_.push_back(std::move(dataset));
    }
  }
}

StateReader::~StateReader() = default;

void StateReader::read_index(const Manifest& manifest) {
  const std::string path = folder_ + "/" + kIndexName;
  const Json index = parse_json(read_file(path), path);
  try {
    if (index.at("format") != kIndexFormat)
      fail(ErrorKind::kData, "{}: expected format {}, found {}", path, kIndexFormat, index.at("format").dump());
    for (const Json& entry : index.at("datasets")) {
      const DatasetEntry& dataset = datasets_.emplace_back(
          DatasetEntry{entry.at("name"), entry.at("shape").get<std::vector<std::int64_t>>(), entry.at("num_elements"), 0});
      std::vector<Piece>& pieces = pieces_[dataset.name];
      for (const Json& piece : entry.at("pieces"))
        pieces.push_back({piece.at("begin"), piece.at("end"), piece.at("file"), piece.at("dataset")});
      std::ranges::sort(pieces, {}, &Piece::begin);
      std::int64_t at = 0;
      for (const Piece& piece : pieces) {
        const bool is_listed = std::ranges::any_of(manifest.state_files, [&](const StateFile& file) { return file.name == piece.file; });
        if (piece.begin != at || piece.end <= piece.begin || !is_listed) {
          fail(ErrorKind::kData, "{}: {}: expected a piece from element {} on in a file of the manifest, found [{}, {}) in {}", path,
               dataset.name, at, piece.begin, piece.end, piece.file);
        }
        at = piece.end;
      }
      if (at != dataset.num_elements)
        fail(ErrorKind::kData, "{}: {}: expected pieces for {} elements, found {}", path, dataset.name, dataset.num_elements, at);
    }
  } catch (const Json::exception& error) {
    fail(ErrorKind::kData, "{}: {}", path, error.what());
  }
}

void StateReader::read(const std::string& dataset, std::int64_t begin, std::span<float> values) {
  const std::int64_t end = begin + static_cast<std::int64_t>(values.size());
  for (const Piece& piece : pieces_.at(dataset)) {
    const std::int64_t from = std::max(begin, piece.begin), to = std::min(end, piece.end);
    if (from >= to) continue;
    std::unique_ptr<io::Hdf5File>& file = files_[piece.file];
    if (file == nullptr) file = std::make_unique<io::Hdf5File>(io::Hdf5File::open(folder_ + "/" + piece.file));
    file->read(piece.dataset, from - piece.begin,
               values.subspan(static_cast<std::size_t>(from - begin), static_cast<std::size_t>(to - from)));
  }
}

}  // namespace r1::checkpoint
