#include "app/live_view.h"

#include <algorithm>

#include "base/printable.h"

namespace exo::app {

namespace {

constexpr std::string_view kReset = "\x1b[0m", kBold = "\x1b[1m", kDim = "\x1b[2m", kGreen = "\x1b[32m",
                           kYellow = "\x1b[33m", kRed = "\x1b[31m", kCyan = "\x1b[36m";

class Painter {
 public:
  Painter(int columns, bool colour) : columns_(std::max(columns, 40)), colour_(colour) {}

  std::string paint(std::string_view style, std::string_view text) const {
    return colour_ ? fmt::format("{}{}{}", style, text, kReset) : std::string(text);
  }

  // Cuts a line to the width; the cut keeps control sequences whole.
  void line(std::string_view text) {
    int width = 0;
    for (size_t i = 0; i < text.size();) {
      if (text[i] == '\x1b') {
        const size_t end = text.find('m', i);
        const size_t next = end == std::string_view::npos ? text.size() : end + 1;
        frame_.append(text.substr(i, next - i));
        i = next;
        continue;
      }
      size_t next = i + 1;
      while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) ++next;
      if (width < columns_) frame_.append(text.substr(i, next - i));
      ++width;
      i = next;
    }
    if (colour_ && width > columns_) frame_ += kReset;
    frame_ += '\n';
  }

  std::string take() { return std::move(frame_); }

 private:
  int columns_;
  bool colour_;
  std::string frame_;
};

std::string bar(uint64_t part, uint64_t whole, int cells) {
  const int full = whole == 0 ? 0 : static_cast<int>(std::min<uint64_t>(cells, (part * cells + whole / 2) / whole));
  std::string text;
  for (int i = 0; i < cells; ++i) text += i < full ? "▰" : "▱";
  return text;
}

std::string pad(std::string text, int width) {
  for (int missing = width - display_width(text); missing > 0; --missing) text += ' ';
  return text;
}

const wire::NodeFacts* find(const std::vector<wire::NodeFacts>& members, const NodeId& id) {
  const auto it = std::ranges::find(members, id, &wire::NodeFacts::id);
  return it == members.end() ? nullptr : &*it;
}

std::string link_text(const wire::NodeFacts* from, const NodeId& to) {
  if (from == nullptr) return "";
  for (const auto& link : from->links) {
    if (link.peer != to) continue;
    return link.round_trip_us == 0
               ? printable(link.interface)
               : fmt::format("{:.2f} ms {}", link.round_trip_us / 1000.0, printable(link.interface));
  }
  return "";
}

std::string stage_state(const Painter& painter, const wire::StageStatus& status) {
  switch (status.state) {
    case wire::StageState::kReady:
      return painter.paint(kGreen, "ready");
    case wire::StageState::kFailed:
      return painter.paint(kRed, "failed: " + printable(status.error));
    case wire::StageState::kLoading:
      break;
  }
  if (status.total_bytes == 0) return painter.paint(kYellow, "waiting");
  return painter.paint(kYellow, fmt::format("loading {} {} of {}", bar(status.done_bytes, status.total_bytes, 10),
                                            human_bytes(status.done_bytes), human_bytes(status.total_bytes)));
}

void draw_successor(Painter& out, const ViewState& state, const cluster::InstanceView& view) {
  uint64_t done = 0, total = 0;
  std::string names;
  for (size_t i = 0; i < view.record.stages.size(); ++i) {
    const auto* node = find(state.members, view.record.stages[i].node);
    names +=
        (i == 0 ? "" : ", ") + (node != nullptr ? printable(node->name) : view.record.stages[i].node.short_hex());
    if (i >= view.statuses.size()) continue;
    done += view.statuses[i].done_bytes;
    total += view.statuses[i].total_bytes;
  }
  out.line(out.paint(kYellow, fmt::format("   moves to {} {} {} of {}", names, bar(done, total, 10),
                                          human_bytes(done), human_bytes(total))));
}

std::string share_text(const wire::StageMember& member) {
  return fmt::format("{:.0f} %", 100.0 * member.share / wire::StageMember::kWholeShare);
}

void draw_instance(Painter& out, const ViewState& state, const cluster::InstanceView& present) {
  const cluster::InstanceView view = cluster::serving_view(present);
  const auto& record = view.record;
  const std::string health = view.ready               ? out.paint(kGreen, "ready")
                             : record.problem.empty() ? out.paint(kYellow, "forming")
                                                      : out.paint(kRed, "not placed");
  out.line("");
  out.line(fmt::format(" {}  {}  {}", out.paint(kBold, printable(record.model_name)), health,
                       out.paint(kDim, fmt::format("{}, epoch {}, {} tokens of context", printable(record.strategy),
                                                   record.epoch.counter, record.context_tokens))));
  if (!record.problem.empty()) out.line("   " + out.paint(kRed, printable(record.problem)));
  const size_t n = record.stages.size();
  for (size_t i = 0; i < n; ++i) {
    const auto& stage = record.stages[i];
    const auto* node = find(state.members, stage.node);
    const auto* next = find(state.members, record.stages[(i + 1) % n].node);
    const std::string edge = n == 1 ? "   " : i == 0 ? " ┌▶" : i + 1 == n ? " └─" : " │ ";
    const std::string layers = fmt::format("layers {}–{}", stage.layers.begin.value, stage.layers.end.value - 1);
    const auto status = i < view.statuses.size() ? view.statuses[i] : wire::StageStatus{};
    out.line(fmt::format(
        "{} {} {} {}", edge,
        out.paint(kCyan, pad(node != nullptr ? printable(node->name) : stage.node.short_hex(), 18)),
        pad(stage.members.empty() ? layers : fmt::format("{}, {}", layers, share_text(stage.members[0])), 14),
        stage_state(out, status)));
    for (size_t m = 1; m < stage.members.size(); ++m) {
      const auto* member = find(state.members, stage.members[m].node);
      const std::string name = member != nullptr ? printable(member->name) : stage.members[m].node.short_hex();
      out.line(fmt::format("{} + {} {}", n > 1 && i + 1 < n ? " │ " : "   ", out.paint(kCyan, pad(name, 16)),
                           out.paint(kDim, fmt::format("{} of every layer", share_text(stage.members[m])))));
    }
    if (n > 1 && next != nullptr) {
      const std::string text = link_text(node, next->id);
      out.line(fmt::format("{}   {}", i + 1 == n ? "   " : " │ ",
                           out.paint(kDim, fmt::format("{} {}", i + 1 == n ? "↺ back to the first" : "↓", text))));
    }
  }
  if (record.epoch != present.record.epoch) draw_successor(out, state, present);
}

void draw_devices(Painter& out, const ViewState& state) {
  uint64_t total = 0;
  for (const auto& node : state.members) total += node.device.memory_budget_bytes;
  out.line("");
  out.line(" " + out.paint(kBold, fmt::format("{} device{}, {} of memory together", state.members.size(),
                                              state.members.size() == 1 ? "" : "s", human_bytes(total))));
  for (const auto& node : state.members) {
    const bool self = &node == &state.members.front();
    const auto& device = node.device;
    if (!node.withdrawal.empty())
      out.line(out.paint(kYellow, fmt::format("   {} gives its stages away: {}", printable(node.name),
                                              printable(node.withdrawal))));
    out.line(fmt::format(
        "   {} {} {} {}", out.paint(kCyan, pad(printable(node.name) + (self ? " (this)" : ""), 22)),
        bar(device.memory_budget_bytes, total, 10), pad(human_bytes(device.memory_budget_bytes), 10),
        out.paint(kDim,
                  fmt::format("{}, {} threads, {:.1f} GB/s{}", printable(device.processor), device.threads,
                              device.memory_bandwidth_bytes_per_s / 1e9,
                              node.tokens_per_s > 0 ? fmt::format(", {:.1f} tokens/s", node.tokens_per_s) : ""))));
  }
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 5) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string differing_copy_notice(const std::string& model, const std::string& node, const std::string& origin) {
  return fmt::format("{} of {} has other weights than that of {}, which counts: {} does not use its own",
                     printable(model), printable(node), printable(origin), printable(node));
}

int display_width(std::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      i = std::min(text.find('m', i), text.size() - 1);
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++width;
    }
  }
  return width;
}

