#include "app/options.h"

#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "convert/quantised_view.h"
#include "wire/limits.h"

namespace exo::app {

namespace {

// A value of exo.toml as the command line would spell it.
Result<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  return fail(ErrorCode::kInvalidArgument, "values must be strings, numbers, booleans or lists of them");
}

Result<toml::table> parse_toml(const std::filesystem::path& path) {
  try {
    return toml::parse_file(path.string());
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kInvalidArgument, "{}, line {}: {}", path.string(), error.source().begin.line,
                error.description());
  }
}

std::string host_name() {
  char buffer[256] = {};
  if (gethostname(buffer, sizeof buffer - 1) != 0 || buffer[0] == '\0') return "exo";
  const std::string name(buffer);
  return name.substr(0, name.find('.'));
}

// $XDG_DATA_HOME/exo, else ~/.local/share/exo.
std::filesystem::path default_data_dir() {
  if (const char* data_home = std::getenv("XDG_DATA_HOME"); data_home != nullptr && *data_home != '\0') {
    return std::filesystem::path(data_home) / "exo";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr && *home != '\0' ? home : "/var/lib") / ".local/share/exo";
}

}  // namespace

Result<uint64_t> parse_bytes(const std::string& text) {
  size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  std::string unit;
  for (char c : text.substr(used)) {
    if (c != ' ') unit.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},          {"b", 1},         {"k", 1024},      {"kb", 1e3},       {"kib", 1024},
      {"m", 1 << 20},   {"mb", 1e6},      {"mib", 1 << 20}, {"g", 1 << 30},    {"gb", 1e9},
      {"gib", 1 << 30}, {"t", 1ll << 40}, {"tb", 1e12},     {"tib", 1ll << 40}};
  for (const auto& [name, factor] : kUnits) {
    if (used != 0 && unit == name && std::isfinite(number) && number >= 0 && number * factor < 9e18) {
      return static_cast<uint64_t>(number * factor);
    }
  }
  return fail(ErrorCode::kInvalidArgument, "'{}' is no amount of memory; write for example 4GiB or 800MB", text);
}

void add_quantise_option(CLI::App& command, std::optional<ElementType>& type) {
  command
      .add_option_function<std::string>(
          "--quantize",
          [&type](const std::string& text) {
            const auto parsed = convert::parse_quantised_type(text);
            if (!parsed) throw CLI::ValidationError("--quantize", parsed.error().message);
            type = *parsed;
          },
          "Number format, like Q8_0 or Q4_K, that weights in F32, F16, BF16 or FP8 get when a model is loaded")
      ->envname("EXO_QUANTIZE");
}

