# g++ 12 takes the frame allocator of Asio's coroutines for a mismatch.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(exo_net PRIVATE -Wno-mismatched-new-delete)
endif()
