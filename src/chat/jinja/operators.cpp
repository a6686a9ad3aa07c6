#include "chat/jinja/operators.h"

#include <cmath>

#include "chat/jinja/format.h"

namespace exo::chat::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

std::unexpected<Error> unsupported(BinaryOp op, const Value& left, const Value& right) {
  if (left.is_undefined()) return undefined_error(left);
  if (right.is_undefined()) return undefined_error(right);
  if (op == BinaryOp::kAdd && (left.is_string() || left.is_sequence())) {
    return python_error("can only concatenate {0} (not \"{1}\") to {0}", type_name(left), type_name(right));
  }
  return python_error("unsupported operand type(s) for {}: '{}' and '{}'", kSymbols[static_cast<size_t>(op)],
                      type_name(left), type_name(right));
}

std::unexpected<Error> overflow() { return python_error("an integer of the chat template is too large"); }

Int floor_divide(Int a, Int b) {
  Int quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

double float_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0 && (b < 0) != (rest < 0)) rest += b;
  return rest == 0 ? std::copysign(0.0, b) : rest;
}

ValueResult integer_power(Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0) return python_error("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Int result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow();
  }
  return Value::integer(result);
}

ValueResult integer_arithmetic(BinaryOp op, Int a, Int b) {
  constexpr Int kMin = Int{1} << 126;
  Int result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      return __builtin_add_overflow(a, b, &result) ? ValueResult(overflow()) : Value::integer(result);
    case BinaryOp::kSubtract:
      return __builtin_sub_overflow(a, b, &result) ? ValueResult(overflow()) : Value::integer(result);
    case BinaryOp::kMultiply:
      return __builtin_mul_overflow(a, b, &result) ? ValueResult(overflow()) : Value::integer(result);
    case BinaryOp::kPower:
      return integer_power(a, b);
    default:
      break;
  }
  if (b == 0) return python_error("{}division by zero", op == BinaryOp::kDivide ? "" : "integer modulo or ");
  if (op == BinaryOp::kDivide) return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1 && a < -kMin) return overflow();  // the least integer has no negative
  if (op == BinaryOp::kFloorDivide) return Value::integer(floor_divide(a, b));
  return Value::integer(a - floor_divide(a, b) * b);
}

ValueResult float_arithmetic(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value(a + b);
    case BinaryOp::kSubtract:
      return Value(a - b);
    case BinaryOp::kMultiply:
      return Value(a * b);
    case BinaryOp::kPower:
      if (a == 0 && b < 0) return python_error("0.0 cannot be raised to a negative power");
      if (a < 0 && std::floor(b) != b) return python_error("complex numbers are not supported in templates");
      return Value(std::pow(a, b));
    default:
      break;
  }
  if (b == 0) return python_error("float {}division by zero", op == BinaryOp::kDivide ? "" : "floor ");
  if (op == BinaryOp::kDivide) return Value(a / b);
  if (op == BinaryOp::kModulo) return Value(float_modulo(a, b));
  return Value(std::floor((a - float_modulo(a, b)) / b + 0.25));
}

