#pragma once
// What the command line can ask for, beyond the pieces with headers of their own.

#include <cstdint>
#include <string>

#include "app/chat_client.h"
#include "app/options.h"
#include "base/result.h"
#include "formats/gguf.h"

namespace exo::app {

// Runs this device until Ctrl-C or SIGTERM; with `live_view` the terminal shows the ring (unless it is no
// terminal).
Status run_node(const NodeOptions& options, bool live_view);

// Asks the node at `url`; with an empty url the one that runs on this device, and when none runs, a node of this
// process's own, which joins the others for as long as the command lasts. Returns the process's exit status.
Result<int> run_chat_command(const NodeOptions& options, const std::string& url, const ChatOptions& chat);

struct PsOptions {
  std::string url = "http://127.0.0.1:52415", api_key;
  int32_t wait_nodes = 0;
  std::string wait_model;
  int32_t timeout_s = 30;
  bool json = false;
};
// Prints the ring of a running node; kDeadlineExceeded when what is waited for does not come.
Status run_ps(const PsOptions& options);

struct LeaveOptions {
  std::string node;  // name or beginning of the id; empty: the one that is asked
  std::string url = "http://127.0.0.1:52415", api_key;
  int32_t timeout_s = 60;
};
// Asks a device to leave the cluster, and waits until it has.
Status run_leave(const LeaveOptions& options);

struct TraceOptions {
  std::string request = "last";  // the id of an answer, or "last": the latest that came to the node
  std::string url = "http://127.0.0.1:52415", api_key;
  std::string chrome_file;  // also written there, for chrome://tracing; empty: not
  bool json = false;
};
// Prints what a request did on which node, and how long it took.
Status run_trace(const TraceOptions& options);

struct PlanOptions {
  std::string model, like, devices_file, url = "http://127.0.0.1:52415", output = "table";
  int32_t prompt_tokens = 512, concurrency = 4;  // of the predictions
  bool larger_than_memory = false, compare = false;
};
// A model that is there, or (`like`) a known shape on the imagined devices of a file.
Status run_plan(const NodeOptions& options, const PlanOptions& plan);

// Prints a report; 0 when nothing is wrong, 1 otherwise.
int run_doctor(const NodeOptions& options);

// Writes the model as one GGUF file, piece by piece.
Status run_convert(const formats::GgufFile& model, const std::string& output);

struct SynthArguments {
  std::string like, type = "Q4_0", output;
  int32_t layers = 0;
};
Status run_synth(const SynthArguments& arguments);

}  // namespace exo::app
