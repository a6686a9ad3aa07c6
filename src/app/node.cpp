#include "app/node.h"

#include <fstream>
#include <random>
#include <thread>

#include "api/http_server.h"
#include "api/routes.h"
#include "api/topology.h"
#include "app/device_profile.h"
#include "app/device_watch.h"
#include "app/draft_model.h"
#include "app/embedder.h"
#include "app/library.h"
#include "app/stage_loader.h"
#include "app/store_files.h"
#include "app/topology_client.h"
#include "app/version.h"
#include "app/worker.h"
#include "base/log.h"
#include "cluster/content.h"
#include "net/caught.h"
#include "net/event_loop.h"
#include "net/node_network.h"
#include "serve/front.h"
#include "serve/node_service.h"
#include "wire/limits.h"

namespace exo::app {

using namespace std::chrono_literals;

namespace {

constexpr auto kRefreshInterval = 3s;  // of model folders, addresses, free memory

bool is_loopback(const std::string& host) { return host == "127.0.0.1" || host == "::1" || host == "localhost"; }

// On loopback no key is needed; elsewhere the given one, or one that is made once and kept.
Result<std::string> api_key_of(const NodeOptions& options) {
  if (!options.api_key.empty() || is_loopback(options.host)) return options.api_key;
  const auto path = options.data_dir / "api-key";
  std::string key;
  if (std::ifstream file(path); file && std::getline(file, key) && key.size() >= 16) return key;
  std::random_device random;
  key.clear();
  for (int i = 0; i < 8; ++i) key += fmt::format("{:08x}", random());
  std::ofstream file(path);
  std::error_code ignored;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write,
                               ignored);
  if (!(file << key << "\n")) return fail(ErrorCode::kResourceExhausted, "cannot write {}", path.string());
  return key;
}

net::NetworkOptions network_options(const NodeOptions& options, uint64_t incarnation) {
  net::NetworkOptions network;
  network.interfaces = options.interfaces;
  network.peer_port = options.peer_port;
  network.peer_port_exact = options.peer_port != 0 && options.peer_port != net::kDefaultPeerPort;
  network.discovery_port = options.discovery_port;
  network.seeds = options.peers;
  network.secret = options.secret;
  network.name = options.name;
  network.software_version = kVersion;
  network.incarnation = incarnation;
  return network;
}

serve::RingServiceOptions ring_options(const NodeOptions& node, StageLoader& loader, DraftModel& draft,
                                       ring::TraceLog& trace) {
  serve::RingServiceOptions options;
  options.trace = &trace;
  options.max_draft_tokens = node.draft_tokens;
  options.dispose = [&loader](std::unique_ptr<ring::StageExecutor> executor) {
    loader.dispose(std::move(executor));
  };
  options.drafters = [&draft](const std::string& fingerprint, ring::DraftSink& sink) {
    return draft.drafter_for(fingerprint, sink);
  };
  return options;
}

// A model that no longer fits is said so within five seconds of the death: 1.25 s to notice, 3 s for the device to
// return.
serve::FrontOptions front_options(ring::TraceLog& trace) {
  serve::FrontOptions options;
  options.trace = &trace;
  options.problem_grace = 3s;
  return options;
}

// Tells this run from the ones before, of which others still know facts.
uint64_t new_incarnation() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// What a look at the disk finds.
struct OnDisk {
  std::vector<wire::ModelOffer> offers;
  std::vector<std::string> doubtful;  // fingerprints of stages that were loaded from other pieces
};

wire::NodeFacts in_incarnation(uint64_t incarnation, wire::NodeFacts self) {
  self.incarnation = incarnation;
  return self;
}

}  // namespace

struct Node::Impl {
  Impl(const NodeOptions& o, net::Identity identity, wire::NodeFacts self, cluster::ClusterOptions cluster_options,
       std::string key)
      : options(o),
        network(loop, std::move(identity), network_options(o, incarnation)),
        files(o, loop, network),
        loader(loop, files, network.self(), network, o.threads, gate),
        cluster(loop, network, loader, std::move(cluster_options), in_incarnation(incarnation, std::move(self))),
        device(options, loop),
        default_model(files.name_of(o.model)),
        library(loop, files, default_model),
        draft(options, loop, files, library, files.name_of(o.draft), gate),
        ring(loop, network, cluster, ring_options(options, loader, draft, trace_log)),
        front(loop, network, cluster, front_options(trace_log)),
        traces(loop, network, cluster, front, trace_log),
        embedder(loop, files, o.threads),
        services{loop,     network,        cluster,         front,     ring,    library,
                 kVersion, std::move(key), o.allowed_hosts, &embedder, nullptr, &traces},
        departure(loop, cluster, ring, front),
        http(loop.context(), {o.host, o.port}, api::make_routes(services)) {
    services.draft = [this] { return draft.view(); };
    services.link_paths = [this] { return network.link_paths(); };
    services.leave = [this](const std::string& reason) { departure.begin(reason); };
    loader.connect(cluster, ring);
    library.connect(cluster);
    files.connect(cluster);
    network.add_listener(&ring);
    network.add_listener(&front);
    network.add_listener(&departure);
    network.add_listener(&traces);
    cluster.add_observer(&ring);
    cluster.add_observer(&front);
    device.connect(cluster);
    draft.connect(cluster, ring, device);
    loader.observe_steps([this](const auto& fingerprint, const auto& step) { device.on_step(fingerprint, step); });
  }

