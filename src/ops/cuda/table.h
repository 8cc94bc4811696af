// The ops of this module.
#pragma once

#include "ops/dispatch.h"

namespace r1::ops {
const OpTable& cuda_backend_table();
}
