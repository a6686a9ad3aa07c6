# As the kernels: optimised in every build type, no contraction.
target_compile_options(exo_ops PRIVATE -ffp-contract=off $<$<CONFIG:Debug>:-O2>)
