// Stacks to switch between: the emulated threads of a block.
#pragma once

#include <cstddef>
#include <functional>

namespace r1::simt {

/// A stack that runs one function. Not thread-safe: all fibers of a process belong to the thread that made them.
/// Plain builds enter with ucontext and switch with _setjmp/_longjmp (no system call); builds with AddressSanitizer use
/// ucontext throughout and tell the sanitizer of every switch.
class Fiber {
 public:
  /// The body must never return: its last act is switch_to() another fiber.
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The stack on which the caller runs now (outside of any fiber).
  static Fiber& host();

  /// Leaves `from`, which must be the running one, and continues `to`.
  static void switch_to(Fiber& from, Fiber& to);
  /// Forgets what was on the stack: the next switch begins the body again.
  void reset();

 private:
  struct State;
  Fiber();
  static void enter(unsigned high, unsigned low);
  State* state_;
};

}  // namespace r1::simt
