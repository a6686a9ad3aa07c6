#pragma once
// The chat page, embedded at build time from web/dist.

#include <string_view>

namespace exo::api {

struct PageAsset {
  std::string_view path;  // "/" is index.html
  std::string_view content_type;
  std::string_view bytes;
};

// nullptr: no such file.
const PageAsset* find_page_asset(std::string_view path);

}  // namespace exo::api
