#include "app/cli.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "app/bench.h"
#include "app/chat_client.h"
#include "app/commands.h"
#include "app/debug_commands.h"
#include "app/inspect.h"
#include "app/memory_nodes.h"
#include "app/model_argument.h"
#include "app/options.h"
#include "app/version.h"
#include "model/synthesize.h"

namespace exo::app {

namespace {

// Runs when its subcommand was given. Commands return a Status; main prints its error.
using Action = std::function<Status()>;

struct Cli {
  CLI::App app{
      "exo: everyday devices as one AI cluster.\n"
      "Start `exo` on each device of a network; they find each other and share out a model.\n"
      "Without a command: start this device and show the ring.",
      "exo"};
  NodeOptions node;
  std::string model, url_text = "http://127.0.0.1:52415";
  ChatOptions chat;
  BenchOptions bench;
  PlanOptions plan;
  PsOptions ps;
  LeaveOptions leave;
  TraceOptions trace;
  SynthArguments synth;
  DebugLogitsOptions logits;
  std::string inspect_output = "text", template_file, type_name, in_file, out_file;
  std::vector<std::string> texts;
  bool inspect_metadata = false, inspect_tensors = false, url_given = false;
  int exit_status = 0;
  Action action;
};

// Options of a command that add_node_options was called for.
Status checked(CLI::App& command, NodeOptions& options) {
  EXO_CHECK_OK(read_config(command, options));
  return complete_options(options);
}

void add_model(CLI::App* command, Cli& cli, bool required = true) {
  command->add_option("-m,--model", cli.model, "A model file, or the name of an installed model")
      ->required(required);
  command->add_option("--data-dir", cli.node.data_dir, "Folder with the installed models")->envname("EXO_DATA_DIR");
  add_quantise_option(*command, cli.node.quantise);
}

Result<std::shared_ptr<const formats::GgufFile>> model_of(Cli& cli) {
  EXO_CHECK_OK(complete_options(cli.node));
  return open_model(cli.model, cli.node.data_dir, cli.node.quantise);
}

void add_serve(Cli& cli) {
  auto* serve =
      cli.app.add_subcommand("serve", "Start this device without the live view (for services and scripts)");
  add_node_options(*serve, cli.node);
  serve->callback([&cli, serve] {
    cli.action = [&cli, serve]() -> Status {
      EXO_CHECK_OK(checked(*serve, cli.node));
      return run_node(cli.node, false);
    };
  });
}

void add_run(Cli& cli) {
  auto* run = cli.app.add_subcommand("run", "Ask a model: one prompt with -p, a conversation without");
  run->add_option("MODEL", cli.chat.model, "Name of a model (default: the node's)");
  run->add_option("-p,--prompt", cli.chat.prompt, "What to ask");
  run->add_option("-s,--system", cli.chat.system, "System message");
  run->add_option("--url", cli.url_text, "Ask the node at this address instead of the one on this device")
      ->envname("EXO_URL");
  run->add_option("--temperature", cli.chat.temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 10.0));
  run->add_option("--max-tokens", cli.chat.max_tokens, "End the answer after so many tokens")
      ->check(CLI::PositiveNumber);
  run->add_option("--seed", cli.chat.seed, "Same seed, same answer")->check(CLI::Number);
  add_node_options(*run, cli.node);
  run->callback([&cli, run] {
    cli.url_given = run->count("--url") > 0;
    cli.action = [&cli, run]() -> Status {
      EXO_CHECK_OK(checked(*run, cli.node));
      cli.chat.api_key = cli.node.api_key;
      EXO_TRY(cli.exit_status, run_chat_command(cli.node, cli.url_given ? cli.url_text : "", cli.chat));
      return {};
    };
  });
}

void add_ps(Cli& cli) {
  auto* ps = cli.app.add_subcommand("ps", "Show the cluster as a running node sees it");
  ps->add_option("--url", cli.ps.url, "Address of the node")->envname("EXO_URL")->capture_default_str();
  ps->add_option("--api-key", cli.ps.api_key, "The node's API key")->envname("EXO_API_KEY");
  ps->add_option("--wait", cli.ps.wait_nodes, "Wait until so many devices are there");
  ps->add_option("--wait-model", cli.ps.wait_model, "Wait until this model is ready");
  ps->add_option("--timeout", cli.ps.timeout_s, "Seconds to wait")->capture_default_str();
  ps->add_flag("--json", cli.ps.json, "Print /v1/topology");
  ps->callback([&cli] { cli.action = [&cli] { return run_ps(cli.ps); }; });
}

void add_leave(Cli& cli) {
  auto* leave = cli.app.add_subcommand(
      "leave", "Let a device leave the cluster: others take over what it runs, then it stops");
  leave->add_option("NODE", cli.leave.node,
                    "Its name or the beginning of its id (default: the node that is asked)");
  leave->add_option("--url", cli.leave.url, "Address of the node to ask")
      ->envname("EXO_URL")
      ->capture_default_str();
  leave->add_option("--api-key", cli.leave.api_key, "The node's API key")->envname("EXO_API_KEY");
  leave->add_option("--timeout", cli.leave.timeout_s, "Seconds to wait until it has left")->capture_default_str();
  leave->callback([&cli] { cli.action = [&cli] { return run_leave(cli.leave); }; });
}

void add_trace(Cli& cli) {
  auto* trace = cli.app.add_subcommand("trace", "Show what a request did on every device: time per stage and hop");
  auto* id = trace->add_option("REQUEST", cli.trace.request, "The id of an answer (chatcmpl-…)");
  trace
      ->add_flag_callback(
          "--last", [&cli] { cli.trace.request = "last"; }, "The latest request that came to the node; the default")
      ->excludes(id);
  trace->add_option("--chrome", cli.trace.chrome_file, "Also write a file for chrome://tracing or ui.perfetto.dev");
  trace->add_flag("--json", cli.trace.json, "Print every step as JSON");
  trace->add_option("--url", cli.trace.url, "Address of the node")->envname("EXO_URL")->capture_default_str();
  trace->add_option("--api-key", cli.trace.api_key, "The node's API key")->envname("EXO_API_KEY");
  trace->callback([&cli] { cli.action = [&cli] { return run_trace(cli.trace); }; });
}

void add_plan(Cli& cli) {
  auto* plan = cli.app.add_subcommand("plan", "Show how a model would be shared out, and how fast it would be");
  plan->add_option("MODEL", cli.plan.model, "A model file, or the name of an installed model");
  plan->add_option("--like", cli.plan.like,
                   "With --devices, instead of MODEL: a known shape and number format, like llama-3.1-405b@Q4_K");
  plan->add_option("--devices", cli.plan.devices_file,
                   "Plan for the devices and links of this TOML or JSON file instead of the running cluster")
      ->check(CLI::ExistingFile);
  plan->add_option("--prompt", cli.plan.prompt_tokens, "Predict the first token of a prompt of so many tokens")
      ->capture_default_str();
  plan->add_option("--concurrency", cli.plan.concurrency, "Predict tokens/s of so many requests at once")
      ->capture_default_str();
  plan->add_flag("--compare", cli.plan.compare, "Show what the other strategies would give as well");
  plan->add_flag("--larger-than-memory", cli.plan.larger_than_memory,
                 "With --devices: let devices read from disk what does not fit into their memory");
  plan->add_flag_callback(
      "--json", [&cli] { cli.plan.output = "json"; }, "The same as --output json");
  plan->add_option("--url", cli.plan.url, "Ask the node at this address")
      ->envname("EXO_URL")
      ->capture_default_str();
  plan->add_option("-o,--output", cli.plan.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  add_node_options(*plan, cli.node);
  plan->callback([&cli, plan] {
    cli.action = [&cli, plan]() -> Status {
      EXO_CHECK_OK(checked(*plan, cli.node));
      return run_plan(cli.node, cli.plan);
    };
  });
}

void add_bench(Cli& cli) {
  auto* bench = cli.app.add_subcommand("bench", "Measure how fast this device runs a model");
  add_model(bench, cli);
  bench->add_option("-p", cli.bench.prompt_tokens, "Prompt lengths to prefill; 0 for none")
      ->delimiter(',')
      ->capture_default_str();
  bench->add_option("-n", cli.bench.decode_tokens, "Tokens to decode; 0 for none")
      ->delimiter(',')
      ->capture_default_str();
  bench->add_option("-b", cli.bench.sequences, "Sequences to decode together")
      ->delimiter(',')
      ->capture_default_str();
  bench->add_option("-d", cli.bench.depths, "Positions already in the cache")
      ->delimiter(',')
      ->capture_default_str();
  bench->add_option("-t,--threads", cli.bench.threads, "Threads; 0: one per core")
      ->delimiter(',')
      ->capture_default_str();
  bench->add_option("-r", cli.bench.repetitions, "Repetitions; the median is shown")->capture_default_str();
  bench->add_option("-o,--output", cli.bench.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  bench->add_option("--kv-type", cli.bench.kv_type, "Number format of the KV cache: F32, F16 or Q8_0")
      ->capture_default_str();
  bench->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      return run_bench(model, cli.bench);
    };
  });
}

