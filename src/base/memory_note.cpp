#include "base/memory_note.h"

#include <utility>

namespace r1 {
namespace {

std::string& note() {
  static std::string text;
  return text;
}

}  // namespace

void set_memory_note(std::string text) { note() = std::move(text); }
const std::string& memory_note() { return note(); }

}  // namespace r1
