# envelope.fbs → ${build}/generated/wire/envelope_generated.h, seen by this module only.
set(wire_generated ${CMAKE_BINARY_DIR}/generated/wire)
add_custom_command(
  OUTPUT ${wire_generated}/envelope_generated.h
  COMMAND ${EXO_FLATC} --cpp --cpp-std c++17 --scoped-enums --no-warnings -o ${wire_generated}
          ${CMAKE_CURRENT_LIST_DIR}/envelope.fbs
  DEPENDS ${CMAKE_CURRENT_LIST_DIR}/envelope.fbs
  VERBATIM)
target_sources(exo_wire PRIVATE ${wire_generated}/envelope_generated.h)
target_include_directories(exo_wire SYSTEM PRIVATE ${CMAKE_BINARY_DIR}/generated)
