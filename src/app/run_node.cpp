#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "app/commands.h"
#include "app/logging.h"
#include "app/node.h"
#include "base/printable.h"

namespace exo::app {

namespace {

volatile std::sig_atomic_t stops_requested = 0;

extern "C" void on_stop_signal(int) { stops_requested = stops_requested + 1; }

void install_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// Draws over the last frame; the screen is restored at the end.
class Screen {
 public:
  Screen() { std::fputs("\x1b[?1049h\x1b[?25l", stdout); }
  ~Screen() {
    std::fputs("\x1b[?25h\x1b[?1049l", stdout);
    std::fflush(stdout);
  }

  void draw(const std::string& frame) {
    std::string text = "\x1b[H";
    for (char c : frame) {
      if (c == '\n') text += "\x1b[K";
      text += c;
    }
    text += "\x1b[J";
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  static int columns() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 100;
  }
};

// Follows signals and the node's departure; true when the process should end. The first signal lets the node leave
// in an orderly way, the second at once.
class Ending {
 public:
  explicit Ending(Node& node) : node_(node) {}

  bool due() {
    if (stops_requested > 1) return true;
    if (stops_requested == 1 && !asked_) {
      asked_ = true;
      node_.depart("it is being stopped");
    }
    const auto now = std::chrono::steady_clock::now();
    if (now < look_again_) return false;
    const auto departure = node_.departure();
    if (!departure) return false;
    last_ = departure->why;
    look_again_ = now + std::chrono::milliseconds(200);  // to look means to plan
    return departure->leave;
  }
  const std::string& why() const { return last_; }  // what is waited for; at the end: what is lost

 private:
  Node& node_;
  bool asked_ = false;
  std::string last_;
  std::chrono::steady_clock::time_point look_again_{};
};

void wait_for_end(Ending& ending) {
  std::string told;
  while (!ending.due()) {
    if (!ending.why().empty() && ending.why() != told) {
      told = ending.why();
      std::fprintf(stderr, "leaving: %s. Ctrl-C leaves at once.\n", printable(told).c_str());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void show_until_end(Node& node, Ending& ending) {
  Screen screen;
  for (int tick = 0; !ending.due(); ++tick) {
    if (tick % 10 == 0) screen.draw(render_view(node.view(), Screen::columns(), true));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

Status run_node(const NodeOptions& options, bool live_view) {
  const bool terminal = live_view && isatty(STDOUT_FILENO) != 0;
  auto log_file = options.log_file;
  if (terminal && log_file.empty()) {
    std::error_code ignored;
    std::filesystem::create_directories(options.data_dir, ignored);
    log_file = options.data_dir / "exo.log";
  }
  EXO_CHECK_OK(install_logging(options.log_level, log_file));
  install_signals();
  EXO_TRY(const auto node, Node::create(options));
  EXO_CHECK_OK(node->start());
  if (!node->api_key().empty() && options.api_key.empty())
    std::fprintf(stderr, "API key: %s\n", node->api_key().c_str());
  Ending ending(*node);
  if (terminal) {
    show_until_end(*node, ending);
  } else {
    std::fprintf(stderr, "exo %s: chat and API at %s. Ctrl-C stops.\n", options.name.c_str(),
                 node->view().api_url.c_str());
    wait_for_end(ending);
  }
  if (!ending.why().empty()) std::fprintf(stderr, "left: %s\n", printable(ending.why()).c_str());
  node->stop();
  return {};
}

}  // namespace exo::app