void add_inspect(Cli& cli) {
  auto* command = cli.app.add_subcommand("inspect", "Show what is in a model file");
  command->add_option("FILE", cli.model, "A model file, or the name of an installed model")->required();
  command->add_flag("--metadata", cli.inspect_metadata, "Every metadata key");
  command->add_flag("--tensors", cli.inspect_tensors, "Every tensor");
  command->add_option("-o,--output", cli.inspect_output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      EXO_TRY(const auto text, inspect(*model, cli.inspect_metadata, cli.inspect_tensors, cli.inspect_output));
      std::cout << text;
      return {};
    };
  });
}

void add_convert(Cli& cli) {
  auto* convert =
      cli.app.add_subcommand("convert", "Write a model (folder, split or single file) as one GGUF file");
  convert->add_option("MODEL", cli.model, "A model file or folder, or the name of an installed model")->required();
  convert->add_option("-o,--output", cli.out_file, "File to write")->required();
  convert->add_option("--data-dir", cli.node.data_dir, "Folder with the installed models")->envname("EXO_DATA_DIR");
  add_quantise_option(*convert, cli.node.quantise);
  convert->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      return run_convert(*model, cli.out_file);
    };
  });
}

void add_doctor(Cli& cli) {
  auto* doctor = cli.app.add_subcommand("doctor", "Check this device: processor, memory, network, ports, models");
  add_node_options(*doctor, cli.node);
  doctor->callback([&cli, doctor] {
    cli.action = [&cli, doctor]() -> Status {
      EXO_CHECK_OK(checked(*doctor, cli.node));
      cli.exit_status = run_doctor(cli.node);
      return {};
    };
  });
}

