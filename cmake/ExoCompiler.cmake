# Language level, warnings, sanitizers and ccache: the same for every target.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(EXO_CCACHE ccache)
if(EXO_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${EXO_CCACHE})
endif()

# Links in a fraction of the time, where it is installed.
find_program(EXO_MOLD mold)
if(EXO_MOLD AND NOT CMAKE_CROSSCOMPILING)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees these where there is nothing, in its own headers under -O3.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized)
endif()
set(EXO_SANITIZE "" CACHE STRING "Value for -fsanitize=, e.g. address,undefined")
if(EXO_SANITIZE)
  add_compile_options(-fsanitize=${EXO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EXO_SANITIZE})
endif()
