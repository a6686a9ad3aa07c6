#pragma once
// Python's operators on template values.

#include "chat/jinja/arguments.h"
#include "chat/jinja/ast.h"

namespace exo::chat::jinja {

ValueResult apply_unary(Runtime& runtime, UnaryOp op, const Value& value);
ValueResult apply_binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
Result<bool> apply_compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right);
// `item in container`.
Result<bool> contains(Runtime& runtime, const Value& container, const Value& item);

}  // namespace exo::chat::jinja
