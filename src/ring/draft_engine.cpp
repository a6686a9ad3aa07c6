#include "ring/draft_engine.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "base/log.h"
#include "net/caught.h"
#include "ring/draft_mailbox.h"
#include "sample/sampler.h"

namespace exo::ring {
namespace {

using Key = DraftCache::Key;

constexpr std::string_view kComponent = "draft";
constexpr int32_t kFewRows = 16;  // of a sequence: read together with making its guess
constexpr double kChunkSeconds =
    0.015;  // of reading at a time: as long may a stage's step share the device with it
constexpr int32_t kLeastChunkRows = 4;
constexpr int32_t kPassesPerChunk = 4;  // of guessing, while something is to be read as well
constexpr auto kGatePatience = std::chrono::milliseconds(20);

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

bool starts_with(std::span<const TokenId> tokens, std::span<const TokenId> prefix) {
  return tokens.size() >= prefix.size() && std::ranges::equal(tokens.first(prefix.size()), prefix);
}

void smooth(double& average, double value) { average = average == 0 ? value : 0.8 * average + 0.2 * value; }

// One sequence's order being worked on. order.tokens grows by the guesses.
struct Task {
  DraftOrder order;
  std::shared_ptr<DraftClient> client;
  size_t n_ordered = 0;
  std::optional<sample::Sampler> sampler;  // of the next guess
  bool finished = false;                   // whatever becomes of what was computed for it

  int32_t size() const { return static_cast<int32_t>(order.tokens.size()); }
  bool guesses() const { return order.tokens.size() - n_ordered < static_cast<size_t>(order.count); }
};

struct Part {  // of a pass
  Key key;
  Task* task = nullptr;
  int32_t first = 0, rows = 0;
  bool wants_logits = false;
};

class DraftHandle final : public Drafter {
 public:
  DraftHandle(std::shared_ptr<DraftMailbox> mailbox, uint64_t number, DraftSink& sink, int32_t n_vocab)
      : mailbox_(std::move(mailbox)), number_(number), client_(std::make_shared<DraftClient>(&sink, n_vocab)) {}
  ~DraftHandle() override {
    client_->sink = nullptr;
    mailbox_->leave(number_);
  }
  void propose(DraftOrder order) override {
    const Key key{number_, order.sequence};
    mailbox_->order(key, {std::move(order), client_});
  }
  void forget(uint64_t sequence) override { mailbox_->forget({number_, sequence}); }
  double guess_s() const override { return mailbox_->guess_s.load(); }

 private:
  const std::shared_ptr<DraftMailbox> mailbox_;
  const uint64_t number_;
  const std::shared_ptr<DraftClient> client_;
};

}  // namespace

struct DraftEngine::Engine {
  Engine(net::Clock& clock_in, std::unique_ptr<model::Stage> stage_in, IdleGate gate_in)
      : clock(clock_in),
        stage(std::move(stage_in)),
        gate(std::move(gate_in)),
        n_vocab(stage->model().n_vocab),
        cache(stage->config().n_blocks, stage->config().block_positions) {
    most_positions = cache.positions();
    if (const int32_t trained = stage->model().context_length; trained > 0)
      most_positions = std::min(most_positions, trained);
    logits.resize(static_cast<size_t>(n_vocab));
  }

  // A first pass, of a token in a block that nobody has yet.
  Status warm_up() {
    const Key key{};
    const TokenId token(0);
    for (int i = 0; i < 2; ++i) {
      cache.align(key, {});
      if (!cache.reserve(key, 1)) return fail(ErrorCode::kInvalidArgument, "a draft model without a cache");
      const auto begin = std::chrono::steady_clock::now();
      const model::StepSequence row{Position(0), 1, cache.blocks(key), true};
      EXO_TRY(const auto computed, stage->forward({{&row, 1}, {&token, 1}, {}}));
      (void)computed;
      mailbox->guess_s = seconds_since(begin);
    }
    cache.drop(key);
    return {};
  }

  void run() {
    DraftMail mail;
    while (mailbox->take(mail, !has_work())) {
      parts.clear();
      if (const Status done = net::caught([&] { return turn(mail); }); !done) give_up(done.error());
    }
  }

  Status turn(DraftMail& mail) {
    apply(mail);
    if (!has_work() || !gate.wait_idle(kGatePatience)) return {};
    if (!mailbox->has_news()) return pass();  // else: perhaps nobody wants any more what it would compute
    return {};
  }

  // ---- orders

  void apply(DraftMail& mail) {
    for (const Key& key : mail.forgotten) forget(key);
    for (const uint64_t client : mail.gone) {
      std::vector<Key> keys;
      for (const auto& [key, task] : tasks)
        if (key.first == client) keys.push_back(key);
      for (const Key& key : keys) forget(key);
    }
    for (auto& [key, ordered] : mail.orders) begin(key, std::move(ordered));
  }

