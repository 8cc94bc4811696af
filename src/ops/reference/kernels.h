// The reference backend's functions: same signatures as the public ops, arguments already checked.
#pragma once

#include "ops/dispatch.h"

namespace r1::ops::reference {
#include "ops/kernels.inc"
}  // namespace r1::ops::reference
