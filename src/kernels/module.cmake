# Rounding is part of the kernels' contract: no contraction of a * b + c unless written. Kernels are optimised in every
# build type; tests of whole models would take minutes otherwise.
target_compile_options(exo_kernels PRIVATE -ffp-contract=off -Wno-uninitialized
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CONFIG:Debug>:-O2>)

# Files for one processor family each; the others' are left out.
set(x86_sources int8_multiply_avx2.cpp int8_multiply_avx_vnni.cpp int8_multiply_avx512.cpp int8_targets_x86.cpp)
set(arm_sources int8_multiply_neon.cpp int8_multiply_neon_dotprod.cpp int8_multiply_neon_i8mm.cpp int8_targets_arm.cpp
  arm_features_linux.cpp arm_features_macos.cpp)
set(wasm_sources int8_multiply_wasm.cpp int8_targets_wasm.cpp)
set(portable_sources int8_targets_portable.cpp)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(family x86)
  set(avx2_flags -mavx2 -mfma -mf16c)
  set_source_files_properties(${folder}/int8_multiply_avx2.cpp PROPERTIES COMPILE_OPTIONS "${avx2_flags}")
  set_source_files_properties(${folder}/int8_multiply_avx_vnni.cpp PROPERTIES COMPILE_OPTIONS "${avx2_flags};-mavxvnni")
  set_source_files_properties(${folder}/int8_multiply_avx512.cpp PROPERTIES COMPILE_OPTIONS
    "${avx2_flags};-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mprefer-vector-width=512")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  set(family arm)
  set_source_files_properties(${folder}/int8_multiply_neon_dotprod.cpp PROPERTIES COMPILE_OPTIONS
    -march=armv8.2-a+dotprod)
  set_source_files_properties(${folder}/int8_multiply_neon_i8mm.cpp PROPERTIES COMPILE_OPTIONS
    -march=armv8.2-a+dotprod+i8mm)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "wasm32")
  set(family wasm)
else()
  set(family portable)
endif()
foreach(other x86 arm wasm portable)
  if(NOT other STREQUAL family)
    list(TRANSFORM ${other}_sources PREPEND ${folder}/)
    set_source_files_properties(${${other}_sources} PROPERTIES HEADER_FILE_ONLY ON)
  endif()
endforeach()
if(APPLE)
  set_source_files_properties(${folder}/arm_features_linux.cpp PROPERTIES HEADER_FILE_ONLY ON)
else()
  set_source_files_properties(${folder}/arm_features_macos.cpp PROPERTIES HEADER_FILE_ONLY ON)
endif()
