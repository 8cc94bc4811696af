// Content hashes: xxh3 for speed (caches, manifests), sha256 where others must be able to check it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace r1 {

std::uint64_t xxh3_64(const void* data, std::size_t size, std::uint64_t seed = 0);
inline std::uint64_t xxh3_64(std::string_view text, std::uint64_t seed = 0) { return xxh3_64(text.data(), text.size(), seed); }

/// 32 lower-case hexadecimal digits of the 128-bit xxh3 of everything that was fed.
class Xxh3Stream {
 public:
  Xxh3Stream();
  ~Xxh3Stream();
  Xxh3Stream(const Xxh3Stream&) = delete;
  Xxh3Stream& operator=(const Xxh3Stream&) = delete;
  void update(const void* data, std::size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex_digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The 32 raw bytes; to_hex gives the usual 64 digits.
std::string sha256(std::string_view bytes);
std::string to_hex(std::string_view bytes);

}  // namespace r1