  void forget(const Key& key) {
    tasks.erase(key);
    cache.retire(key);
  }

  void begin(const Key& key, DraftMail::Ordered ordered) {
    Task task{.order = std::move(ordered.order), .client = std::move(ordered.client)};
    auto& tokens = task.order.tokens;
    task.n_ordered = tokens.size();
    const bool knows_all =
        std::ranges::all_of(tokens, [this](TokenId t) { return t.value >= 0 && t.value < n_vocab; });
    if (!knows_all || tokens.empty()) return end(key, task);
    const int32_t wanted = std::min(task.order.count, most_positions - task.size());
    if (task.order.count > 0 && wanted <= 0) return end(key, task);
    task.order.count = std::max(wanted, 0);
    // What was guessed beyond for an earlier order still follows.
    if (const auto before = tasks.find(key); before != tasks.end()) {
      const auto& known = before->second.order;
      if (known.sampler == task.order.sampler && starts_with(known.tokens, tokens)) {
        const auto surplus = std::min(known.tokens.size() - tokens.size(), static_cast<size_t>(task.order.count));
        const auto from = known.tokens.begin() + static_cast<ptrdiff_t>(tokens.size());
        tokens.insert(tokens.end(), from, from + static_cast<ptrdiff_t>(surplus));
      }
    }
    cache.align(key, tokens);
    const auto made = std::span<const TokenId>(tokens).subspan(task.n_ordered);
    if (!made.empty() || is_done(key, task)) report(task, {made.begin(), made.end()});
    tasks.insert_or_assign(key, std::move(task));
  }

  bool is_done(const Key& key, const Task& task) const {
    return task.finished || (!task.guesses() && cache.computed(key) >= task.size() - 1);
  }

  // Nothing comes of it.
  void end(const Key& key, const Task& task) {
    post(task, {}, DraftState::kCannot);
    forget(key);
  }

  void report(Task& task, std::vector<TokenId> guesses) {
    task.finished = !task.guesses();
    post(task, std::move(guesses), task.finished ? DraftState::kDone : DraftState::kGoesOn);
  }

  void post(const Task& task, std::vector<TokenId> guesses, DraftState state) {
    clock.post([client = task.client, sequence = task.order.sequence, version = task.order.version,
                guesses = std::move(guesses), state] {
      if (client->sink != nullptr) client->sink->on_guesses(sequence, version, guesses, state);
    });
  }

  // ---- passes

  // What is left to do for a task now; no rows: nothing. The last token is left to the pass that makes a guess.
  Part part_of(const Key& key, Task& task) const {
    if (is_done(key, task)) return {key, &task};
    const bool guesses = task.guesses();
    const int32_t first = std::min(cache.computed(key), task.size() - 1);
    return {key, &task, first, task.size() - (guesses ? 0 : 1) - first, guesses};
  }

  bool has_work() {
    return std::ranges::any_of(tasks, [this](auto& item) { return part_of(item.first, item.second).rows > 0; });
  }

  Status pass() {
    choose();
    if (parts.empty()) return {};
    sequences.clear();
    rows.clear();
    for (const Part& part : parts) {
      sequences.push_back({Position(part.first), part.rows, cache.blocks(part.key), part.wants_logits});
      const auto& tokens = part.task->order.tokens;
      rows.insert(rows.end(), tokens.begin() + part.first, tokens.begin() + part.first + part.rows);
    }
    const auto begin = std::chrono::steady_clock::now();
    EXO_TRY(const auto computed, stage->forward({sequences, rows, {}}));
    take(computed);
    measure(seconds_since(begin));
    return {};
  }

  void choose() {
    parts.clear();
    cache.begin_pass();
    int32_t rows_left = stage->config().max_batch_rows;
    Part reading;
    std::vector<Key> without_room;
    for (auto& [key, task] : tasks) {
      Part part = part_of(key, task);
      if (part.rows == 0) continue;
      const bool reads = part.rows > kFewRows || !part.wants_logits;
      if (!reads && part.rows > rows_left) continue;
      if (!cache.reserve(key, reads ? task.size() : part.first + part.rows)) {
        without_room.push_back(key);
      } else if (!reads) {
        rows_left -= part.rows;
        parts.push_back(part);
      } else if (reading.task == nullptr) {
        reading = part;
      }
    }
    for (const Key& key : without_room) end(key, tasks.at(key));
    if (reading.task != nullptr) add_chunk(reading, rows_left);
  }

