// Work that a device keeps and starts again with one call: CUDA graphs.
#pragma once

#include <functional>
#include <memory>

namespace r1 {

/// Kernels and library calls with their arguments, addresses among them: what they read and write must stay where it was.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;
  /// In stream order, like any op. The host waits for nothing.
  virtual void replay() = 0;
};

class WorkRecorder {
 public:
  virtual ~WorkRecorder() = default;
  /// What `ops` gives to the device is kept and not run. ops may neither copy between host and device nor make an allocator ask its
  /// source for memory: run the same ops once before. What ops throws is passed on. Throws Error(kInternal) with the device's reason.
  virtual std::unique_ptr<RecordedWork> record(const std::function<void()>& ops) = 0;
};

}  // namespace r1
