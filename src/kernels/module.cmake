# Rounding is part of the kernels' contract: no contraction of a * b + c unless written. Kernels are optimised in every
# build type; tests of whole models would take minutes otherwise.
target_compile_options(exo_kernels PRIVATE -ffp-contract=off -Wno-maybe-uninitialized -Wno-uninitialized $<$<CONFIG:Debug>:-O2>)

set(x86_sources int8_multiply_avx2.cpp int8_multiply_avx_vnni.cpp int8_multiply_avx512.cpp int8_targets_x86.cpp)
list(TRANSFORM x86_sources PREPEND ${folder}/)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(avx2_flags -mavx2 -mfma -mf16c)
  set_source_files_properties(${folder}/int8_multiply_avx2.cpp PROPERTIES COMPILE_OPTIONS "${avx2_flags}")
  set_source_files_properties(${folder}/int8_multiply_avx_vnni.cpp PROPERTIES COMPILE_OPTIONS "${avx2_flags};-mavxvnni")
  set_source_files_properties(${folder}/int8_multiply_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${avx2_flags};-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mprefer-vector-width=512")
  set_source_files_properties(${folder}/int8_targets_portable.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${x86_sources} PROPERTIES HEADER_FILE_ONLY ON)
endif()
