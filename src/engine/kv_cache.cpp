#include "engine/kv_cache.h"

#include <fstream>
#include <limits>
#include <string>

#include "base/address_space.h"
#include "ops/elementwise.h"
#include "ops/paged_attention.h"
#include "tensor/cuda_module.h"

namespace r1::engine {

std::int64_t kv_block_bytes(const models::CausalLM& model, int block_size, DType dtype) {
  const ops::AttentionHeads heads = model.heads();
  const std::int64_t elements =
      ops::key_cache_shape(1, heads, block_size).num_elements() + ops::value_cache_shape(1, heads, block_size).num_elements();
  return elements * static_cast<std::int64_t>(size_of(dtype)) * model.num_layers();
}

std::int64_t available_host_bytes() {
  std::int64_t available = std::numeric_limits<std::int64_t>::max();
  std::ifstream meminfo("/proc/meminfo");
  for (std::string key, unit; meminfo >> key;) {
    std::int64_t kibibytes = 0;
    if (meminfo >> kibibytes && key == "MemAvailable:") available = kibibytes * 1024;
    std::getline(meminfo, unit);
  }
  std::int64_t limit = 0, used = 0;
  if (std::ifstream("/sys/fs/cgroup/memory.max") >> limit && std::ifstream("/sys/fs/cgroup/memory.current") >> used) {
    available = std::min(available, std::max<std::int64_t>(limit - used, 0));
  }
  return std::min(available, address_space_left().value_or(available));
}

std::int64_t available_bytes(const ExecContext& ctx, int ranks_sharing_memory) {
  if (ctx.device().kind != DeviceKind::kCuda) return available_host_bytes() / ranks_sharing_memory;
  R1CudaDevice device{};
  check_cuda(cuda_module().describe_device(ctx.device().index, &device), "the GPU's free memory");
  return static_cast<std::int64_t>(device.free_bytes) / ranks_sharing_memory;
}

KvCache::KvCache(const ExecContext& ctx, const models::CausalLM& model, std::int64_t num_blocks, int block_size, DType dtype) {
  const ops::AttentionHeads heads = model.heads();
  for (int layer = 0; layer < model.num_layers(); ++layer) {
    // Not touched here: pages come from the system as blocks are first written.
    layers_.push_back({ctx.empty(ops::key_cache_shape(num_blocks, heads, block_size), dtype),
                       ctx.empty(ops::value_cache_shape(num_blocks, heads, block_size), dtype)});
  }
}

void KvCache::copy_block(const ExecContext& ctx, BlockId from, BlockId to) {
  for (const nn::PagedCache::Layer& layer : layers_) {
    for (const Tensor* cache : {&layer.keys, &layer.values}) {
      Tensor target = cache->rows(to, to + 1);
      ops::copy(ctx, cache->rows(from, from + 1), target);
    }
  }
}

}  // namespace r1::engine
