# Systems that cannot map files read them instead; where there are no folders, no test writes files.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "wasm32")
  set_source_files_properties(${folder}/mapped_file.cpp ${folder}/gguf_file_test.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${folder}/mapped_file_read.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
