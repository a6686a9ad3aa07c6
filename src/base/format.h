#pragma once
// fmt, and how the project's own types print. std::format is missing from g++ 12.
#include <fmt/format.h>
#include <fmt/ranges.h>