void add_node_options(CLI::App& command, NodeOptions& o) {
  command
      .add_option(
          "--config", o.config,
          "Read options from this TOML file, `option = value` per line (default: exo.toml in the data folder)")
      ->envname("EXO_CONFIG");
  command.add_option("--name", o.name, "Name of this device, for people (default: the host's name)")
      ->envname("EXO_NAME");
  command
      .add_option("--host", o.host,
                  "Address on which the HTTP API and the chat page listen; 0.0.0.0 opens them to the network, with "
                  "an API key")
      ->envname("EXO_HOST")
      ->capture_default_str();
  command.add_option("--port", o.port, "Port of the HTTP API and the chat page")
      ->envname("EXO_PORT")
      ->capture_default_str();
  command.add_option("--peer-port", o.peer_port, "Port for other exo devices; 0 picks a free one")
      ->envname("EXO_PEER_PORT")
      ->capture_default_str();
  command
      .add_option("--discovery-port", o.discovery_port,
                  "UDP port of the beacons; devices find each other on the same one")
      ->envname("EXO_DISCOVERY_PORT")
      ->capture_default_str();
  command
      .add_option("--interface", o.interfaces,
                  "Use only this network interface, for beacons and peers (may be repeated)")
      ->envname("EXO_INTERFACE");
  command.add_option("--peer", o.peers, "HOST:PORT of a device that beacons do not reach (may be repeated)")
      ->envname("EXO_PEER");
  command.add_option("--secret", o.secret, "Shared secret: only devices with the same one join")
      ->envname("EXO_SECRET");
  command.add_option("--data-dir", o.data_dir, "Folder for models, identity and caches")->envname("EXO_DATA_DIR");
  command.add_option("--model-dir", o.model_dirs, "Further folder with models, read only (may be repeated)")
      ->envname("EXO_MODEL_DIR");
  command
      .add_option_function<std::string>(
          "--memory",
          [&o](const std::string& text) {
            auto bytes = parse_bytes(text);
            if (!bytes) throw CLI::ValidationError("--memory", bytes.error().message);
            o.memory_bytes = *bytes;
          },
          "Memory that exo may use for weights, KV cache and activations, e.g. 6GiB (default: what is free, less a "
          "margin). Say more than there is to run larger models from the disk, slowly")
      ->envname("EXO_MEMORY");
  command.add_option("--threads", o.threads, "Threads that compute (default: one per core)")
      ->envname("EXO_THREADS");
  add_quantise_option(command, o.quantise);
  command.add_option("--model", o.model, "Model to load at start and to use when a request names none")
      ->envname("EXO_MODEL");
  command.add_option("--strategy", o.strategy, "How layers are shared out: " + cluster::strategy_names())
      ->envname("EXO_STRATEGY")
      ->capture_default_str();
  command
      .add_option("--objective", o.objective,
                  "What --strategy auto looks for: latency, throughput (of many requests) or ttft (first token)")
      ->envname("EXO_OBJECTIVE")
      ->capture_default_str();
  command.add_option("--stage", o.manual, "With --strategy manual: NODE=LAYERS, once per stage in ring order")
      ->envname("EXO_STAGE");
  command
      .add_option("--context", o.context_tokens,
                  "Tokens of context that all requests of a model share in the KV cache")
      ->envname("EXO_CONTEXT")
      ->capture_default_str();
  command
      .add_option("--max-sequences", o.max_sequences,
                  "Requests that a model answers at the same time; more wait in a queue")
      ->envname("EXO_MAX_SEQUENCES")
      ->capture_default_str();
  command
      .add_option(
          "--draft-tokens", o.draft_tokens,
          "Speculative decoding: how many tokens to guess at a time, at most; 0 turns it off. The answers are "
          "the same either way")
      ->envname("EXO_DRAFT_TOKENS")
      ->capture_default_str();
  command
      .add_option(
          "--draft", o.draft,
          "Speculative decoding: a small model with the vocabulary of a large one, which guesses for it where "
          "this device holds its first layers. Its memory is set aside")
      ->envname("EXO_DRAFT");
  command
      .add_option("--rebalance", o.rebalance,
                  "auto: a running model moves, without a pause, when a device joins that makes it faster; off: it "
                  "stays")
      ->envname("EXO_REBALANCE")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "off"}));
  command.add_option("--min-stages", o.min_stages, "Split over at least so many devices, also when fewer would do")
      ->envname("EXO_MIN_STAGES")
      ->capture_default_str();
  command
      .add_option("--api-key", o.api_key,
                  "Key that HTTP clients must send (default: none on loopback, a generated one otherwise)")
      ->envname("EXO_API_KEY");
  command
      .add_option("--allow-host", o.allowed_hosts,
                  "Comma-separated further Host names that the HTTP API answers to")
      ->envname("EXO_ALLOW_HOST");
  command.add_option("--log-level", o.log_level, "debug, info, warning or error")
      ->envname("EXO_LOG_LEVEL")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  command
      .add_option("--log-file", o.log_file,
                  "Write the log there (default: standard error; the live view keeps it in the data folder)")
      ->envname("EXO_LOG_FILE");
}

