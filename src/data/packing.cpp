#include "data/packing.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/error.h"

namespace r1::data {
namespace {

// Pieces of rows [first_row, first_row + count), each at most max_length long.
std::vector<Piece> cut_rows(std::span<const std::int64_t> lengths, std::int64_t first_row, std::int64_t max_length, bool split) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::int64_t row = first_row + static_cast<std::int64_t>(i);
    for (std::int64_t begin = 0; begin < lengths[i]; begin += max_length) {
      pieces.push_back({row, begin, std::min(lengths[i], begin + max_length)});
      if (!split) break;
    }
  }
  return pieces;
}

void pack_best_fit(std::vector<Piece> pieces, std::int64_t max_length, std::vector<Block>& blocks) {
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.length() > b.length(); });
  std::map<std::int64_t, std::deque<std::size_t>> blocks_by_room;
  for (const Piece& piece : pieces) {
    const auto fitting = blocks_by_room.lower_bound(piece.length());
    std::int64_t room = max_length;
    std::size_t block = blocks.size();
    if (fitting == blocks_by_room.end()) {
      blocks.emplace_back();
    } else {
      room = fitting->first;
      block = fitting->second.front();
      fitting->second.pop_front();
      if (fitting->second.empty()) blocks_by_room.erase(fitting);
    }
    blocks[block].pieces.push_back(piece);
    room -= piece.length();
    if (room > 0) blocks_by_room[room].push_back(block);
  }
}

void pack_wrapped(std::span<const std::int64_t> lengths, std::int64_t first_row, std::int64_t max_length, std::vector<Block>& blocks) {
  std::int64_t room = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    for (std::int64_t begin = 0; begin < lengths[i];) {
      if (room == 0) {
        blocks.emplace_back();
        room = max_length;
      }
      const std::int64_t end = std::min(lengths[i], begin + room);
      blocks.back().pieces.push_back({first_row + static_cast<std::int64_t>(i), begin, end});
      room -= end - begin;
      begin = end;
    }
  }
}

}  // namespace

std::int64_t Block::length() const {
  std::int64_t total = 0;
  for (const Piece& piece : pieces) total += piece.length();
  return total;
}

double Packing::efficiency(std::int64_t max_length) const {
  return blocks.empty() ? 0 : static_cast<double>(num_tokens) / (static_cast<double>(blocks.size()) * static_cast<double>(max_length));
}

Packing pack_rows(std::span<const std::int64_t> lengths, std::int64_t max_length, PackingStrategy strategy, std::int64_t batch_rows) {
  R1_ASSERT(max_length >= 1 && batch_rows >= 1, "packing needs max_length and batch_rows of at least 1");
  Packing packing;
  const std::int64_t num_rows = static_cast<std::int64_t>(lengths.size());
  for (std::int64_t first = 0; first < num_rows; first += batch_rows) {
    const auto batch = lengths.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(batch_rows, num_rows - first)));
    switch (strategy) {
      case PackingStrategy::kNone:
        for (const Piece& piece : cut_rows(batch, first, max_length, false)) packing.blocks.push_back({{piece}});
        break;
      case PackingStrategy::kBfd:
      case PackingStrategy::kBfdSplit: {
        std::vector<Block> blocks;
        pack_best_fit(cut_rows(batch, first, max_length, strategy == PackingStrategy::kBfdSplit), max_length, blocks);
        std::move(blocks.begin(), blocks.end(), std::back_inserter(packing.blocks));
      } break;
      case PackingStrategy::kWrapped:
        pack_wrapped(batch, first, max_length, packing.blocks);
        break;
    }
  }
  for (const Block& block : packing.blocks) packing.num_tokens += block.length();
  if (strategy == PackingStrategy::kNone || strategy == PackingStrategy::kBfd) {
    for (const std::int64_t length : lengths) {
      if (length <= max_length) continue;
      ++packing.truncated_rows;
      packing.truncated_tokens += length - max_length;
    }
  }
  return packing;
}

}  // namespace r1::data
