# g++ 12 takes the frame allocator of Asio's coroutines for a mismatch.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(exo_net PRIVATE -Wno-mismatched-new-delete)
endif()

if(APPLE)
  set_source_files_properties(${folder}/sleeping_time_linux.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${folder}/sleeping_time_macos.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