  void add_chunk(Part part, int32_t rows_left) {
    if (!parts.empty() && ++passes_since_chunk < kPassesPerChunk) return;
    passes_since_chunk = 0;
    const int32_t most = row_s == 0 ? kFewRows
                                    : static_cast<int32_t>(std::clamp(kChunkSeconds / row_s, 1.0 * kLeastChunkRows,
                                                                      1.0 * stage->config().max_batch_rows));
    const int32_t count = std::min({part.rows, most, rows_left});
    if (count <= 0) return;
    part.wants_logits = part.wants_logits && count == part.rows;
    part.rows = count;
    parts.push_back(part);
  }

  void take(std::span<const float> computed) {
    for (const Part& part : parts) {
      const auto& tokens = part.task->order.tokens;
      const int32_t known = cache.computed(part.key);  // the last of them may have been computed again
      cache.append(part.key, std::span(tokens).subspan(static_cast<size_t>(known),
                                                       static_cast<size_t>(part.first + part.rows - known)));
      if (!part.wants_logits) {
        if (is_done(part.key, *part.task)) report(*part.task, {});
        continue;
      }
      guess(*part.task, computed.first(logits.size()));
      computed = computed.subspan(logits.size());
    }
  }

  void guess(Task& task, std::span<const float> row) {
    auto& order = task.order;
    if (!task.sampler) {
      SamplerSettings settings = order.sampler;
      settings.top_log_probabilities = -1;
      const bool whole = settings.needs_history();
      task.sampler.emplace(std::move(settings), whole ? order.tokens : std::vector<TokenId>(),
                           whole ? static_cast<size_t>(std::max(order.prompt_tokens, 0)) : 0);
    }
    const auto n = static_cast<size_t>(std::min(n_vocab, task.client->n_vocab));
    std::ranges::copy(row.first(n), logits.begin());
    const TokenId guessed = task.sampler->sample(std::span(logits).first(n), Position(task.size())).token;
    order.tokens.push_back(guessed);
    report(task, {guessed});
  }

  void measure(double elapsed_s) {
    int32_t n_rows = 0;
    for (const Part& part : parts) n_rows += part.rows;
    if (n_rows >= 2 * kLeastChunkRows) smooth(row_s, elapsed_s / n_rows);
    if (n_rows > static_cast<int32_t>(2 * parts.size())) return;  // much was read
    double average = mailbox->guess_s.load();
    smooth(average, elapsed_s);
    mailbox->guess_s = average;
  }

  void give_up(const Error& error) {
    log_warning(kComponent, "{} cannot guess: {}", stage->model().name, error.message);
    for (const Part& part : parts) {
      end(part.key, *part.task);
      cache.drop(part.key);
    }
  }

  net::Clock& clock;
  const std::unique_ptr<model::Stage> stage;
  const IdleGate gate;
  const int32_t n_vocab;
  int32_t most_positions = 0;
  DraftCache cache;
  std::map<Key, Task> tasks;
  std::vector<Part> parts;                     // of the pass
  std::vector<model::StepSequence> sequences;  // of the pass
  std::vector<TokenId> rows;                   // of the pass
  std::vector<float> logits;                   // [n_vocab], the row being sampled
  int passes_since_chunk = 0;
  double row_s = 0;  // of reading, smoothed
  uint64_t n_clients = 0;
  const std::shared_ptr<DraftMailbox> mailbox = std::make_shared<DraftMailbox>();
  std::thread thread;
};

DraftEngine::DraftEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
  engine_->thread = std::thread([engine = engine_.get()] { engine->run(); });
}

DraftEngine::~DraftEngine() {
  engine_->mailbox->close();
  engine_->thread.join();
}

Result<std::unique_ptr<DraftEngine>> DraftEngine::start(net::Clock& clock, std::unique_ptr<model::Stage> stage,
                                                        IdleGate gate) {
  const auto& info = stage->model();
  const auto& config = stage->config();
  if (std::ranges::any_of(info.state_bytes, [](uint64_t bytes) { return bytes > 0; }))
    return fail(ErrorCode::kUnsupported,
                "{} ({}) keeps a state for each sequence: it cannot take wrong guesses back, and so guess nothing",
                info.name, info.architecture);
  if (config.layers.begin.value != 0 || config.layers.end.value != info.n_layers || !config.share.is_whole())
    return fail(ErrorCode::kInvalidArgument, "a draft model is a whole model");
  auto engine = std::make_unique<Engine>(clock, std::move(stage), std::move(gate));
  EXO_CHECK_OK(engine->warm_up());
  return std::unique_ptr<DraftEngine>(new DraftEngine(std::move(engine)));
}

std::unique_ptr<Drafter> DraftEngine::make_drafter(DraftSink& sink, int32_t n_vocab) {
  return std::make_unique<DraftHandle>(engine_->mailbox, ++engine_->n_clients, sink, n_vocab);
}

}  // namespace exo::ring
