# The program: src/app/main.cpp and everything below it.
if(EXISTS ${CMAKE_SOURCE_DIR}/src/app/main.cpp)
  add_executable(exo ${CMAKE_SOURCE_DIR}/src/app/main.cpp)
  target_link_libraries(exo PRIVATE exo_app)
  install(TARGETS exo)
endif()
