#include "chat/jinja/strftime.h"

#include <ctime>

#include "base/format.h"

namespace exo::chat::jinja {
namespace {

constexpr std::string_view kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::string_view kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                        "July",    "August",   "September", "October", "November", "December"};

struct Moment {
  std::tm tm{};
  int64_t seconds = 0;  // since the epoch
  int64_t microseconds = 0;
};

Moment split(std::chrono::system_clock::time_point time) {
  auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  Moment moment;
  moment.microseconds = ((micros % 1'000'000) + 1'000'000) % 1'000'000;
  moment.seconds = (micros - moment.microseconds) / 1'000'000;
  auto seconds = static_cast<std::time_t>(moment.seconds);
  gmtime_r(&seconds, &moment.tm);
  return moment;
}

struct IsoWeek {
  int year, week;
};

IsoWeek iso_week(const std::tm& tm) {
  int year = tm.tm_year + 1900;
  int weekday = (tm.tm_wday + 6) % 7;  // Monday 0
  int week = (tm.tm_yday - weekday + 10) / 7;
  auto weeks_of = [](int of) {
    auto dec31 = [](int y) { return (y + y / 4 - y / 100 + y / 400) % 7; };
    return dec31(of) == 4 || dec31(of - 1) == 3 ? 53 : 52;
  };
  if (week < 1) return {year - 1, weeks_of(year - 1)};
  if (week > weeks_of(year)) return {year + 1, 1};
  return {year, week};
}

// Empty optional-like: false when the directive is unknown.
bool append_composite(std::string& out, char directive, const Moment& moment) {
  auto format = [&](std::string_view inner) {
    out += format_time(inner, std::chrono::system_clock::time_point(std::chrono::seconds(moment.seconds)));
    return true;
  };
  switch (directive) {
    case 'c':
      return format("%a %b %e %H:%M:%S %Y");
    case 'x':
    case 'D':
      return format("%m/%d/%y");
    case 'X':
    case 'T':
      return format("%H:%M:%S");
    case 'F':
      return format("%Y-%m-%d");
    case 'R':
      return format("%H:%M");
    case 'r':
      return format("%I:%M:%S %p");
    default:
      return false;
  }
}

bool append_name(std::string& out, char directive, const std::tm& tm) {
  switch (directive) {
    case 'a':
      out += kDays[tm.tm_wday].substr(0, 3);
      return true;
    case 'A':
      out += kDays[tm.tm_wday];
      return true;
    case 'b':
    case 'h':
      out += kMonths[tm.tm_mon].substr(0, 3);
      return true;
    case 'B':
      out += kMonths[tm.tm_mon];
      return true;
    case 'p':
      out += tm.tm_hour < 12 ? "AM" : "PM";
      return true;
    case 'P':
      out += tm.tm_hour < 12 ? "am" : "pm";
      return true;
    case 'n':
      out += '\n';
      return true;
    case 't':
      out += '\t';
      return true;
    case '%':
      out += '%';
      return true;
    case 'Z':
    case 'z':
      return true;  // a naive datetime has no zone
    default:
      return false;
  }
}

bool append_number(std::string& out, char directive, const Moment& moment, bool padded) {
  const std::tm& tm = moment.tm;
  int year = tm.tm_year + 1900, hour12 = tm.tm_hour % 12 == 0 ? 12 : tm.tm_hour % 12;
  auto number = [&](int value, int width) {
    out += padded ? fmt::format("{:0{}d}", value, width) : fmt::format("{}", value);
    return true;
  };
  switch (directive) {
    case 'd':
      return number(tm.tm_mday, 2);
    case 'e':
      out += fmt::format("{:{}d}", tm.tm_mday, padded ? 2 : 1);
      return true;
    case 'm':
      return number(tm.tm_mon + 1, 2);
    case 'y':
      return number(year % 100, 2);
    case 'Y':
      out += fmt::format("{}", year);
      return true;
    case 'C':
      return number(year / 100, 2);
    case 'H':
      return number(tm.tm_hour, 2);
    case 'k':
      out += fmt::format("{:{}d}", tm.tm_hour, padded ? 2 : 1);
      return true;
    case 'I':
      return number(hour12, 2);
    case 'l':
      out += fmt::format("{:{}d}", hour12, padded ? 2 : 1);
      return true;
    case 'M':
      return number(tm.tm_min, 2);
    case 'S':
      return number(tm.tm_sec, 2);
    case 'f':
      out += fmt::format("{:06d}", moment.microseconds);
      return true;
    case 'j':
      return number(tm.tm_yday + 1, 3);
    case 'U':
      return number((tm.tm_yday + 7 - tm.tm_wday) / 7, 2);
    case 'W':
      return number((tm.tm_yday + 7 - (tm.tm_wday + 6) % 7) / 7, 2);
    case 'w':
      return number(tm.tm_wday, 1);
    case 'u':
      return number(tm.tm_wday == 0 ? 7 : tm.tm_wday, 1);
    case 'G':
      return number(iso_week(tm).year, 4);
    case 'g':
      return number(iso_week(tm).year % 100, 2);
    case 'V':
      return number(iso_week(tm).week, 2);
    case 's':
      out += fmt::format("{}", moment.seconds);
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string format_time(std::string_view format, std::chrono::system_clock::time_point time) {
  Moment moment = split(time);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out += format[i];
      continue;
    }
    bool padded = format[i + 1] != '-';  // glibc's flag for numbers without padding
    size_t at = padded ? i + 1 : i + 2;
    char directive = at < format.size() ? format[at] : '\0';
    if (append_name(out, directive, moment.tm) || append_number(out, directive, moment, padded) ||
        append_composite(out, directive, moment)) {
      i = at;
    } else {
      out += '%';
    }
  }
  return out;
}

}  // namespace exo::chat::jinja
