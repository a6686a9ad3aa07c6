#pragma once
// Decides what the ring computes next. Runs on the first stage's node for one epoch of one instance; network
// thread.
//
// A sequence is its tokens. Those whose keys and values are not yet on their way are pending: a whole prompt, the
// part of it that the prefix cache lacks, one token while decoding, everything again after a preemption. A
// micro-batch takes the pending token of decoding sequences first and fills up with chunks of the others; a step
// that reaches the end of a sequence wants logits, and its result appends one token. As many micro-batches are in
// flight as there are stages, on slow links more (pipeline_depth.h). A decoding sequence is in one of them, but for
// what is guessed; chunks of one prompt follow each other without waiting.
//
// Speculation: behind the pending token of a decoding sequence a step may carry guesses of what follows, looked up
// in the text or made by a draft model, whichever promises more (guesser.h). The last stage samples on as long as
// it samples what was guessed, with the random numbers of those positions, so that the answer is the same as
// without; keys and values of wrong guesses are overwritten by the steps that follow. While stages have nothing
// else to do, further steps go ahead of the answers, on the guess that all before is right (scheduler_ahead.cpp).
// The draft model (ring/drafter.h) works while steps are away. A sequence may wait for it, for a bounded time and
// only while every decoding sequence has a micro-batch of its own, so that nobody else is held up.
//
// Nothing is lost:
//  - Steps are numbered without gaps and answered in order (every one, also those without logits). A step that
//  failed,
//    and whatever was in flight when a link of the ring went down, is written off: all running sequences give back
//    slots and blocks and wait in order of arrival to be replayed in the same epoch. Blocks that every stage
//    answered for stay in the prefix cache, so a replay computes little. Late answers of written-off steps are
//    ignored.
//  - A step that fails for a reason other than a lost link or step is blamed on its sequences: each is tried alone
//  once
//    more, and what fails alone ends with the error.
//  - Nothing is launched while a stage is not ready or the second or last stage's node has no link; if that, or
//  failing, lasts longer
//    than `trouble_deadline`, every request ends with kUnavailable. A step unanswered for `step_deadline`
//    (stretched for rings known to be slow) ends the running requests with kDeadlineExceeded.
//  - Between front and scheduler the link is the session: when the front's link goes down its requests are dropped
//  here
//    and submitted again by the front (serve/front.h). Submitting a request that is known with the same tokens only
//    asks for its status; with others it replaces it.
// When the epoch dies the scheduler is destroyed and says nothing: fronts resume in the next one.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/clock.h"
#include "ring/drafter.h"
#include "ring/stage_runner.h"
#include "serve/guesser.h"
#include "serve/pipeline_depth.h"
#include "serve/prefix_cache.h"
#include "serve/speculation.h"
#include "wire/messages.h"

namespace exo::serve {

struct SchedulerConfig {
  std::string fingerprint;
  Epoch epoch;
  std::vector<NodeId> stage_nodes;  // in ring order; [0] is this node
  int32_t n_blocks = 0;             // of every stage
  int32_t block_positions = 32;
  int32_t max_slots = 0;
  int32_t max_batch_rows = 512;
  int32_t context_tokens = 0;         // of one sequence, at most
  int32_t n_vocab = 0;                // 0: unknown, stages check
  MicroBatchId first_micro_batch{1};  // continues the numbers of an earlier scheduler of this epoch
  // The model keeps a state of each sequence (ring::StageExecutor::keeps_state): no sequence begins with a cached
  // prefix, replays begin at 0, and nothing is guessed.
  bool keeps_state = false;
  size_t queue_limit = 256;
  net::Duration step_deadline = std::chrono::seconds(60);
  net::Duration trouble_deadline = std::chrono::seconds(30);
  int32_t max_draft_tokens = 16;        // guesses per sequence and step, at most; 0: no speculation
  double chunk_s_beside_decodes = 0.2;  // how long a prefill chunk may hold up decoding sequences
  double chunk_s_alone = 1.0;
  double chunk_s_beside_previous =
      0.1;                          // while the ring before this one still answers, perhaps on the same devices
  ring::TraceLog* trace = nullptr;  // outlives the scheduler; null: nothing is noted
};

// The ways out. Implementations do not call the scheduler before they return.
class SchedulerPort {
 public:
  virtual ~SchedulerPort() = default;
  virtual void send_step(wire::Step step) = 0;  // to the first stage
  virtual void send_update(const NodeId& front, wire::RequestUpdate update) = 0;
};

struct SchedulerStatistics {
  size_t waiting = 0, running = 0, in_flight = 0;
  int32_t free_slots = 0, available_blocks = 0, n_blocks = 0;
  uint64_t preemptions = 0, replays = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  uint64_t carried_blocks = 0, carried_bytes = 0;  // that came from the ring before
  struct Guessed {
    uint64_t drafted = 0, accepted = 0;  // guesses in steps, and those that were right
  };
  std::array<Guessed, kGuessSources> guesses;  // by GuessSource
  const Guessed& of(GuessSource source) const { return guesses[static_cast<size_t>(source)]; }
  uint64_t drafted_tokens() const { return of(GuessSource::kLookup).drafted + of(GuessSource::kDraft).drafted; }
  uint64_t accepted_tokens() const { return of(GuessSource::kLookup).accepted + of(GuessSource::kDraft).accepted; }
};

class Scheduler final : public ring::StepSink, public ring::DraftSink {
 public:
  Scheduler(net::Clock& clock, SchedulerPort& port, SchedulerConfig config);
  ~Scheduler() override;

