# Tests that write files into folders, and those of a group of threads.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "wasm32")
  set_source_files_properties(${folder}/synthesize_test.cpp ${folder}/tensor_group_test.cpp PROPERTIES
    HEADER_FILE_ONLY ON)
endif()
