#include "ops/device_context.h"

#include <atomic>

#include "ops/cuda_layout.h"
#include "tensor/cuda_module.h"

namespace r1::ops {

std::unique_ptr<ExecContext> make_context(Device device, int num_threads) {
  if (device.kind != DeviceKind::kCuda) return make_cpu_context(num_threads);
  const void* table = cuda_module().op_table(cuda_layout());
  if (table == nullptr) fail(ErrorKind::kUsage, "libr1_cuda.so belongs to another build of this program; build both again");
  set_cuda_table(static_cast<const OpTable*>(table));
  return std::make_unique<ExecContext>(Backend::kCuda, make_cuda_source(device.index), num_threads);
}

namespace {

std::atomic<bool> g_is_batch_invariant = false;

}  // namespace

bool is_batch_invariant() { return g_is_batch_invariant; }

void set_batch_invariant(const ExecContext& ctx, bool on) {
  g_is_batch_invariant = on;
  if (ctx.device().kind == DeviceKind::kCuda) cuda_module().set_batch_invariant(on);
}

std::string describe_device(const ExecContext& ctx) {
  if (ctx.device().kind != DeviceKind::kCuda) {
    return fmt::format("CPU, {}, {} threads", cpu_isa_name(cpu_isa()), ctx.threads().num_threads());
  }
  R1CudaDevice device{};
  check_cuda(cuda_module().describe_device(ctx.device().index, &device), "CUDA device");
  return fmt::format("{} (CUDA device {})", device.name, ctx.device().index);
}

}  // namespace r1::ops