  void submit(const NodeId& front, wire::SubmitRequest request);
  void cancel(const NodeId& front, const RequestId& request);

  // All stages of the epoch are loaded and alive. Until told so nothing is launched.
  void set_ready(bool ready);
  // The ring of the epoch before goes on answering meanwhile.
  void set_previous_serves(bool serves) { previous_serves_ = serves; }
  // What the links of the ring take once around, as far as it is known.
  void set_link_s(double seconds) { depth_.set_link_s(seconds); }
  void on_link(const NodeId& peer, bool up);
  // Who guesses besides prompt look-up; null: nobody. May change at any time.
  void set_drafter(std::unique_ptr<ring::Drafter> drafter);
  bool has_drafter() const { return drafter_ != nullptr; }
  // A drafter would be of use.
  bool takes_guesses() const { return config_.max_draft_tokens > 0 && !config_.keeps_state; }

  // ---- what comes into the prefix cache from elsewhere (serve/cache_import.h)
  PrefixCache& prefix_cache() { return cache_; }
  // A request waits while `awaits` says of its tokens that more of them is on its way; null: none does.
  using Awaits = std::function<bool(std::span<const TokenId> tokens)>;
  void set_supply(Awaits awaits) { awaits_ = std::move(awaits); }
  // Blocks have come, or what `awaits` says has changed.
  void take_supply(uint64_t blocks, uint64_t bytes);

  void on_guesses(uint64_t sequence, uint64_t version, std::span<const TokenId> guesses,
                  ring::DraftState state) override;
  void on_step_result(wire::StepResult result) override;
  void on_step_failed(wire::StepFailed failed) override;

  MicroBatchId next_micro_batch() const { return next_step_; }
  SchedulerStatistics statistics() const;

 private:
  struct Sequence {
    RequestId id;
    NodeId front;
    uint64_t arrival = 0;         // orders everything: who waits, who is youngest
    std::vector<TokenId> tokens;  // all that are known
    int32_t prompt_tokens = 0, submitted_tokens = 0, remaining = 0;
    std::vector<TokenId> stop_tokens;
    SamplerSettings sampler;
    Guesser guesser;
    bool suspect = false;         // was in a step that failed: computed alone until it succeeds
    int32_t reported_place = -1;  // in the queue

    // While running:
    uint64_t run = 0;  // rises when slot and blocks are given back: answers to older steps are ignored
    SlotId slot{-1};
    std::vector<BlockId> blocks;
    size_t blocks_sent = 0;
    bool opened = false;    // the last stage has its sampler
    int32_t sent = 0;       // tokens that are in steps
    int32_t confirmed = 0;  // tokens that every stage has computed
    int32_t prefill_end = 0, cached = 0;
    PrefixCache::ChainId chain = 0;
    size_t chained_blocks = 0;  // blocks offered to the prefix cache
    uint64_t last_step = 0;

    // Guesses that are in steps, behind the known tokens: of the step that is answered next, and of those that were
    // sent ahead of its answer. Steps of a line that is over are void.
    std::vector<TokenId> assumed;
    uint64_t line = 0;

    // Its orders to the draft model. Guesses of another version than the newest are not its chain's.
    uint64_t draft_version = 0;
    int32_t draft_ordered = 0;  // tokens that the draft model was told
    int32_t draft_reached = 0;  // of those, it knew when it answered last
    int32_t draft_barred = 0;   // it cannot follow: not asked before there are so many tokens
    struct Wait {               // of the next step, for guesses
      size_t chain = 0;         // until the chain is so long
      int32_t ordered = 0;
      net::TimePoint since, until;
    };
    std::optional<Wait> wait;
    int32_t waited_at = -1;  // how many tokens there were when it waited last

    int32_t size() const { return static_cast<int32_t>(tokens.size()); }
    int32_t pending() const { return size() - sent; }
    bool decoding() const { return sent >= prefill_end; }
  };
  using SequencePtr = std::shared_ptr<Sequence>;

  struct Part {  // of a micro-batch in flight
    SequencePtr sequence;
    uint64_t run = 0;
    int32_t end = 0;  // tokens computed when it is answered, without guesses; not known if it is sent ahead
    int32_t drafted = 0;
    GuessSource source = GuessSource::kLookup;
    bool wants_logits = false;
    uint64_t line = 0;
    bool ahead = false;  // it begins with a guess
    bool due = true;     // all before it is known to be right
  };
  struct Choice {  // for the next micro-batch
    SequencePtr sequence;
    int32_t count = 0;  // of pending tokens
    Guesses guesses;    // behind them
  };
  struct InFlight {
    MicroBatchId id;
    net::TimePoint sent_at;
    net::SteadyPoint launched;  // the same moment
    int32_t rows = 0;
    std::vector<Part> parts;
    bool is_due() const { return std::ranges::any_of(parts, &Part::due); }
    bool was_ahead() const { return std::ranges::any_of(parts, &Part::ahead); }
  };

