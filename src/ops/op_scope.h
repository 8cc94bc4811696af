// What surrounds every op call: a profile zone and, on the guarded test device, access to the device's pages.
#pragma once

#include "base/profile.h"
#include "tensor/exec_context.h"

namespace r1::ops {

class OpScope {
 public:
  OpScope(const ExecContext& ctx, const char* name) : zone_(name), source_(ctx.allocator().source()) { source_.begin_op(); }
  ~OpScope() { source_.end_op(); }
  OpScope(const OpScope&) = delete;
  OpScope& operator=(const OpScope&) = delete;

 private:
  profile::Zone zone_;
  MemorySource& source_;
};

}  // namespace r1::ops