  // Network thread, every few seconds: what changed on this device is told to the others.
  void refresh() {
    look_at_disk();
    const auto addresses = network.addresses();
    const double rate = ring.tokens_per_s();
    const auto& self = cluster.self();
    if (addresses != self.addresses || rate != self.tokens_per_s) {
      cluster.update_self([&](wire::NodeFacts& facts) {
        facts.addresses = addresses;
        facts.tokens_per_s = rate;
      });
    }
    device.refresh(front.active_requests() == 0 && rate == 0);
    draft.refresh();
    if (const auto strain = device.strain(); !departure.begun() && strain.empty() != self.withdrawal.empty()) {
      log_info("node", "{}", strain.empty() ? "takes part again" : "gives its stages away: " + strain);
      cluster.withdraw(strain);
    }
    report_seeds();
    files.hash_for_others(front.active_requests() > 0 || rate > 0, [this] { look_at_disk(); });
    refresh_timer = loop.run_after(kRefreshInterval, [this] { refresh(); });
  }

  // Models that came or went, on a thread of its own: a new one takes long to look at.
  void look_at_disk() {
    if (looking || stopping) return;
    looking = scanner.submit([this] {
      auto found = net::caught([this]() -> Result<OnDisk> {
        return OnDisk{files.offers(), files.confirm_parts()};
      });
      loop.post([this, found = std::move(found)] {
        looking = false;
        if (stopping) return;
        if (!found) return log_warning("node", "looking for models: {}", found.error().message);
        if (found->offers != cluster.self().models)
          cluster.update_self([&](wire::NodeFacts& facts) { facts.models = found->offers; });
        for (const auto& fingerprint : found->doubtful) fail_stages(fingerprint);
      });
    });
  }

  // They were loaded from pieces that are not those of the model.
  void fail_stages(const std::string& fingerprint) {
    const auto stages = cluster.self().stages;
    for (auto status : stages) {
      if (status.fingerprint != fingerprint) continue;
      status.state = wire::StageState::kFailed;
      status.error = "the device whose copy counts told other hashes before it had computed all of them";
      log_error("node", "a stage of {}: {}", fingerprint.substr(0, 8), status.error);
      cluster.report_stage(status);
    }
  }

  void report_seeds() {
    for (const auto& seed : network.seed_states()) {
      auto& reported = reported_seeds[seed.seed];
      if (seed.problem == reported) continue;
      reported = seed.problem;
      if (!seed.problem.empty()) log_warning("node", "seed {}: {}", seed.seed, seed.problem);
    }
  }

  // The model of --model is placed as soon as that is possible; later changes are the cluster's business.
  void place_default_model() {
    if (default_model.empty()) return;
    const auto facts = library.resolve(default_model);
    Status placed = facts ? cluster.ensure_instance(facts->fingerprint) : Status(std::unexpected(facts.error()));
    if (placed) return;
    if (placed.error().message != default_model_problem)
      log_info("node", "{}: {}", default_model, placed.error().message);
    default_model_problem = placed.error().message;
    placing_timer = loop.run_after(250ms, [this] { place_default_model(); });
  }

  Status start_on_network_thread() {
    EXO_CHECK_OK(http.start());
    EXO_CHECK_OK(network.start());
    network.set_file_source(files.source_lookup());
    cluster.update_self([&](wire::NodeFacts& facts) {
      facts.api_port = http.port();
      facts.peer_port = network.peer_port();
      facts.addresses = network.addresses();
      facts.models = files.offers();
    });
    draft.refresh();  // so that no stage is planned where it shall lie
    cluster.start();
    refresh();
    place_default_model();
    return {};
  }

  const NodeOptions options;
  const uint64_t incarnation = new_incarnation();
  net::EventLoop loop;
  net::NodeNetwork network;
  StoreFiles files;
  ring::IdleGate gate;
  StageLoader loader;
  ring::TraceLog trace_log;
  cluster::Cluster cluster;
  DeviceWatch device;
  const std::string default_model;  // of --model; may be empty
  Library library;
  DraftModel draft;
  serve::RingService ring;
  serve::Front front;
  serve::TraceService traces;
  Embedder embedder;
  api::Services services;
  Departure departure;
  api::HttpServer http;
  Worker scanner;
  net::TimerId refresh_timer = 0, placing_timer = 0;
  std::map<std::string, std::string> reported_seeds;
  std::string default_model_problem;
  bool started = false;
  bool looking = false, stopping = false;  // network thread
};

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Node::~Node() { stop(); }

