#pragma once
// `exo run`: one prompt, or a conversation in the terminal, answered by a node.

#include <string>

#include "app/http_client.h"

namespace exo::app {

struct ChatOptions {
  std::string model, prompt, system;  // prompt empty: interactive
  std::string api_key;
  double temperature = -1;  // below 0: the node's default
  int32_t max_tokens = 0;   // 0: until the model ends
  std::string seed;         // empty: a random one
  bool show_speed = true;
};

// Streams the answer to standard output. Returns the process's exit status.
int run_chat(const NodeUrl& url, const ChatOptions& options);

}  // namespace exo::app
