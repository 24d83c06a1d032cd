#include "CTOML.h"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 32
#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

// More than any configuration needs.
constexpr size_t maximumLength = 1 << 20;
// toml++ limits how deep values nest, but not how many parts a dotted key has, and each part is one level of recursion
// for it and for us.
constexpr int maximumDots = 64;

void writeString(std::string &json, std::string_view text) {
    json += '"';
    for (char character : text) {
        auto byte = static_cast<unsigned char>(character);
        if (byte == '"' || byte == '\\') {
            json += '\\';
            json += character;
        } else if (byte < 0x20 || byte == 0x7F) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", byte);
            json += escape;
        } else {
            json += character;
        }
    }
    json += '"';
}

void writeField(std::string &json, const char *name) {
    json += ",\"";
    json += name;
    json += "\":";
}

void writePlace(std::string &json, toml::source_position place) {
    writeField(json, "line");
    json += std::to_string(place.line);
    writeField(json, "column");
    json += std::to_string(place.column);
}

void writeNode(std::string &json, const toml::node &node);

void writeTable(std::string &json, const toml::table &table) {
    using Entry = std::pair<const toml::key *, const toml::node *>;
    std::vector<Entry> entries;
    for (auto &&[key, value] : table) entries.emplace_back(&key, &value);
    // toml++ sorts by name; a person reads from top to bottom.
    std::stable_sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) {
        auto p = a.first->source().begin, q = b.first->source().begin;
        return p.line != q.line ? p.line < q.line : p.column < q.column;
    });
    writeField(json, "entries");
    json += '[';
    bool first = true;
    for (auto [key, value] : entries) {
        json += first ? "{\"key\":" : ",{\"key\":";
        first = false;
        writeString(json, key->str());
        writePlace(json, key->source().begin);
        writeField(json, "value");
        writeNode(json, *value);
        json += '}';
    }
    json += ']';
}

void writeArray(std::string &json, const toml::array &array) {
    writeField(json, "elements");
    json += '[';
    bool first = true;
    for (auto &&element : array) {
        if (!first) json += ',';
        first = false;
        writeNode(json, element);
    }
    json += ']';
}

const char *typeName(toml::node_type type) {
    switch (type) {
    case toml::node_type::table: return "table";
    case toml::node_type::array: return "array";
    case toml::node_type::string: return "string";
    case toml::node_type::integer: return "integer";
    case toml::node_type::boolean: return "boolean";
    case toml::node_type::floating_point: return "float";
    case toml::node_type::date: return "date";
    case toml::node_type::time: return "time";
    default: return "date-time";
    }
}

void writeNode(std::string &json, const toml::node &node) {
    json += "{\"type\":\"";
    json += typeName(node.type());
    json += '"';
    writePlace(json, node.source().begin);
    if (auto table = node.as_table()) {
        writeTable(json, *table);
    } else if (auto array = node.as_array()) {
        writeArray(json, *array);
    } else if (auto string = node.as_string()) {
        writeField(json, "text");
        writeString(json, string->get());
    } else if (auto integer = node.as_integer()) {
        writeField(json, "number");
        json += std::to_string(integer->get());
    } else if (auto boolean = node.as_boolean()) {
        writeField(json, "flag");
        json += boolean->get() ? "true" : "false";
    }
    json += '}';
}

std::string error(toml::source_position place, std::string_view text) {
    std::string json = "{\"type\":\"error\"";
    writePlace(json, place);
    writeField(json, "text");
    writeString(json, text);
    json += '}';
    return json;
}

// The line with more dots than a key may have, or 0. Comments may have any number.
unsigned lineWithTooManyDots(std::string_view text) {
    unsigned line = 1;
    int dots = 0;
    bool blank = true, comment = false;
    for (char character : text) {
        if (character == '\n') {
            line += 1;
            dots = 0;
            blank = true;
            comment = false;
            continue;
        }
        if (blank && character == '#') comment = true;
        if (character != ' ' && character != '\t') blank = false;
        if (character == '.' && !comment && ++dots > maximumDots) return line;
    }
    return 0;
}

std::string parse(std::string_view text) {
    if (text.size() > maximumLength) return error({1, 1}, "the file is longer than 1 MiB");
    if (auto line = lineWithTooManyDots(text)) return error({line, 1}, "the line has more than 64 dots");
    auto result = toml::parse(text);
    if (!result) return error(result.error().source().begin, result.error().description());
    std::string json;
    writeNode(json, result.table());
    return json;
}

}  // namespace

extern "C" char *ctoml_parse(const char *text, size_t length) {
    // Nothing may leave this function by an exception: Swift cannot catch one.
    try {
        std::string json = parse(length == 0 ? std::string_view() : std::string_view(text, length));
        auto copy = static_cast<char *>(std::malloc(json.size() + 1));
        if (copy) std::memcpy(copy, json.c_str(), json.size() + 1);
        return copy;
    } catch (...) {
        return nullptr;
    }
}

extern "C" void ctoml_free(char *json) { std::free(json); }
