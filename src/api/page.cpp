#include "api/page.h"

#include <cstddef>

extern "C" const char exo_page_html[];
extern "C" const size_t exo_page_html_size;

namespace exo::api {

const PageAsset* find_page_asset(std::string_view path) {
  static const PageAsset kIndex{"/", "text/html; charset=utf-8", {exo_page_html, exo_page_html_size}};
  return path == "/" || path == "/index.html" ? &kIndex : nullptr;
}

}  // namespace exo::api
