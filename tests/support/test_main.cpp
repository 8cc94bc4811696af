#include <gtest/gtest.h>

#include "base/log.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::r1::log::set_level(::r1::log::Level::kError);  // notices of the code under test would hide the tests' own lines
  return RUN_ALL_TESTS();
}
