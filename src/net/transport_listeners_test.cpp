#include "net/transport_listeners.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace exo::net {
namespace {

// Takes pings (`pings`) or everything else, and writes down what it hears.
struct Listener : TransportListener {
  Listener(std::string own, std::string& all, bool takes_pings)
      : name(std::move(own)), heard(all), pings(takes_pings) {}
  void on_link_up(const LinkInfo&) override { heard += name + "up "; }
  void on_link_down(const NodeId&, const Error&) override {}
  void on_message(const NodeId&, wire::Message message) override {
    heard += name + "message ";
    bytes = std::holds_alternative<wire::Pong>(message) ? 1 : 0;
    if (then) then();
  }
  bool takes(const wire::Message& message) const override {
    return std::holds_alternative<wire::Ping>(message) == pings;
  }
  void on_heard(const NodeId&) override { heard += name + "heard "; }

  std::string name;
  std::string& heard;
  bool pings;
  int bytes = -1;
  std::function<void()> then;
};

struct Listeners : testing::Test {
  std::string heard;
  Listener a{"a-", heard, true}, b{"b-", heard, false}, c{"c-", heard, true};
  TransportListeners all;
  Listeners() {
    for (Listener* listener : {&a, &b, &c, &a}) all.add(listener);
  }
};

TEST_F(Listeners, AllHearOfAMessageAndThoseWhoTakeItsKindGetIt) {
  all.deliver({}, wire::Ping{1});
  EXPECT_EQ(heard, "a-heard b-heard c-heard a-message c-message ");
  heard.clear();
  all.deliver({}, wire::Pong{1});
  EXPECT_EQ(heard, "a-heard b-heard c-heard b-message ");
  EXPECT_EQ(b.bytes, 1);
}

TEST_F(Listeners, NobodyHearsAnythingAfterOneOfThemEndedIt) {
  a.then = [this] { all.close(); };
  all.deliver({}, wire::Ping{1});
  EXPECT_EQ(heard, "a-heard b-heard c-heard a-message ");
  heard.clear();
  all.deliver({}, wire::Ping{2});
  all.each([](TransportListener& listener) { listener.on_link_up({}); });
  EXPECT_EQ(heard, "");
}

TEST_F(Listeners, OneThatIsAddedMeanwhileHearsTheNextThing) {
  Listener late("late-", heard, true);
  a.then = [&] { all.add(&late); };
  all.deliver({}, wire::Ping{1});
  EXPECT_EQ(heard, "a-heard b-heard c-heard a-message c-message ");
  heard.clear();
  all.each([](TransportListener& listener) { listener.on_link_up({}); });
  EXPECT_EQ(heard, "a-up b-up c-up late-up ");
}

}  // namespace
}  // namespace exo::net
