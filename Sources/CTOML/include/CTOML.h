#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Reads a TOML 1.0 document of `length` bytes and writes it as JSON in which every key and value carries the place it
/// stands at. Lines and columns begin with 1; a column counts characters.
///
/// A node is {"type":T,"line":L,"column":C,…} where T is
///   "table":    "entries": [{"key":K,"line":L,"column":C,"value":node}, …], in the order they stand in the document
///   "array":    "elements": [node, …]
///   "string":   "text": its value
///   "integer":  "number": its value
///   "boolean":  "flag": its value
///   "float", "date", "time", "date-time": nothing, since no setting of ours has such a value
///
/// A document that is no TOML gives {"type":"error","line":L,"column":C,"text":why}.
///
/// The result is UTF-8, ended by NUL, and the caller's to free with ctoml_free; NULL only when memory ran out. Any
/// bytes may be given; neither depth nor size of a document makes it unsafe.
char *ctoml_parse(const char *text, size_t length);

/// Frees what ctoml_parse returned. NULL is allowed.
void ctoml_free(char *json);

#ifdef __cplusplus
}
#endif
