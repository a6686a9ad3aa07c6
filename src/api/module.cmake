# The chat page: built by npm from web/ when its sources change, then embedded.
find_program(EXO_NPM npm REQUIRED)
file(GLOB_RECURSE web_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/src/*)
list(APPEND web_sources ${CMAKE_SOURCE_DIR}/web/index.html ${CMAKE_SOURCE_DIR}/web/vite.config.ts
  ${CMAKE_SOURCE_DIR}/web/package-lock.json)
set(web_build ${CMAKE_BINARY_DIR}/web)
add_custom_command(
  OUTPUT ${web_build}/index.html
  COMMAND ${CMAKE_SOURCE_DIR}/tools/build-page ${web_build}
  DEPENDS ${web_sources} ${CMAKE_SOURCE_DIR}/tools/build-page
  COMMENT "Building the chat page")
include(ExoEmbed)
exo_embed(exo_api exo_page_html ${web_build}/index.html)
