# exo_embed(TARGET SYMBOL FILE): the bytes of FILE become `extern const char SYMBOL[]` and `extern const size_t
# SYMBOL_size` in TARGET, by the assembler, so that large files cost no compile time.
function(exo_embed target symbol file)
  set(source ${CMAKE_BINARY_DIR}/embed/${symbol}.cpp)
  set(prefix "")
  if(APPLE)
    set(prefix "_")
    set(section "__DATA,__const")
  else()
    set(section ".rodata")
  endif()
  file(GENERATE OUTPUT ${source} CONTENT
"#include <cstddef>
asm(\".section ${section}\\n\"
    \".globl ${prefix}${symbol}\\n.balign 64\\n${prefix}${symbol}:\\n\"
    \".incbin \\\"${file}\\\"\\n\"
    \".globl ${prefix}${symbol}_end\\n${prefix}${symbol}_end:\\n.byte 0\\n.text\\n\");
extern \"C\" const char ${symbol}[], ${symbol}_end[];
extern \"C\" const size_t ${symbol}_size;
const size_t ${symbol}_size = static_cast<size_t>(${symbol}_end - ${symbol});
")
  set_source_files_properties(${source} PROPERTIES GENERATED TRUE OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${source})
endfunction()
