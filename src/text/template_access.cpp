// What values contain: attributes, subscripts, items, lengths.
#include <algorithm>

#include "text/template_interpreter_impl.h"
#include "text/unicode.h"

namespace r1::text {

using Value = TemplateValue;
using Kind = TemplateValue::Kind;

namespace {

/// loop.cycle and loop.changed.
struct LoopMethod : TemplateCallable {
  std::shared_ptr<TemplateObject> loop;
  bool is_cycle = false;
  TemplateValue call(TemplateInterpreter& interpreter, TemplateArguments& arguments) override {
    auto& state = static_cast<TemplateInterpreter::Loop&>(*loop);
    if (is_cycle) {
      if (arguments.positional.empty()) raise_template_error("loop.cycle() needs at least one item");
      return arguments.positional[state.index % arguments.positional.size()];
    }
    Value current = Value::list(arguments.positional, Kind::kTuple);
    const bool changed = !state.has_changed || !is_equal(current, state.last_changed, interpreter);
    state.has_changed = true;
    state.last_changed = std::move(current);
    return Value::boolean(changed);
  }
};

}  // namespace

bool TemplateInterpreter::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) raise_template_error(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      charge(1 + container.text().size() / 64);
      return container.text().find(item.text()) != std::string::npos;
    case Kind::kDict:
      if (item.is(Kind::kList) || item.is(Kind::kDict)) raise_template_error(fmt::format("unhashable type: '{}'", type_name(item)));
      charge(1 + container.entries().size() / 8);
      return container.find(item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kGenerator: {
      const Value::Items items = iterate(container);
      return std::any_of(items.begin(), items.end(), [&](const Value& other) { return is_equal(other, item, *this); });
    }
    default:
      raise_template_error(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
}

std::int64_t TemplateInterpreter::length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string_length();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      return static_cast<std::int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<std::int64_t>(value.entries().size());
    case Kind::kLoop:
      return get_attribute(value, "length").as_integer();
    default:
      raise_template_error(fmt::format("object of type '{}' has no len()", type_name(value)));
  }
}

Value::Items TemplateInterpreter::iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kString: {
      charge(1 + value.text().size() / 4);
      Value::Items items;
      for (std::size_t position = 0; position < value.text().size();) {
        const std::uint32_t length = decode_char(value.text().data() + position).length;
        items.push_back(Value::string(value.text().substr(position, length)));
        position += length;
      }
      return items;
    }
    case Kind::kDict: {
      Value::Items items;
      for (const auto& [key, unused] : value.entries()) items.push_back(key);
      charge(1 + items.size() / 8);
      return items;
    }
    case Kind::kGenerator: {
      const auto& list = static_cast<const TemplateList&>(*value.object());
      if (std::exchange(list.consumed, true)) return {};
      [[fallthrough]];
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      charge(1 + value.items().size() / 8);
      return value.items();
    default:
      raise_template_error(fmt::format("'{}' object is not iterable", type_name(value)));
  }
}

Value TemplateInterpreter::get_attribute(const Value& value, std::string_view name) {
  switch (value.kind()) {
    case Kind::kUndefined:
      raise_template_error(value.undefined_message());
    case Kind::kNamespace:
      for (const auto& [key, item] : static_cast<const TemplateNamespace&>(*value.object()).entries)
        if (key == name) return item;
      break;
    case Kind::kLoop: {
      const auto& loop = static_cast<const Loop&>(*value.object());
      if (name == "cycle" || name == "changed") {
        auto method = std::make_shared<LoopMethod>();
        method->loop = value.shared_object();
        method->is_cycle = name == "cycle";
        return Value::object(Kind::kCallable, std::move(method));
      }
      if (loop.items == nullptr) raise_template_error("a loop variable was used after its loop");
      const auto index = static_cast<std::int64_t>(loop.index);
      const auto length = static_cast<std::int64_t>(loop.items->size());
      if (name == "index0") return Value::integer(index);
      if (name == "index") return Value::integer(index + 1);
      if (name == "first") return Value::boolean(index == 0);
      if (name == "last") return Value::boolean(index + 1 == length);
      if (name == "length") return Value::integer(length);
      if (name == "revindex") return Value::integer(length - index);
      if (name == "revindex0") return Value::integer(length - index - 1);
      if (name == "depth") return Value::integer(loop.depth0 + 1);
      if (name == "depth0") return Value::integer(loop.depth0);
      if (name == "previtem") return index == 0 ? Value::undefined("there is no previous item") : (*loop.items)[loop.index - 1];
      if (name == "nextitem") return index + 1 == length ? Value::undefined("there is no next item") : (*loop.items)[loop.index + 1];
      break;
    }
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict: {
      Value method = bound_method(value, name);
      if (!method.is(Kind::kUndefined)) return method;
      if (!value.is(Kind::kDict)) break;
      charge(1 + value.entries().size() / 8);
      if (const Value* item = value.find(name)) return *item;
      break;
    }
    default:
      break;
  }
  if (name.starts_with("__"))
    raise_template_error(fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(value)));
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(value), name));
}

Value TemplateInterpreter::get_item(const Value& value, const Value& key) {
  switch (value.kind()) {
    case Kind::kUndefined:
      raise_template_error(value.undefined_message());
    case Kind::kDict:
      charge(1 + value.entries().size() / 8);
      if (const Value* item = value.find(key)) return *item;
      break;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kString: {
      if (!key.is_integral()) break;
      const std::int64_t length = length_of(value);
      std::int64_t index = key.as_integer();
      if (index < 0) index += length;
      if (index < 0 || index >= length)
        return Value::undefined(fmt::format("{} object has no element {}", type_name(value), key.as_integer()));
      if (!value.is_string()) return value.items()[static_cast<std::size_t>(index)];
      charge(1 + value.text().size() / 64);
      const std::size_t begin = byte_offset(value.text(), index);
      return Value::string(value.text().substr(begin, decode_char(value.text().data() + begin).length));
    }
    default:
      break;
  }
  if (key.is_string()) {
    if (!value.is(Kind::kDict)) return get_attribute(value, key.text());
    Value method = bound_method(value, key.text());
    if (!method.is(Kind::kUndefined)) return method;
    return Value::undefined(fmt::format("'dict object' has no attribute '{}'", key.text()));
  }
  return Value::undefined(fmt::format("{} object has no such element", type_name(value)));
}

}  // namespace r1::text
