# As the kernels: optimised in every build type, no contraction.
target_compile_options(exo_ops PRIVATE -ffp-contract=off $<$<CONFIG:Debug>:-O2>)

if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  set_source_files_properties(${folder}/cpu/huge_pages_none.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${folder}/cpu/huge_pages_linux.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
