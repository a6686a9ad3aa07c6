#pragma once
// formats/json_fields.h under this module's name.

#include "formats/json_fields.h"

namespace exo::text {

using formats::as_integer;
using formats::find_array;
using formats::find_bool;
using formats::find_string;
using formats::find_value;

}  // namespace exo::text
