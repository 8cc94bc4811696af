#include "ops/dispatch.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace r1::ops {
namespace {

CpuIsa best_isa() {
  for (const CpuIsa isa : {CpuIsa::kAvx512, CpuIsa::kAvx2}) {
    if (cpu_supports(isa)) return isa;
  }
  return CpuIsa::kPortable;
}

CpuIsa isa_from_environment() {
  const char* wanted = std::getenv("R1_CPU_ISA");
  if (wanted == nullptr || *wanted == '\0') return best_isa();
  for (const CpuIsa isa : {CpuIsa::kPortable, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    if (std::string_view(wanted) != cpu_isa_name(isa)) continue;
    if (!cpu_supports(isa)) {
      fail(ErrorKind::kUsage, "R1_CPU_ISA={}: this processor cannot run it; the best it can is {}", wanted, cpu_isa_name(best_isa()));
    }
    return isa;
  }
  fail(ErrorKind::kUsage, "R1_CPU_ISA={}: expected portable, avx2 or avx512", wanted);
}

std::atomic<const OpTable*> cuda_table{nullptr};

std::atomic<CpuIsa>& current_isa() {
  static std::atomic<CpuIsa> isa{isa_from_environment()};
  return isa;
}

}  // namespace

bool cpu_supports(CpuIsa isa) {
  if (isa == CpuIsa::kPortable) return true;
#if defined(R1_X86_VARIANTS)
  // __builtin_cpu_supports also asks the operating system whether it saves the registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == CpuIsa::kAvx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

const char* cpu_isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kPortable:
      return "portable";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

CpuIsa cpu_isa() { return current_isa().load(std::memory_order_relaxed); }

void set_cpu_isa(CpuIsa isa) {
  if (!cpu_supports(isa)) fail(ErrorKind::kUsage, "this processor cannot run {} code", cpu_isa_name(isa));
  current_isa().store(isa, std::memory_order_relaxed);
}

const OpTable* set_cuda_table(const OpTable* table) { return cuda_table.exchange(table, std::memory_order_acq_rel); }

const OpTable& op_table(const ExecContext& ctx) {
  if (ctx.backend() == Backend::kReference) return reference_table();
  if (ctx.backend() == Backend::kCuda) {
    const OpTable* table = cuda_table.load(std::memory_order_acquire);
    if (table == nullptr) fail(ErrorKind::kUsage, "no ops for CUDA: the CUDA module is not loaded");
    return *table;
  }
#if defined(R1_X86_VARIANTS)
  if (cpu_isa() == CpuIsa::kAvx512) return cpu_avx512::table();
  if (cpu_isa() == CpuIsa::kAvx2) return cpu_avx2::table();
#endif
  return cpu_portable::table();
}

}  // namespace r1::ops
