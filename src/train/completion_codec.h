// Completions as bytes, between ranks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "train/rollout_engine.h"

namespace r1::train {

/// Item, whether it was cut, ids and log-probs of each.
std::vector<std::byte> pack_items(std::span<const FinishedItem> items);
std::vector<FinishedItem> unpack_items(std::span<const std::byte> bytes);

}  // namespace r1::train