Status read_config(CLI::App& command, NodeOptions& options) {
  std::error_code ignored;
  const bool asked_for = !options.config.empty();
  const auto path =
      asked_for ? options.config : (options.data_dir.empty() ? default_data_dir() : options.data_dir) / "exo.toml";
  if (!std::filesystem::exists(path, ignored)) {
    return asked_for ? Status(fail(ErrorCode::kNotFound, "there is no file {}", path.string())) : Status();
  }
  EXO_TRY(const auto table, parse_toml(path));
  for (const auto& [key, node] : table) {
    auto* option = key.str() == "config" ? nullptr : command.get_option_no_throw("--" + std::string(key.str()));
    if (option == nullptr)
      return fail(ErrorCode::kInvalidArgument, "{}: there is no option '{}'; see exo --help", path.string(),
                  key.str());
    if (option->count() > 0) continue;  // said on the command line or in the environment
    std::vector<std::string> values;
    if (const auto* list = node.as_array()) {
      for (const auto& element : *list) {
        EXO_TRY(values.emplace_back(), text_of(element));
      }
    } else {
      EXO_TRY(values.emplace_back(), text_of(node));
    }
    try {
      option->add_result(values);
      option->run_callback();
    } catch (const CLI::Error& error) {
      return fail(ErrorCode::kInvalidArgument, "{}: {}: {}", path.string(), key.str(), error.what());
    }
  }
  return {};
}

Status complete_options(NodeOptions& options) {
  if (options.name.empty()) options.name = host_name();
  if (options.name.size() > 64) return fail(ErrorCode::kInvalidArgument, "--name may be at most 64 bytes long");
  if (options.data_dir.empty()) options.data_dir = default_data_dir();
  if (options.context_tokens < 64) return fail(ErrorCode::kInvalidArgument, "--context must be at least 64 tokens");
  if (options.draft_tokens < 0 || options.draft_tokens > static_cast<int32_t>(wire::kMaxDraftTokens))
    return fail(ErrorCode::kInvalidArgument, "--draft-tokens must be from 0 to {}", wire::kMaxDraftTokens);
  if (!options.draft.empty() && options.draft_tokens == 0)
    return fail(ErrorCode::kInvalidArgument, "--draft {} is of no use with --draft-tokens 0", options.draft);
  if (options.max_sequences < 1 || options.max_sequences > 256)
    return fail(ErrorCode::kInvalidArgument, "--max-sequences must be from 1 to 256");
  if (options.min_stages < 1) return fail(ErrorCode::kInvalidArgument, "--min-stages must be at least 1");
  if (options.threads < 0) return fail(ErrorCode::kInvalidArgument, "--threads must not be negative");
  EXO_TRY(const auto strategy, cluster::parse_strategy(options.strategy));
  EXO_TRY(const auto objective, cluster::parse_objective(options.objective));
  (void)objective;
  if ((strategy == cluster::Strategy::kManual) != !options.manual.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--strategy manual and --stage NODE=LAYERS go together");
  }
  return {};
}

Result<cluster::PlacementRequest> placement_request(const NodeOptions& options) {
  cluster::PlacementRequest request;
  EXO_TRY(request.strategy, cluster::parse_strategy(options.strategy));
  EXO_TRY(request.objective, cluster::parse_objective(options.objective));
  request.context_tokens = options.context_tokens;
  request.min_stages = options.min_stages;
  for (const auto& stage : options.manual) {
    const auto equals = stage.rfind('=');
    int32_t layers = 0;
    const char* end = stage.data() + stage.size();
    if (equals == std::string::npos || equals == 0 ||
        std::from_chars(stage.data() + equals + 1, end, layers).ptr != end || layers < 1) {
      return fail(ErrorCode::kInvalidArgument, "--stage {} must be NODE=LAYERS, like study=12", stage);
    }
    request.manual.push_back({stage.substr(0, equals), layers});
  }
  return request;
}

}  // namespace exo::app