ValueResult repeat(Runtime& runtime, const Value& sequence, const Value& count) {
  EXO_TRY(int64_t times, to_index(count));
  times = std::max<int64_t>(times, 0);
  if (sequence.is_string()) {
    const std::string& text = sequence.string();
    if (!text.empty() && static_cast<uint64_t>(times) > runtime.limits().max_output_bytes / text.size()) {
      runtime.exhaust("memory for one string");
      return runtime.failure();
    }
    std::string out;
    if (!text.empty()) out.reserve(text.size() * static_cast<size_t>(times));
    for (int64_t i = 0; i < times && !text.empty(); ++i) out += text;
    return runtime.string(std::move(out), sequence.is_markup());
  }
  const auto& items = sequence.items();
  if (!items.empty() &&
      static_cast<uint64_t>(times) > runtime.limits().max_memory_bytes / sizeof(Value) / items.size()) {
    runtime.exhaust("memory for one list");
    return runtime.failure();
  }
  std::vector<Value> out;
  if (!items.empty()) {
    if (!runtime.allows_memory(items.size() * static_cast<size_t>(times) * sizeof(Value))) return runtime.failure();
    for (int64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return runtime.sequence(sequence.type(), std::move(out), {});
}

ValueResult add_strings(Runtime& runtime, const Value& left, const Value& right) {
  bool markup = left.is_markup() || right.is_markup();
  auto part = [&](const Value& value) {
    return markup && !value.is_markup() ? escape_html(value.string()) : value.string();
  };
  if (!runtime.allows_string(left.string().size() + right.string().size())) return runtime.failure();
  if (!markup) return runtime.string(left.string() + right.string());
  return runtime.string(part(left) + part(right), true);
}

ValueResult add_sequences(Runtime& runtime, const Value& left, const Value& right) {
  const auto &a = left.items(), &b = right.items();
  if (!runtime.allows_memory((a.size() + b.size()) * sizeof(Value))) return runtime.failure();
  std::vector<Value> out;
  out.reserve(a.size() + b.size());
  out.insert(out.end(), a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return runtime.sequence(left.type(), std::move(out), {});
}

}  // namespace

ValueResult apply_unary(Runtime&, UnaryOp op, const Value& value) {
  if (op == UnaryOp::kNot) return Value(!truthy(value));
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_number()) {
    return python_error("bad operand type for unary {}: '{}'", op == UnaryOp::kMinus ? "-" : "+", type_name(value));
  }
  if (value.is(Type::kFloat)) return Value(op == UnaryOp::kMinus ? -value.real() : value.real());
  Int result = value.integer();
  if (op == UnaryOp::kMinus && __builtin_sub_overflow(Int{0}, result, &result)) return overflow();
  return Value::integer(result);
}

ValueResult apply_binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) return integer_arithmetic(op, left.integer(), right.integer());
    return float_arithmetic(op, left.real(), right.real());
  }
  if (op == BinaryOp::kModulo && left.is_string()) return format_percent(runtime, left, right);
  if (op == BinaryOp::kAdd && left.is_string() && right.is_string()) return add_strings(runtime, left, right);
  if (op == BinaryOp::kAdd && left.is_sequence() && left.type() == right.type()) {
    return add_sequences(runtime, left, right);
  }
  if (op == BinaryOp::kMultiply) {
    if ((left.is_string() || left.is_sequence()) && right.is_integral()) return repeat(runtime, left, right);
    if ((right.is_string() || right.is_sequence()) && left.is_integral()) return repeat(runtime, right, left);
  }
  return unsupported(op, left, right);
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kUndefined:
      return false;
    case Type::kString:
      if (!item.is_string()) {
        return python_error("'in <string>' requires string as left operand, not {}", type_name(item));
      }
      if (!runtime.step_bytes(container.string().size())) return runtime.failure();
      return container.string().find(item.string()) != std::string::npos;
    case Type::kDict:
      if (!is_hashable(item)) return python_error("unhashable type: '{}'", type_name(item));
      return container.dict().find(runtime, item) != nullptr;
    case Type::kRange: {
      const RangeObject& range = container.range();
      if (!item.is_number() || item.real() != std::floor(item.real()) || range.length == 0) return false;
      Int value = item.is_integral() ? item.integer() : static_cast<Int>(item.real()),
          last = range.start + static_cast<Int>(range.length - 1) * range.step;
      bool inside = range.step > 0 ? value >= range.start && value <= last : value <= range.start && value >= last;
      return inside && (value - range.start) % range.step == 0;
    }
    case Type::kList:
    case Type::kTuple:
    case Type::kView:
    case Type::kIterator: {
      EXO_TRY(std::vector<Value> items, iterate(runtime, container));
      for (const Value& candidate : items) {
        if (equal(runtime, candidate, item)) return true;
      }
      return false;
    }
    default:
      return python_error("argument of type '{}' is not iterable", type_name(container));
  }
}

Result<bool> apply_compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEqual:
      return equal(runtime, left, right);
    case CompareOp::kNotEqual:
      return !equal(runtime, left, right);
    case CompareOp::kIn:
      return contains(runtime, right, left);
    case CompareOp::kNotIn: {
      EXO_TRY(bool found, contains(runtime, right, left));
      return !found;
    }
    default:
      break;
  }
  constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">", ">="};
  EXO_TRY(int order, compare(runtime, left, right, kNames[static_cast<size_t>(op)]));
  if (order == kUnordered) return false;
  switch (op) {
    case CompareOp::kLess:
      return order < 0;
    case CompareOp::kLessEqual:
      return order <= 0;
    case CompareOp::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

}  // namespace exo::chat::jinja
