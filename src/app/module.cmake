include(ExoEmbed)
exo_embed(exo_app exo_demo_model ${CMAKE_SOURCE_DIR}/assets/exo-demo.gguf)
