# The libraries of the modules from base/ to model/ for a processor other than the build machine's: from headers and
# sources that the build machine's packages hold anyway, so that nothing has to be installed for the other one.
set(header_folder ${CMAKE_BINARY_DIR}/include)
file(MAKE_DIRECTORY ${header_folder})
foreach(library fmt hwy boost gtest gmock)
  find_path(EXO_${library}_HEADERS ${library} PATHS /usr/include REQUIRED NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
  file(CREATE_LINK ${EXO_${library}_HEADERS}/${library} ${header_folder}/${library} SYMBOLIC)
endforeach()
include_directories(SYSTEM ${header_folder})

if(CMAKE_SYSTEM_PROCESSOR STREQUAL wasm32)
  add_library(exo_wasm_runtime STATIC ${CMAKE_SOURCE_DIR}/cmake/wasm_stack_check.cpp)
  add_library(Threads::Threads ALIAS exo_wasm_runtime)
else()
  find_package(Threads REQUIRED)
endif()

add_library(exo_fmt INTERFACE)
target_compile_definitions(exo_fmt INTERFACE FMT_HEADER_ONLY)

add_library(exo_highway_impl STATIC ${CMAKE_SOURCE_DIR}/cmake/highway_impl.cpp)
add_library(exo_highway INTERFACE)
target_link_libraries(exo_highway INTERFACE exo_highway_impl)

add_library(exo_json STATIC ${CMAKE_SOURCE_DIR}/cmake/boost_json_impl.cpp)
target_compile_options(exo_json PRIVATE -w)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL wasm32)
  target_compile_definitions(exo_json PUBLIC BOOST_SYSTEM_DISABLE_THREADS)
endif()

# GoogleTest's sources belong to the package of its headers.
set(googletest /usr/src/googletest)
add_library(exo_gtest STATIC ${googletest}/googletest/src/gtest-all.cc ${googletest}/googlemock/src/gmock-all.cc
  ${googletest}/googlemock/src/gmock_main.cc)
target_include_directories(exo_gtest PRIVATE ${googletest}/googletest ${googletest}/googlemock)
target_compile_options(exo_gtest PRIVATE -w)
target_link_libraries(exo_gtest PUBLIC Threads::Threads)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL wasm32)
  target_compile_definitions(exo_gtest PUBLIC GTEST_HAS_PTHREAD=0 GTEST_HAS_DEATH_TEST=0 GTEST_HAS_STREAM_REDIRECTION=0)
endif()
add_library(GTest::gmock ALIAS exo_gtest)
add_library(GTest::gtest_main ALIAS exo_gtest)

# One test per program: the kernels' and the model's on every processor that is emulated, others on the first.
function(exo_emulated_tests target)
  set(processors ${EXO_EMULATED_PROCESSORS})
  if(processors AND NOT target MATCHES "kernels|model")
    list(GET processors 0 processors)
  endif()
  if(NOT processors)
    add_test(NAME ${target} COMMAND ${EXO_EMULATOR} $<TARGET_FILE:${target}> --gtest_brief=1)
    set_tests_properties(${target} PROPERTIES TIMEOUT 300)
  endif()
  foreach(processor ${processors})
    add_test(NAME ${target}.${processor} COMMAND ${EXO_EMULATOR} ${processor} $<TARGET_FILE:${target}> --gtest_brief=1)
    set_tests_properties(${target}.${processor} PROPERTIES TIMEOUT 300)
  endforeach()
endfunction()
