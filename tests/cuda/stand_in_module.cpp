// A stand-in for libr1_cuda.so: one "device" whose memory is the host's and whose ops are the CPU backend's. Programs that open it
// (R1_CUDA_MODULE) take every path of a CUDA device but the kernels, and must give the bytes of --device cpu.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "ops/cuda_layout.h"
#include "tensor/cuda_abi.h"
#include "tests/support/widened_ops.h"

namespace r1::test {
namespace {

constexpr const char* kNoDevice = "the stand-in shows no such device";
constexpr const char* kNoGroups = "ranks on several GPUs need NCCL: the stand-in has none";

std::mutex mutex;
std::map<void*, std::size_t> blocks;

bool is_device_memory(const void* address, std::size_t bytes) {
  const std::lock_guard lock(mutex);
  auto block = blocks.upper_bound(const_cast<void*>(address));
  if (block == blocks.begin()) return false;
  --block;
  return static_cast<const char*>(address) + bytes <= static_cast<const char*>(block->first) + block->second;
}

const char* allocate(std::int32_t device, std::size_t bytes, void** memory) {
  if (device != 0) return kNoDevice;
  const char* limit = std::getenv("R1_STAND_IN_BYTES");
  if (limit != nullptr && bytes > std::strtoull(limit, nullptr, 10)) return "out of memory";
  *memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (*memory == MAP_FAILED) return "out of memory";
  const std::lock_guard lock(mutex);
  blocks[*memory] = bytes;
  return nullptr;
}

void release(std::int32_t, void* memory) {
  const std::lock_guard lock(mutex);
  const auto block = blocks.find(memory);
  ::munmap(memory, block->second);
  blocks.erase(block);
}

const char* copy(std::int32_t device, R1CudaCopy kind, void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                 std::size_t row_bytes, std::size_t num_rows) {
  if (device != 0) return kNoDevice;
  const std::size_t to_bytes = (num_rows - 1) * to_pitch + row_bytes, from_bytes = (num_rows - 1) * from_pitch + row_bytes;
  if (is_device_memory(to, to_bytes) != (kind != R1_CUDA_TO_HOST)) return "the target of a copy is on the wrong side";
  if (is_device_memory(from, from_bytes) != (kind != R1_CUDA_TO_DEVICE)) return "the source of a copy is on the wrong side";
  for (std::size_t row = 0; row < num_rows; ++row) {
    std::memmove(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, row_bytes);
  }
  return nullptr;
}

/// R1_STAND_IN_WRONG=swiglu: that op has a fault, as a kernel might. "swiglu without bf16": a kernel that was not built for it.
void wrong_swiglu(const ExecContext& ctx, const Tensor& gate_up, Tensor& out) {
  widened_cpu_table().swiglu(ctx, gate_up, out);
  Tensor first = out.rows(0, 1);
  cpu_table().fill(ctx, first, 3);
}

/// R1_STAND_IN_CUDNN=right|wrong: a cuDNN that serves heads of multiples of 8, with or without a fault; otherwise a build without it.
const char* cudnn() { return std::getenv("R1_STAND_IN_CUDNN"); }
R1CudaAttention chosen_attention = R1_CUDA_ATTENTION_AUTO;

void attention(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
               const ops::AttentionHeads& heads, Tensor& out, Tensor* lse) {
  const bool is_cudnn = chosen_attention == R1_CUDA_ATTENTION_CUDNN;
  if (is_cudnn && heads.head_dim % 8 != 0) fail(ErrorKind::kUsage, "attention: cuDNN does not serve heads of {}", heads.head_dim);
  widened_cpu_table().attention(ctx, q, k, v, cu_seqlens, heads, out, lse);
  if (is_cudnn && std::strcmp(cudnn(), "wrong") == 0) cpu_table().fill(ctx, *lse, 3);
}

const char* choose_attention(R1CudaAttention choice) {
  if (choice == R1_CUDA_ATTENTION_CUDNN && cudnn() == nullptr) return "built without cuDNN";
  chosen_attention = choice;
  return nullptr;
}

const ops::OpTable& module_table() {
  static const ops::OpTable table = [] {
    ops::OpTable entries = widened_cpu_table();
    entries.attention = attention;
    const char* wrong = std::getenv("R1_STAND_IN_WRONG");
    if (wrong != nullptr && std::strcmp(wrong, "swiglu") == 0) entries.swiglu = wrong_swiglu;
    if (wrong != nullptr && std::strcmp(wrong, "swiglu without bf16") == 0) entries.swiglu = cpu_table().swiglu;
    return entries;
  }();
  return table;
}

const void* op_table(std::uint64_t layout) {
  if (layout != ops::cuda_layout()) return nullptr;
  ops::set_cuda_table(&module_table());  // of this module's own copy: ops call each other
  return &module_table();
}

const R1CudaModule kModule{
    .abi_version = R1_CUDA_ABI_VERSION,
    .description = "stand-in",
    .count_devices = [](std::int32_t* count) -> const char* {
      *count = 1;
      return nullptr;
    },
    .describe_device = [](std::int32_t, R1CudaDevice* result) -> const char* {
      *result = {};
      std::snprintf(result->name, sizeof result->name, "stand-in");
      result->total_bytes = result->free_bytes = std::uint64_t{1} << 30;
      return nullptr;
    },
    // R1_STAND_IN_LACKS=cuBLASLt: a library that it opens and that is not there.
    .describe_library =
        [](std::int32_t number, R1CudaLibrary* result) {
          const char* lacking = std::getenv("R1_STAND_IN_LACKS");
          if (number != 0 || lacking == nullptr) return false;
          *result = {};
          std::snprintf(result->name, sizeof result->name, "%s", lacking);
          std::snprintf(result->problem, sizeof result->problem, "no such file");
          return true;
        },
    .open_device = [](std::int32_t device) -> const char* { return device == 0 ? nullptr : kNoDevice; },
    .allocate = allocate,
    .release = release,
    .copy = copy,
    .synchronize = [](std::int32_t) -> const char* { return nullptr; },
    .begin_timing = [](std::int32_t) -> const char* { return nullptr; },
    .end_timing = [](std::int32_t, double* seconds) -> const char* {
      *seconds = 1;
      return nullptr;
    },
    .begin_recording = nullptr,
    .end_recording = nullptr,
    .replay = nullptr,
    .forget_graph = nullptr,
    .op_table = op_table,
    .choose_attention = choose_attention,
    .set_batch_invariant = [](bool) {},  // the CPU's always are
    .choose_small_products = [](R1CudaSmallProducts) {},
    .make_group_id = [](std::uint8_t*) -> const char* { return kNoGroups; },
    .join_group = [](std::int32_t, const std::uint8_t*, std::int32_t, std::int32_t, void**) -> const char* { return kNoGroups; },
    .leave_group = [](void*, bool) {},
    .begin_transfers = [](void*) -> const char* { return kNoGroups; },
    .end_transfers = [](void*, void**) -> const char* { return kNoGroups; },
    .all_reduce = [](void*, const void*, void*, std::uint64_t, R1CudaElement, R1CudaReduce) -> const char* { return kNoGroups; },
    .reduce = [](void*, const void*, void*, std::uint64_t, R1CudaElement, R1CudaReduce, std::int32_t) -> const char* { return kNoGroups; },
    .broadcast = [](void*, const void*, void*, std::uint64_t, R1CudaElement, std::int32_t) -> const char* { return kNoGroups; },
    .send = [](void*, const void*, std::uint64_t, std::int32_t) -> const char* { return kNoGroups; },
    .receive = [](void*, void*, std::uint64_t, std::int32_t) -> const char* { return kNoGroups; },
    .wait_event = [](void*, void*) -> const char* { return kNoGroups; },
    .query_event = [](void*, void*, bool*) -> const char* { return kNoGroups; },
    .group_error = [](void*) -> const char* { return kNoGroups; },
};

}  // namespace
}  // namespace r1::test

extern "C" __attribute__((visibility("default"))) const R1CudaModule* r1_cuda_module() { return &r1::test::kModule; }