  // ---- launching
  void pump();
  bool can_launch() const;
  size_t micro_batches_wanted() const;
  void admit_waiting();
  bool admit(const SequencePtr& sequence);
  bool launch();
  void choose_decodes(int32_t& rows_left);
  void choose_prefills(int32_t& rows_left);
  void choose_guesses(int32_t& rows_left);
  int32_t reserve_positions(Sequence& sequence, int32_t count);
  size_t working() const;  // micro-batches in flight that are due
  bool choose_suspect();
  int32_t affordable_rows(bool beside_decodes) const;  // of prefill in one step, by time
  int32_t prompt_rows() const;                         // of all prompts being computed
  void add_part(wire::Step& step, InFlight& flight, Choice& choice);
  void send(wire::Step step, InFlight flight);
  void close_idle_slots();
  bool grow_table(const SequencePtr& sequence);

  // ---- steps ahead of answers (scheduler_ahead.cpp)
  void launch_ahead();
  bool send_ahead(const SequencePtr& sequence);
  bool goes_on(Sequence& sequence, const Part& part, std::span<const SampledToken> tokens);
  // Nobody waits for the answer: the sequence has gone, or what was assumed was wrong.
  static bool is_over(const Part& part) {
    return part.run != part.sequence->run || (part.ahead && part.line != part.sequence->line);
  }

  // ---- the draft model (scheduler_draft.cpp)
  bool waits_for_guesses(Sequence& sequence, int32_t n_decoding);
  void order_guesses(Sequence& sequence, int32_t count);
  void order_ahead(Sequence& sequence);
  void end_wait(Sequence& sequence);
  void lose_guesses(Sequence& sequence);
  void set_patience_timer();
  void on_patience();
  int32_t most_guesses(const Sequence& sequence) const;
  double guess_s() const;

  // ---- sequences
  void give_back(Sequence& sequence);
  void requeue(const SequencePtr& sequence);
  void remove(const SequencePtr& sequence);
  void finish(const SequencePtr& sequence, wire::FinishReason reason, std::vector<SampledToken> tokens,
              Error error);
  void end_all(const Error& error, bool running_only);
  void write_off_steps();
  void on_transient_failure(const std::string& why);
  bool fits(const InFlight& flight, const wire::StepResult& result) const;
  void take_answer(const Part& part, std::span<SampledToken> tokens);
  void offer_to_cache(Sequence& sequence);
  void append_tokens(const SequencePtr& sequence, std::span<SampledToken> tokens, bool goes_on);

  // ---- telling
  wire::RequestUpdate update_for(const Sequence& sequence) const;
  void refuse(const NodeId& front, const RequestId& id, Error error);
  void report_status(Sequence& sequence);
  void report_queue();

  void note(const Sequence& sequence, wire::TraceEventKind kind, int64_t value) const;
  void note_trip(const InFlight& flight) const;

  // ---- time
  void measure(const InFlight& flight, const wire::ComputeTime& computed);
  void watch();
  void on_watch();
  bool in_trouble() const { return trouble_since_.has_value(); }

  net::Clock& clock_;
  SchedulerPort& port_;
  const SchedulerConfig config_;
  PrefixCache cache_;
  Awaits awaits_;
  std::vector<SlotId> free_slots_;
  std::vector<SlotId> closed_slots_;  // to be told with the next step
  std::unordered_map<RequestId, SequencePtr> known_;
  std::map<uint64_t, SequencePtr> waiting_;  // by arrival
  std::map<uint64_t, SequencePtr> running_;  // by arrival
  std::deque<InFlight> in_flight_;
  std::vector<Choice> chosen_;           // scratch of launch()
  std::vector<SequencePtr> candidates_;  // scratch
  MicroBatchId next_step_;
  uint64_t next_arrival_ = 1;

  bool ready_ = false, previous_serves_ = false;
  std::set<NodeId> missing_links_;
  std::string last_trouble_;
  std::optional<net::TimePoint> trouble_since_;  // not launching, or failing, since
  std::optional<net::TimePoint> retry_at_;
  net::Duration backoff_{};
  net::TimerId retry_timer_ = 0, watch_timer_ = 0;
  bool queue_changed_ = false;

  net::TimePoint last_answer_{};
  double seconds_per_row_ = 0;  // of the slowest stage, smoothed; 0: not yet measured
  double trip_s_ = 0;           // once around the ring, smoothed
  StepCostEstimate step_cost_;  // of steps of few rows

  std::unique_ptr<ring::Drafter> drafter_;
  net::TimerId patience_timer_ = 0;
  double guess_s_ = 0;             // as it was waited for, smoothed; 0: not yet
  double draft_acceptance_ = 0.5;  // of sequences that ended, smoothed
  PipelineDepth depth_;
  SchedulerStatistics totals_;
};

}  // namespace exo::serve
