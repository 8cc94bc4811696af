#include "tests/support/simt/fiber.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdint>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define R1_SIMT_ASAN 1
#else
#define R1_SIMT_ASAN 0
#endif

namespace r1::simt {
namespace {

constexpr std::size_t kStackBytes = R1_SIMT_ASAN ? 256 * 1024 : 64 * 1024;
constexpr std::size_t kGuardBytes = 4096;

}  // namespace

struct Fiber::State {
  std::function<void()> body;
  std::byte* mapping = nullptr;  // guard page, then the stack
  ucontext_t context{};
  jmp_buf jump;
  bool is_entered = false;  // the body has begun: jump (or context) holds where it stands
  // For the sanitizer: the bounds of the stack and the fake stack of a fiber that is not running.
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
};

namespace {

Fiber* switched_from = nullptr;  // set just before each switch

}  // namespace

Fiber::Fiber() : state_(new State) { state_->is_entered = true; }

Fiber::Fiber(std::function<void()> body) : state_(new State) {
  state_->body = std::move(body);
  void* mapping = ::mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::runtime_error("simt: no memory for a fiber's stack");
  state_->mapping = static_cast<std::byte*>(mapping);
  ::mprotect(mapping, kGuardBytes, PROT_NONE);
  state_->bottom = state_->mapping + kGuardBytes;
  state_->bytes = kStackBytes;
}

Fiber::~Fiber() {
#if R1_SIMT_ASAN
  if (state_->mapping != nullptr) __asan_unpoison_memory_region(state_->bottom, state_->bytes);
#endif
  if (state_->mapping != nullptr) ::munmap(state_->mapping, kStackBytes + kGuardBytes);
  delete state_;
}

Fiber& Fiber::host() {
  static Fiber fiber;
  return fiber;
}

void Fiber::reset() {
  state_->is_entered = false;
#if R1_SIMT_ASAN
  __asan_unpoison_memory_region(state_->bottom, state_->bytes);
#endif
}

void Fiber::enter(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low);
#if R1_SIMT_ASAN
  State& before = *switched_from->state_;
  __sanitizer_finish_switch_fiber(nullptr, &before.bottom, &before.bytes);
#endif
  self->state_->body();
  __builtin_trap();  // the body must not return
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
  State& target = *to.state_;
  State& source = *from.state_;
  switched_from = &from;
  const bool is_first = !target.is_entered;
  if (is_first) {
    target.is_entered = true;
    ::getcontext(&target.context);
    target.context.uc_stack.ss_sp = const_cast<void*>(target.bottom);
    target.context.uc_stack.ss_size = target.bytes;
    target.context.uc_link = nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(&to);
    ::makecontext(&target.context, reinterpret_cast<void (*)()>(&Fiber::enter), 2, static_cast<unsigned>(address >> 32),
                  static_cast<unsigned>(address));
  }
#if R1_SIMT_ASAN
  __sanitizer_start_switch_fiber(&source.fake_stack, target.bottom, target.bytes);
  ::swapcontext(&source.context, &target.context);
  State& before = *switched_from->state_;
  __sanitizer_finish_switch_fiber(source.fake_stack, &before.bottom, &before.bytes);
#else
  if (_setjmp(source.jump) != 0) return;
  if (is_first) ::setcontext(&target.context);
  _longjmp(target.jump, 1);
#endif
}

}  // namespace r1::simt
