#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "chat/default_template.h"
#include "chat/messages.h"

namespace exo::chat {
namespace {

namespace json = boost::json;

constexpr auto kNow =
    std::chrono::system_clock::time_point(std::chrono::seconds(1'721'995'200));  // 2024-07-26 12:00

// What Python's jinja2 would give; "!" and the error's message where it fails.
std::string render(std::string_view source, std::string_view variables = "{}", const TemplateLimits& limits = {}) {
  auto parsed = ChatTemplate::parse(source, limits);
  if (!parsed) return "!" + parsed.error().message;
  auto text = parsed->render_variables(
      json::parse(json::string_view(variables.data(), variables.size())).as_object(), kNow);
  return text ? *text : "!" + text.error().message;
}

struct Case {
  const char* source;
  const char* expected;
};

void expect_all(std::initializer_list<Case> cases, std::string_view variables = "{}") {
  for (const Case& one : cases) EXPECT_EQ(render(one.source, variables), one.expected) << one.source;
}

TEST(ChatTemplate, WhiteSpaceControl) {
  expect_all({
      {"a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"},
      {"  {{ 1 -}}  \n x {{- 2 }}  ", "  1x2  "},
      {"  {%+ if true +%}\n a{% endif %}", "  \n a"},
      {"a {# note #}\nb\n  {#- c -#}  \nd",
       "a b"
       "d"},
      {"{% raw %}{{ x }}{% y %}{% endraw %}\nz", "{{ x }}{% y %}z"},
      {"one\r\ntwo\rthree\n", "one\ntwo\nthree"},
  });
}

TEST(ChatTemplate, LiteralsPrintAsPythonDoes) {
  expect_all({
      {"{{ none }} {{ true }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }}",
       "None True 1.0 1e+16 1e-05 0.30000000000000004"},
      {"{{ [1, 'a', \"it's\", none, (1,), {'k': 2.5}] }}", "[1, 'a', \"it's\", None, (1,), {'k': 2.5}]"},
      {"{{ 0x1f }} {{ 1_000 }} {{ 2 ** 100 }}", "31 1000 1267650600228229401496703205376"},
      {"{{ 'a\\tb\\x41\\u00e9' 'c' }}", "a\tbA\u00e9c"},
      {"{{ {1: 'a', true: 'b', 1.0: 'c'} }}", "{1: 'c'}"},
  });
}

TEST(ChatTemplate, OperatorsFollowPython) {
  expect_all({
      {"{{ 7 // -2 }} {{ 7 % -2 }} {{ -7.5 % 2 }} {{ 7 / 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }}", "-4 -1 0.5 3.5 0.5 4"},
      {"{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 == true }} {{ not 1 == 2 }}", "True False True True"},
      {"{{ 'b' in 'abc' }} {{ 2 not in [1] }} {{ 'k' in {'k': 1} }}", "True True True"},
      {"{{ 1 ~ none ~ [1] ~ 'x' * 2 }} {{ [1] + [2] }} {{ 'a' + 'b' }}", "1None[1]xx [1, 2] ab"},
      {"{{ 'y' if 0 else 'n' }}{{ 'y' if 0 }} {{ 0 or 'x' }} {{ 1 and '' }}", "n x "},
      {"{{ -42 | abs }} {{ 1 + 2 | string }}", "!unsupported operand type(s) for +: 'int' and 'str'"},
      {"{{ 'a' + 1 }}", "!can only concatenate str (not \"int\") to str"},
      {"{{ 1 // 0 }}", "!integer modulo or division by zero"},
      {"{{ 2 ** 200 }}", "!an integer of the chat template is too large"},
  });
}

TEST(ChatTemplate, AttributesItemsAndSlices) {
  constexpr auto kVariables = R"({"d": {"a": {"b": [1, 2, 3]}, "items": 5}, "s": "h\u00e9llo\ud83d\ude00"})";
  expect_all(
      {
          {"{{ d.a.b[1] }} {{ d['a']['b'][-1] }} {{ d.a.b[::-1] }} {{ d.a.b[5] is defined }} {{ d.a.b.0 }}",
           "2 3 [3, 2, 1] False 1"},
          {"{{ d['items'] }} {{ d.items() | length }}", "5 2"},
          {"{{ s[1] }} {{ s[-1] }} {{ s[1:3] }} {{ s | length }} {{ s[10:] }}", "\u00e9 \U0001F600 \u00e9l 6 "},
          {"{{ d.q is defined }} {{ d.q }} {{ d.append is defined }}", "False  False"},
          {"{{ d.q.r }}", "!'dict object' has no attribute 'q'"},
          {"{{ nothing.x }}", "!'nothing' is undefined"},
          {"{{ d.a.b.append(4) }}", "!access to attribute 'append' of 'list' object is unsafe."},
      },
      kVariables);
}

TEST(ChatTemplate, LoopsScopesAndControls) {
  constexpr auto kVariables = R"({"l": [3, 1, 2], "tree": [1, [2, [3]]]})";
  expect_all(
      {
          {"{% for x in l %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %}",
           "1/3,2/3,3/3"},
          {"{% for x in l if x > 1 %}{{ x }}{{ loop.previtem }}{{ loop.nextitem }};{% else %}none{% endfor %}",
           "32;23;"},
          {"{% for x in [] %}a{% else %}none{% endfor %}", "none"},
          {"{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if loop.last %}{% break %}{% endif "
           "%}{% endfor %}",
           "32"},
          {"{% set n = 0 %}{% for x in l %}{% set n = n + x %}{{ n }}{% endfor %}{{ n }}", "3120"},
          {"{% set s = namespace(n=0) %}{% for x in l %}{% set s.n = s.n + x %}{% endfor %}{{ s.n }}", "6"},
          {"{% for x in tree recursive %}{{ '(' ~ loop(x) ~ ')' if x is sequence else x }}{% endfor %}", "1(2(3))"},
          {"{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{% endfor %}", "aTruebTrueaTrue"},
          {"{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"},
          {"{% with a = 1 %}{{ a }}{% endwith %}{{ a is defined }}", "1False"},
          {"{% for x in l %}{% set loop = 1 %}{% endfor %}",
           "!chat template, line 1: can't assign to 'loop' in a loop"},
          {"{% break %}", "!chat template, line 1: 'break' outside of a loop"},
      },
      kVariables);
}

TEST(ChatTemplate, MacrosAndBlocks) {
  expect_all({
      {"{% macro f(a, b=a) %}[{{ a }}{{ b }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ f(1) }}{{ f(1, 2, 3, k=4) "
       "}}",
       "[11(){}][12(3,){'k': 4}]"},
      {"{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "!macro 'f' takes not more than 1 argument(s)"},
      {"{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}", "!macro 'f' takes no keyword argument 'b'"},
      {"{% macro f() %}<{{ caller(2) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}", "<2>"},
      {"{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}", "1"},
      {"{% set x | upper %}a{{ 1 }}{% endset %}{{ x }}{% filter replace('b', 'c') %}abc{% endfilter %}", "A1acc"},
      {"{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x is defined }}", "1False"},
      {"{% block b %}x{% endblock %}", "x"},
      {"{% include 'x' %}",
       "!chat template, line 1: 'include' needs other templates, which a chat template cannot have"},
      {"{% extends 'x' %}",
       "!chat template, line 1: 'extends' needs other templates, which a chat template cannot have"},
      {"{% import 'x' as y %}",
       "!chat template, line 1: 'import' needs other templates, which a chat template cannot have"},
      {"{% from 'x' import y %}",
       "!chat template, line 1: 'from' needs other templates, which a chat template cannot have"},
      {"{% block b %}x{{ super() }}{% endblock %}",
       "!'super' refers to blocks of templates, which a chat template cannot have"},
      {"{{ self.b() }}", "!'self' refers to blocks of templates, which a chat template cannot have"},
      {"{{ [1] | random }}", "!No filter named 'random' found."},
      {"{{ 'x' | wordwrap(3) }}", "!No filter named 'wordwrap' found."},
      {"{{ 'x' | urlize }}", "!No filter named 'urlize' found."},
      {"{{ {} | pprint }}", "!No filter named 'pprint' found."},
      {"{{ [1] | nosuch }}", "!No filter named 'nosuch' found."},
      {"\n{% nosuch %}", "!chat template, line 2: encountered unknown tag 'nosuch'"},
  });
}

TEST(ChatTemplate, SequenceFilters) {
  constexpr auto kVariables =
      R"({"m": [{"r": "b", "n": 2}, {"r": "a", "n": 1, "x": {"y": [7]}}, {"r": "b", "n": 3}], "l": ["b", "A", "c", "a"]})";
  expect_all(
      {
          {"{{ m | map(attribute='n') | list }} {{ m | map(attribute='x.y.0', default='-') | join(',') }}",
           "[2, 1, 3] -,7,-"},
          {"{{ m | selectattr('r', 'equalto', 'b') | map(attribute='n') | sum }} {{ m | rejectattr('x') | list | "
           "length }}",
           "5 2"},
          {"{% for r, g in m | groupby('r') %}{{ r }}{{ g | map(attribute='n') | list }}{% endfor %}",
           "a[1]b[2, 3]"},
          {"{{ m | sort(attribute='r,n', reverse=true) | map(attribute='n') | list }}", "[3, 2, 1]"},
          {"{{ l | sort }} {{ l | sort(case_sensitive=true) }} {{ l | unique | list }}",
           "['A', 'a', 'b', 'c'] ['A', 'a', 'b', 'c'] ['b', 'A', 'c']"},
          {"{{ l | batch(3, '-') | list }} {{ l | slice(3) | list }}",
           "[['b', 'A', 'c'], ['a', '-', '-']] [['b', 'A'], ['c'], ['a']]"},
          {"{{ l | first }}{{ l | last }}{{ l | min }}{{ l | max }} {{ l | reverse | join }} {{ [] | first is "
           "defined }}",
           "baAc acAb False"},
          {"{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1} | items | list }}", "[('A', 2), ('b', 1)] [('b', 1)]"},
          {"{% set g = l | map('upper') %}{{ g | list | length }}{{ g | list | length }}", "40"},
          {"{{ l | map('upper') | tojson }}", "!Object of type generator is not JSON serializable"},
          {"{{ l | map('nosuch') | list }}", "!No filter named 'nosuch'."},
      },
      kVariables);
}

TEST(ChatTemplate, TextFiltersAndMethods) {
  expect_all({
      {"{{ ' a b ' | trim }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ' a  b '.split() }}",
       "a b|a|['a', 'b,c']|['a', 'b']"},
      {"{{ 'stra\u00dfe'.upper() }} {{ \"it's ok\".title() }} {{ \"it's-ok\" | title }} {{ 'HELLO' | capitalize }}",
       "STRASSE It'S Ok It's-Ok Hello"},
      {"{{ 'abab' | replace('b', 'x', 1) }} {{ 'ab'.replace('', '-') }} {{ 'abab'.rfind('b') }} {{ "
       "'a-b'.partition('-') }}",
       "axab -a-b- 3 ('a', '-', 'b')"},
      {"{{ 'one\\ntwo\\n\\nx' | indent(2) }}|{{ 'a\\nb' | indent('>', first=true) }}", "one\n  two\n\n  x|>a\n>b"},
      {"{{ '%s %05.1f %-4d|%x' | format('a', 2.25, 7, 255) }} {{ '%(k)s' % {'k': 1} }}", "a 002.2 7   |ff 1"},
      {"{{ '{} {1:>4} {a[0]!r}'.format(1, 2, a=['x']) }}", "1    2 'x'"},
      {"{{ '{:,} {:.2%} {:*^7}'.format(1234567, 0.5, 'ab') }}", "1,234,567 50.00% **ab***"},
      {"{{ '<a>' | e }} {{ '<a>' | e | e }} {{ ('<' | safe) + '>' }} {{ '<' | safe ~ '>' }}",
       "&lt;a&gt; &lt;a&gt; <&gt; <>"},
      {"{{ 'foo bar baz qux' | truncate(9) }} {{ 'abc' | center(7) }}|{{ 'a b' | urlencode }}",
       "foo...   abc  |a%20b"},
      {"{{ '12'.isdigit() }} {{ 'Ab'.isupper() }} {{ 'ab'.startswith(('x', 'a')) }} {{ ','.join(['a', 'b']) }}",
       "True False True a,b"},
  });
}

TEST(ChatTemplate, NumberFilters) {
  expect_all({
      {"{{ ' 42 ' | int }} {{ '4.7' | int }} {{ 'x' | int(9) }} {{ '1f' | int(0, 16) }} {{ none | int }}",
       "42 4 9 31 0"},
      {"{{ '3.5' | float }} {{ 'x' | float(1.5) }} {{ 7 | float }} {{ '1e400' | float }}", "3.5 1.5 7.0 inf"},
      {"{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.567 | round(2) }} {{ 2.1 | round(0, 'ceil') }} {{ 25 | round(-1) "
       "}}",
       "2.0 4.0 2.57 3.0 20"},
      {"{{ -3 | abs }} {{ 1500 | filesizeformat }}", "3 1.5 kB"},
  });
}

TEST(ChatTemplate, ToJson) {
  constexpr auto kVariables =
      R"({"d": {"b": [1, {"\u00e9": null}], "a": 1.5, "e": {}}, "big": 18446744073709551615})";
  expect_all(
      {
          {"{{ d | tojson }}", "{\"b\": [1, {\"\u00e9\": null}], \"a\": 1.5, \"e\": {}}"},
          {"{{ d | tojson(indent=1, sort_keys=true) }}",
           "{\n \"a\": 1.5,\n \"b\": [\n  1,\n  {\n   \"\u00e9\": null\n  }\n ],\n \"e\": {}\n}"},
          {"{{ d | tojson(ensure_ascii=true, separators=(',', ':')) }}",
           "{\"b\":[1,{\"\\u00e9\":null}],\"a\":1.5,\"e\":{}}"},
          {"{{ '\\x01\\n<' | tojson }} {{ {1: 2, none: true} | tojson }} {{ big | tojson }}",
           "\"\\u0001\\n<\" {\"1\": 2, \"null\": true} 18446744073709551615"},
          {"{{ nothing | tojson }}", "!Object of type Undefined is not JSON serializable"},
      },
      kVariables);
}

TEST(ChatTemplate, Tests) {
  expect_all({
      {"{{ 's' is string }}{{ 1 is number }}{{ true is integer }}{{ {} is mapping }}{{ 's' is sequence }}{{ 1 is "
       "iterable }}",
       "TrueTrueFalseTrueTrueFalse"},
      {"{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is in [1] }}{{ 1 is not none }}{{ x is undefined }}{{ 'upper' "
       "is filter }}",
       "TrueTrueTrueTrueTrueTrue"},
      {"{{ 1 is nosuch }}", "!No test named 'nosuch' found."},
  });
}

TEST(ChatTemplate, GlobalFunctions) {
  expect_all({
      {"{{ range(5, 0, -2) | list }} {{ range(3) }} {{ dict(a=1) }} {{ namespace(a=1).a }}",
       "[5, 3, 1] range(0, 3) {'a': 1} 1"},
      {"{% set j = joiner('-') %}{{ j() }}{{ j() }}{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ "
       "c.next() }}",
       "-121"},
      {"{{ strftime_now('%d %b %Y %H:%M %A %j %-d %%') }}", "26 Jul 2024 12:00 Friday 208 26 %"},
      {"{{ raise_exception('no ' ~ 1) }}", "!no 1"},
  });
}

TEST(ChatTemplate, RefusesWhatNeedsTooMuch) {
  for (const char* source : {
           "{{ 'a' * 10 ** 9 }}",
           "{{ [0] * 10 ** 9 }}",
           "{% for i in range(10 ** 9) %}{% endfor %}",
           "{{ 'a'.ljust(10 ** 12) }}",
           "{{ '%1000000000d' % 1 }}",
           "{{ '{:1000000000}'.format('a') }}",
           "{% set ns = namespace(x=['a' * 1000]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor "
           "%}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
           "ns.x }}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
           "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
           "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
           "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
           "{% for i in range(9999) %}{{ 'a' * 100000 }}{% endfor %}",
       }) {
    auto parsed = ChatTemplate::parse(source);
    ASSERT_TRUE(parsed) << source;
    auto text = parsed->render_variables({}, kNow);
    ASSERT_FALSE(text) << source;
    EXPECT_EQ(text.error().code, ErrorCode::kResourceExhausted) << source << ": " << text.error().message;
  }
}

TEST(ChatTemplate, RefusesDeepNesting) {
  std::string parentheses = "{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}";
  std::string chain = "{{ 1", statements, negations = "{{ " + std::string(5000, '-') + "1 }}";
  for (int i = 0; i < 5000; ++i) {
    chain += " + 1";
    statements += "{% if 1 %}";
  }
  for (const std::string& source : {parentheses, chain + " }}", statements, negations}) {
    EXPECT_FALSE(ChatTemplate::parse(source)) << source.substr(0, 20);
  }
  EXPECT_EQ(render("{{ " + std::string(15, '(') + "1" + std::string(15, ')') + " }}"), "1");
}

TEST(ChatTemplate, SmallLimitsHold) {
  EXPECT_EQ(render("{{ 'abcdef' * 2 }}", "{}", {.max_output_bytes = 8}),
            "!the chat template needs too much memory for one string");
  EXPECT_EQ(render("{% for i in range(99) %}x{% endfor %}", "{}", {.max_steps = 50}),
            "!the chat template needs too much time (evaluation steps)");
  EXPECT_EQ(render("12345", "{}", {.max_template_bytes = 4}), "!the chat template has 5 bytes; at most 4 are read");
}

TEST(ChatTemplate, RendersAConversation) {
  auto parsed = ChatTemplate::parse(
      "{{- bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}"
      "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<assistant>{% if think %}..{% "
      "endif %}{% endif %}");
  ASSERT_TRUE(parsed);
  TemplateInput input;
  input.messages = json::parse(R"([{"role": "user", "content": " hi "}])");
  input.bos_token = "^";
  input.kwargs["think"] = true;
  EXPECT_EQ(render_chat(*parsed, input).value(), "^<user>hi<assistant>..");
  input.kwargs["add_generation_prompt"] = false;
  input.tools = json::parse(R"([{"name": "f"}])");
  EXPECT_EQ(render_chat(*parsed, input).value(), "^<user>hi[{\"name\": \"f\"}]");
  input.messages = json::parse(R"([{"content": "x"}])");
  EXPECT_EQ(render_chat(*parsed, input).error().message, "messages[0] has no role");
}

TEST(DefaultTemplate, ChatMl) {
  auto parsed = ChatTemplate::parse(default_template_source());
  ASSERT_TRUE(parsed) << parsed.error().message;
  TemplateInput input;
  input.messages = json::parse(
      R"([{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}])");
  EXPECT_EQ(render_chat(*parsed, input).value(),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n");
}

TEST(DefaultTemplate, Llama2) {
  auto parsed = ChatTemplate::parse(llama2_template_source());
  ASSERT_TRUE(parsed) << parsed.error().message;
  TemplateInput input;
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.messages = json::parse(
      R"([{"role": "system", "content": "S"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}])");
  EXPECT_EQ(render_chat(*parsed, input).value(),
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nq [/INST] a </s><s>[INST] r [/INST]");
  input.messages = json::parse(R"([{"role": "user", "content": "q"}, {"role": "user", "content": "r"}])");
  EXPECT_EQ(render_chat(*parsed, input).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace exo::chat
