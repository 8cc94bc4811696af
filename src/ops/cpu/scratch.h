// Scratch memory of one op call, from the context's allocator: warm calls take it from the cache.
#pragma once

#include "tensor/exec_context.h"

namespace r1::ops::R1_CPU_NAMESPACE {

template <typename T>
class Scratch {
 public:
  Scratch(const ExecContext& ctx, std::int64_t count) : storage_(ctx.allocator(), static_cast<std::size_t>(count) * sizeof(T)) {}
  T* data() const { return reinterpret_cast<T*>(storage_.data()); }
  T& operator[](std::int64_t i) const { return data()[i]; }

 private:
  Storage storage_;
};

}  // namespace r1::ops::R1_CPU_NAMESPACE
