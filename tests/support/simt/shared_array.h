// Shared memory whose every access is checked: bounds, initialisation, races.
#pragma once

#include <cstring>

#include "tests/support/simt/runtime.h"

namespace r1::simt {

/// What name[i] is: reads and writes go through check_shared.
template <typename T>
class SharedReference {
 public:
  SharedReference(SharedRegion& region, std::int64_t index, Site site) : region_(region), index_(index), site_(site) {}
  SharedReference(const SharedReference&) = default;

  operator T() const { return read(Access::kRead); }
  SharedReference& operator=(T value) {
    write(value, Access::kWrite);
    return *this;
  }
  SharedReference& operator=(const SharedReference& other) { return *this = static_cast<T>(other); }
  SharedReference& operator+=(T value) { return *this = static_cast<T>(static_cast<T>(*this) + value); }
  SharedReference& operator*=(T value) { return *this = static_cast<T>(static_cast<T>(*this) * value); }

  /// For atomics, which take the address of a cell.
  const SharedReference* operator&() const { return this; }

  T read(Access access) const {
    T value;
    std::memcpy(&value, check_shared(region_, index_, access, site_), sizeof(T));
    return value;
  }
  void write(T value, Access access) const { std::memcpy(check_shared(region_, index_, access, site_), &value, sizeof(T)); }

 private:
  SharedRegion& region_;
  std::int64_t index_;
  Site site_;
};

/// An index that remembers the line where it was written.
struct SharedIndex {
  template <typename Integer>
  SharedIndex(Integer index, Site at = Site::current()) : value(static_cast<std::int64_t>(index)), site(at) {}
  std::int64_t value;
  Site site;
};

template <typename T>
class SharedArray {
 public:
  explicit SharedArray(SharedRegion& region, std::int64_t offset = 0) : region_(&region), offset_(offset) {}
  SharedReference<T> operator[](SharedIndex index) const { return {*region_, offset_ + index.value, index.site}; }
  SharedArray operator+(std::int64_t elements) const { return SharedArray(*region_, offset_ + elements); }

 private:
  SharedRegion* region_;
  std::int64_t offset_;
};

/// atomicAdd and friends on shared memory; one thread at a time, so they are plain code.
template <typename T, typename Update>
T atomic_update(const SharedReference<T>& cell, Update&& update) {
  const T before = cell.read(Access::kAtomic);
  cell.write(update(before), Access::kAtomic);
  return before;
}

}  // namespace r1::simt
