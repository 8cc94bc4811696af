#include "base/error.h"

namespace r1 {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInternal:
    case ErrorKind::kShape:
    case ErrorKind::kDType:
      return 1;
    case ErrorKind::kUsage:
    case ErrorKind::kConfig:
      return 2;
    case ErrorKind::kData:
    case ErrorKind::kModel:
      return 3;
    case ErrorKind::kNumeric:
      return 4;
    case ErrorKind::kComm:
      return 5;
    case ErrorKind::kDisk:
      return 6;
    case ErrorKind::kMemory:
      return 7;
  }
  return 1;
}

void assertion_failed(const char* condition, std::string_view message, const char* file, int line) {
  fail(ErrorKind::kInternal, "{}:{}: internal error: {} ({})", file, line, message, condition);
}

}  // namespace r1
