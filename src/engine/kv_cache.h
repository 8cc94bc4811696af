// The tensors behind the blocks: keys and values of the layers and heads that this rank computes.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/block_allocator.h"
#include "models/causal_lm.h"
#include "nn/attention_context.h"

namespace r1::engine {

/// Bytes of one block over the layers and heads that are here.
std::int64_t kv_block_bytes(const models::CausalLM& model, int block_size, DType dtype = DType::kF32);

/// Memory that the process may still take, in bytes: the system's available memory, the control group's limit where there is a lower one.
std::int64_t available_host_bytes();

/// The part of one rank of what is free where its tensors live: host memory, or its GPU's (comm/device_communicator.h counts the ranks).
std::int64_t available_bytes(const ExecContext& ctx, int ranks_sharing_memory);

class KvCache {
 public:
  /// dtype: of the activations.
  KvCache(const ExecContext& ctx, const models::CausalLM& model, std::int64_t num_blocks, int block_size, DType dtype);

  const std::vector<nn::PagedCache::Layer>& layers() const { return layers_; }
  /// In all layers.
  void copy_block(const ExecContext& ctx, BlockId from, BlockId to);

 private:
  std::vector<nn::PagedCache::Layer> layers_;
};

}  // namespace r1::engine