Result<std::unique_ptr<Node>> Node::create(const NodeOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.data_dir / "models", error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument, "cannot make the data folder {}: {} (choose another with --data-dir)",
                options.data_dir.string(), error.message());
  }
  EXO_TRY(auto identity, net::Identity::load_or_create(options.data_dir));
  EXO_TRY(auto key, api_key_of(options));
  cluster::ClusterOptions cluster_options;
  EXO_TRY(cluster_options.placement, placement_request(options));
  cluster_options.placement.preferred = identity.id();
  cluster_options.link_burst_bytes = wire::kMaxPingBytes;
  cluster_options.rebalance = options.rebalance == "auto";
  wire::NodeFacts self;
  self.id = identity.id();
  self.name = options.name;
  self.software_version = kVersion;
  self.device = device_profile(options);
  return std::unique_ptr<Node>(new Node(std::make_unique<Impl>(options, std::move(identity), std::move(self),
                                                               std::move(cluster_options), std::move(key))));
}

Status Node::start() {
  impl_->loop.start();
  impl_->started = true;
  Status result;
  impl_->loop.run_and_wait([&] { result = impl_->start_on_network_thread(); });
  return result;
}

void Node::depart(const std::string& reason) {
  impl_->loop.run_and_wait([&] { impl_->departure.begin(reason); });
}

std::optional<DepartureDecision> Node::departure() {
  std::optional<DepartureDecision> decision;
  impl_->loop.run_and_wait([&] {
    if (impl_->departure.begun()) decision = impl_->departure.decide();
  });
  return decision;
}

void Node::stop() {
  if (!std::exchange(impl_->started, false)) return;
  auto& node = *impl_;
  node.loop.run_and_wait([&] {
    node.stopping = true;
    node.loop.cancel(node.refresh_timer);
    node.loop.cancel(node.placing_timer);
    node.front.end("this device has left the cluster");
    node.cluster.leave("it was stopped");
    node.files.stop();
    node.network.stop("it was stopped");
  });
  std::this_thread::sleep_for(200ms);  // so that the peers read the goodbye, and clients why their answers end
  node.loop.run_and_wait([&] { node.http.stop(); });
  node.scanner.finish();
  node.files.stop_hashing();
  node.library.stop();
  node.draft.stop();
  node.embedder.stop();
  node.device.stop();
  node.loader.stop();
  node.loop.stop();
}

uint16_t Node::api_port() const {
  uint16_t port = 0;
  impl_->loop.run_and_wait([&] { port = impl_->http.port(); });
  return port;
}

const std::string& Node::api_key() const { return impl_->services.api_key; }

ViewState Node::view() {
  ViewState state;
  impl_->loop.run_and_wait([&] {
    const auto& node = *impl_;
    state.version = kVersion;
    state.api_url = fmt::format("http://{}:{}", is_loopback(node.options.host) ? "127.0.0.1" : node.options.host,
                                node.http.port());
    state.secret_hint = node.options.secret.empty() ? "open to devices of this network" : "closed by a secret";
    state.members = node.cluster.members();
    state.instances = node.cluster.instances();
    state.models = node.cluster.models();
    state.refusals = node.network.refusals();
    state.active_requests = node.front.active_requests();
    const auto draft = api::draft_json(node.services);
    describe_draft(&draft, state);
    if (node.departure.begun()) {
      const auto waits = node.departure.decide().why;
      state.notices.push_back(fmt::format("leaving ({}){}{}. Ctrl-C leaves at once.", node.departure.reason(),
                                          waits.empty() ? "" : ": ", waits));
    }
    const auto members = node.cluster.members();
    const auto content = [&](const std::string& fingerprint) { return node.cluster.content(fingerprint); };
    for (const auto& copy : cluster::differing_copies(members, content)) {
      const auto name = [&](const NodeId& id) {
        const auto* facts = node.cluster.find_member(id);
        return facts == nullptr ? id.short_hex() : facts->name;
      };
      state.notices.push_back(differing_copy_notice(copy.model_name, name(copy.node), name(copy.origin)));
    }
    if (!node.network.discovery_works())
      state.notices.push_back("the discovery port is taken: only --peer addresses are found");
    if (node.network.interfaces_used().empty())
      state.notices.push_back("no usable network interface: this device is alone");
    for (const auto& seed : node.network.seed_states()) {
      if (!seed.problem.empty()) state.notices.push_back(fmt::format("seed {}: {}", seed.seed, seed.problem));
    }
  });
  return state;
}

}  // namespace exo::app