void add_synth(Cli& cli) {
  auto* synth =
      cli.app.add_subcommand("synth", "Write a model of a known shape with random weights, for benchmarks");
  synth->add_option("--like", cli.synth.like, "One of " + model::synth_shapes())->required();
  synth->add_option("--layers", cli.synth.layers, "So many layers instead of the shape's own");
  synth->add_option("--type", cli.synth.type, "Number format of the weights")->capture_default_str();
  synth->add_option("-o,--output", cli.synth.output, "File to write")->required();
  synth->callback([&cli] { cli.action = [&cli] { return run_synth(cli.synth); }; });
}

void add_debug(Cli& cli) {
  auto* debug = cli.app.add_subcommand("debug", "Checks of single layers: JSON lines in, JSON lines out");
  debug->require_subcommand(1);

  auto* tokenize = debug->add_subcommand("tokenize", "{text, add_special, parse_special} → {ids}");
  add_model(tokenize, cli);
  tokenize->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      EXO_TRY(const auto tokenizer, text::load_tokenizer(model->metadata()));
      return debug_tokenize(*tokenizer, std::cin, std::cout);
    };
  });

  auto* detokenize = debug->add_subcommand("detokenize", "{ids} → {text}");
  add_model(detokenize, cli);
  detokenize->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      EXO_TRY(std::shared_ptr<const text::Tokenizer> tokenizer, text::load_tokenizer(model->metadata()));
      return debug_detokenize(std::move(tokenizer), std::cin, std::cout);
    };
  });

  auto* chat_template = debug->add_subcommand("template", "{messages, tools, …} → {rendered} or {error}");
  add_model(chat_template, cli, false);
  chat_template->add_option("--template", cli.template_file, "A Jinja template file instead of a model's")
      ->check(CLI::ExistingFile);
  chat_template->callback([&cli] {
    cli.action = [&cli]() -> Status {
      if (cli.template_file.empty() == cli.model.empty())
        return fail(ErrorCode::kInvalidArgument, "give either -m or --template");
      if (!cli.model.empty()) {
        EXO_TRY(const auto model, model_of(cli));
        EXO_TRY(const auto text, chat::load_text_model(model->metadata()));
        return debug_template(*text->chat_template, text->bos_token, text->eos_token, std::cin, std::cout);
      }
      std::ifstream file(cli.template_file, std::ios::binary);
      const std::string source((std::istreambuf_iterator<char>(file)), {});
      EXO_TRY(const auto parsed, chat::ChatTemplate::parse(source));
      return debug_template(parsed, "", "", std::cin, std::cout);
    };
  });

  auto* logits = debug->add_subcommand("logits", "Logits of every position, and a greedy continuation");
  add_model(logits, cli);
  logits->add_option("--tokens", cli.logits.tokens, "Token ids, separated by commas")->delimiter(',')->required();
  logits->add_option("--out", cli.logits.out, "f32 logits [n_tokens, n_vocab] go there");
  logits->add_option("--greedy", cli.logits.greedy, "Tokens to continue with");
  logits->add_option("--stages", cli.logits.stages, "Cut the model into so many stages")->capture_default_str();
  logits->add_option("--kv-type", cli.logits.kv_type, "Number format of the KV cache: F32, F16 or Q8_0")
      ->capture_default_str();
  logits->add_flag("--widen", cli.logits.widen, "Weights as F32: what quantised arithmetic is compared with");
  logits->add_option("-t,--threads", cli.logits.threads, "Threads; 0: one per core");
  logits->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(const auto model, model_of(cli));
      return debug_logits(model, cli.logits, std::cout);
    };
  });

  auto* embed = debug->add_subcommand("embed", "Embeddings of texts");
  add_model(embed, cli);
  embed->add_option("--text", cli.texts, "A text; may be repeated")->required();
  embed->add_option("-t,--threads", cli.logits.threads, "Threads; 0: one per core");
  embed->callback([&cli] {
    cli.action = [&cli]() -> Status {
      EXO_TRY(auto model, model_of(cli));
      return debug_embed(std::move(model), cli.texts, cli.logits.threads, std::cout);
    };
  });

  auto* dequantize = debug->add_subcommand("dequantize", "Packed blocks → f32");
  dequantize->add_option("--type", cli.type_name, "Number format, e.g. Q4_K")->required();
  dequantize->add_option("--in", cli.in_file, "File of packed blocks")->required();
  dequantize->add_option("--out", cli.out_file, "f32 goes there")->required();
  dequantize->callback(
      [&cli] { cli.action = [&cli] { return debug_dequantize(cli.type_name, cli.in_file, cli.out_file); }; });
}

}  // namespace

int run_command_line(int argc, char** argv) {
  spread_memory(memory_nodes());  // before there are other threads
  Cli cli;
  cli.app.set_version_flag("--version", std::string("exo ") + kVersion);
  cli.app.require_subcommand(0, 1);
  NodeOptions top_level;
  add_node_options(cli.app, top_level);
  add_serve(cli);
  add_run(cli);
  add_ps(cli);
  add_leave(cli);
  add_trace(cli);
  add_plan(cli);
  add_bench(cli);
  add_inspect(cli);
  add_convert(cli);
  add_doctor(cli);
  add_synth(cli);
  add_debug(cli);
  try {
    cli.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.app.exit(error) == 0 ? 0 : 2;
  }
  if (!cli.action) {
    cli.action = [&cli, &top_level]() -> Status {
      EXO_CHECK_OK(checked(cli.app, top_level));
      return run_node(top_level, true);
    };
  }
  if (const auto status = cli.action(); !status) {
    std::fflush(stdout);
    std::cerr << "exo: " << status.error().message << "\n";
    return 1;
  }
  return cli.exit_status;
}

}  // namespace exo::app
