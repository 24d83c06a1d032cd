#pragma once
// libcurl, loaded by who first needs it: what it brings along (GnuTLS, Kerberos, LDAP) would cost a daemon that never calls AWS
// 4 MiB. The declarations are libcurl's own; CCurl.c defines those of its functions that are used, by what it found in the library.
#include <curl/curl.h>

/// Loads the library of that name, before anything else of this module is called, and not from two threads at once. What failed may be
/// tried again. Returns null, or why not: the loader's words, until its next call in this thread.
const char *curl_load(const char *name);

// libcurl's setters are variadic, which Swift cannot call: one function for each kind of argument.
typedef size_t (*curl_data_callback)(char *data, size_t size, size_t count, void *context);
CURLcode curl_setopt_long(CURL *handle, CURLoption option, long value);
CURLcode curl_setopt_string(CURL *handle, CURLoption option, const char *value);
CURLcode curl_setopt_pointer(CURL *handle, CURLoption option, void *value);
// libcurl copies the bytes.
CURLcode curl_setopt_blob(CURL *handle, CURLoption option, const void *bytes, size_t count);
CURLcode curl_setopt_callback(CURL *handle, CURLoption option, curl_data_callback value);
typedef CURLcode (*curl_context_callback)(CURL *handle, void *context, void *data);
CURLcode curl_setopt_context_callback(CURL *handle, CURLoption option, curl_context_callback value);
CURLcode curl_getinfo_long(CURL *handle, CURLINFO info, long *value);
CURLMcode curl_multi_setopt_long(CURLM *handle, CURLMoption option, long value);
