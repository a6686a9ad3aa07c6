# The same token on every machine: no fused multiply-add that one instruction set has and another lacks.
if(TARGET exo_sample)
  get_target_property(exo_sample_type exo_sample TYPE)
  if(NOT exo_sample_type STREQUAL "INTERFACE_LIBRARY")
    target_compile_options(exo_sample PRIVATE -ffp-contract=off)
  endif()
endif()
