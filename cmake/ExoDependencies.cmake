# Every library from outside, by the name the module table uses. Static where the system has an archive, so that
# the binary can be copied to another device.
if(EXO_CORE_ONLY)
  include(ExoPortableDependencies)
  return()
endif()
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_path(EXO_BOOST_INCLUDE boost/asio.hpp REQUIRED)

function(exo_static_library variable)
  find_library(${variable} NAMES ${ARGN} REQUIRED)
endfunction()

add_library(exo_fmt INTERFACE)
target_compile_definitions(exo_fmt INTERFACE FMT_HEADER_ONLY)
find_path(EXO_FMT_INCLUDE fmt/format.h REQUIRED)

exo_static_library(EXO_HWY hwy)
add_library(exo_highway INTERFACE)
target_link_libraries(exo_highway INTERFACE ${EXO_HWY})
target_compile_definitions(exo_highway INTERFACE HWY_SHARED_DEFINE HWY_WANT_AVX3_DL)

exo_static_library(EXO_BOOST_JSON libboost_json.a boost_json)
exo_static_library(EXO_BOOST_CONTAINER libboost_container.a boost_container)
add_library(exo_json INTERFACE)
target_link_libraries(exo_json INTERFACE ${EXO_BOOST_JSON} ${EXO_BOOST_CONTAINER})

exo_static_library(EXO_FLATBUFFERS libflatbuffers.a flatbuffers)
find_program(EXO_FLATC flatc REQUIRED)
add_library(exo_flatbuffers INTERFACE)
target_link_libraries(exo_flatbuffers INTERFACE ${EXO_FLATBUFFERS})

exo_static_library(EXO_PCRE2 libpcre2-8.a pcre2-8)
add_library(exo_pcre2 INTERFACE)
target_link_libraries(exo_pcre2 INTERFACE ${EXO_PCRE2})

# Asio and Beast are compiled once, here, instead of in every file that includes them.
exo_static_library(EXO_SSL libssl.a ssl)
exo_static_library(EXO_CRYPTO libcrypto.a crypto)
exo_static_library(EXO_BOOST_URL libboost_url.a boost_url)
add_library(exo_boost_impl STATIC ${CMAKE_SOURCE_DIR}/cmake/boost_impl.cpp)
target_compile_definitions(exo_boost_impl PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED)
target_compile_options(exo_boost_impl PRIVATE -w)
add_library(exo_boost INTERFACE)
target_link_libraries(exo_boost INTERFACE exo_boost_impl ${EXO_BOOST_URL} exo_json ${EXO_SSL} ${EXO_CRYPTO}
  Threads::Threads ${CMAKE_DL_LIBS})

find_path(EXO_CLI11_INCLUDE CLI/CLI.hpp REQUIRED)
find_path(EXO_TOML_INCLUDE toml++/toml.h REQUIRED)
find_path(EXO_SPDLOG_INCLUDE spdlog/spdlog.h REQUIRED)
add_library(exo_cli INTERFACE)
target_link_libraries(exo_cli INTERFACE exo_fmt)
target_compile_definitions(exo_cli INTERFACE SPDLOG_FMT_EXTERNAL)
