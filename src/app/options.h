#pragma once
// What a node can be told: by exo.toml, then EXO_* variables, then the command line; the later wins.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/element_type.h"
#include "base/result.h"
#include "cluster/placement.h"

namespace CLI {
class App;
}

namespace exo::app {

struct NodeOptions {
  std::filesystem::path config;    // exo.toml; empty: the one in the data folder, if it is there
  std::string name;                // default: the host's name
  std::string host = "127.0.0.1";  // of the HTTP API
  uint16_t port = 52415;
  uint16_t peer_port = 52416;  // 0: any free one
  uint16_t discovery_port = 52414;
  std::vector<std::string> interfaces;  // empty: every usable one
  std::vector<std::string> peers;       // host:port seeds
  std::string secret;
  std::filesystem::path data_dir;  // default: $XDG_DATA_HOME/exo or ~/.local/share/exo
  std::vector<std::filesystem::path> model_dirs;
  uint64_t memory_bytes = 0;            // 0: decide from what is free
  int32_t threads = 0;                  // 0: one per core
  std::optional<ElementType> quantise;  // what weights become that are in plain numbers
  std::string model;                    // loaded at start, and used when a request names none
  std::string strategy = "ring-memory-weighted";
  std::string objective = "latency";  // of strategy auto
  std::vector<std::string> manual;    // "NODE=LAYERS" per stage, for --strategy manual
  int32_t context_tokens = 4096;
  int32_t max_sequences = 16;
  int32_t min_stages = 1;
  std::string rebalance = "auto";  // "off": running models stay where they are when devices join
  int32_t draft_tokens = 16;       // guesses per sequence and step; 0: no speculative decoding
  std::string draft;               // a small model that guesses; empty: guesses come from the text itself only
  std::string api_key;
  std::string allowed_hosts;
  std::string log_level = "warning";
  std::filesystem::path log_file;
};

// Adds every node option to `command`, bound to `options`, with its environment variable and help text.
void add_node_options(CLI::App& command, NodeOptions& options);

// --quantize, for commands that take a model.
void add_quantise_option(CLI::App& command, std::optional<ElementType>& type);

// Takes from the TOML file what neither the command line nor the environment said; after `command` was parsed.
// Errors name the file and the line or key; unknown keys are errors.
Status read_config(CLI::App& command, NodeOptions& options);

// Fills what was left to defaults (name, data_dir) and checks combinations. Reads the home folder from
// `environment`.
Status complete_options(NodeOptions& options);

// What these options ask of placement: strategy, context, stages.
Result<cluster::PlacementRequest> placement_request(const NodeOptions& options);

// "4GiB", "800 MB", "1.5G", "123456" → bytes.
Result<uint64_t> parse_bytes(const std::string& text);

}  // namespace exo::app