std::string render_view(const ViewState& state, int columns, bool colour) {
  Painter out(columns, colour);
  out.line(fmt::format(" {} {}   chat and API: {}   {}", out.paint(kBold, "exo"), state.version,
                       out.paint(kCyan, state.api_url), out.paint(kDim, state.secret_hint)));
  draw_devices(out, state);
  for (const auto& view : state.instances) {
    if (!view.record.stopped) draw_instance(out, state, view);
  }
  out.line("");
  std::string names;
  for (const auto& model : state.models) names += (names.empty() ? "" : ", ") + printable(model.name);
  out.line(fmt::format(" models: {}", names.empty() ? "none yet; put a .gguf file into the models folder" : names));
  if (state.active_requests > 0)
    out.line(fmt::format(" answering {} request{}", state.active_requests, state.active_requests == 1 ? "" : "s"));
  for (const auto& draft : state.drafts) out.line(fmt::format(" {}", printable(draft)));
  for (const auto& refusal : state.refusals) {
    out.line(out.paint(kYellow, fmt::format(" refused {} {}: {}", printable(refusal.peer_name),
                                            printable(refusal.address), printable(refusal.reason))));
  }
  for (const auto& notice : state.notices) out.line(out.paint(kYellow, " " + notice));
  if (state.members.size() == 1)
    out.line(out.paint(kDim, " Start exo on another device of this network and it joins by itself."));
  out.line(out.paint(kDim, " Ctrl-C lets this device leave; the others go on."));
  return out.take();
}

}  // namespace exo::app
