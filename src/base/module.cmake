if(CMAKE_SYSTEM_PROCESSOR STREQUAL "wasm32")
  set_source_files_properties(${folder}/thread_pool.cpp ${folder}/thread_pool_test.cpp ${folder}/bounded_queue_test.cpp
    PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${folder}/thread_pool_single.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
