#include "CCurl.h"
#include <dlfcn.h>

// What is used of libcurl, and called as it is.
#define PLAIN_FUNCTIONS(with) \
    with(CURLcode, curl_global_init, (long flags), (flags)) \
    with(CURL *, curl_easy_init, (void), ()) \
    with(void, curl_easy_cleanup, (CURL *handle), (handle)) \
    with(char *, curl_version, (void), ()) \
    with(const char *, curl_easy_strerror, (CURLcode code), (code)) \
    with(struct curl_slist *, curl_slist_append, (struct curl_slist *list, const char *line), (list, line)) \
    with(void, curl_slist_free_all, (struct curl_slist *list), (list)) \
    with(CURLM *, curl_multi_init, (void), ()) \
    with(CURLMcode, curl_multi_cleanup, (CURLM *multi), (multi)) \
    with(CURLMcode, curl_multi_add_handle, (CURLM *multi, CURL *handle), (multi, handle)) \
    with(CURLMcode, curl_multi_remove_handle, (CURLM *multi, CURL *handle), (multi, handle)) \
    with(CURLMcode, curl_multi_perform, (CURLM *multi, int *running), (multi, running)) \
    with(CURLMcode, curl_multi_poll, \
         (CURLM *multi, struct curl_waitfd *extra, unsigned int count, int milliseconds, int *ready), \
         (multi, extra, count, milliseconds, ready)) \
    with(CURLMcode, curl_multi_wakeup, (CURLM *multi), (multi)) \
    with(CURLMsg *, curl_multi_info_read, (CURLM *multi, int *left), (multi, left))

// What the functions at the end of this file call.
#define VARIADIC_FUNCTIONS(with) \
    with(CURLcode, curl_easy_setopt, , ) \
    with(CURLcode, curl_easy_getinfo, , ) \
    with(CURLMcode, curl_multi_setopt, , )

// libcurl's own, once it is loaded.
static struct {
#define POINTER(result, name, parameters, arguments) __typeof__(name) *name;
    PLAIN_FUNCTIONS(POINTER)
    VARIADIC_FUNCTIONS(POINTER)
} loaded;

const char *curl_load(const char *name) {
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return dlerror();
#define FIND(result, name, parameters, arguments) \
    if ((loaded.name = (__typeof__(loaded.name))dlsym(library, #name)) == NULL) return dlerror();
    PLAIN_FUNCTIONS(FIND)
    VARIADIC_FUNCTIONS(FIND)
    return NULL;
}

// Hidden: libcurl, too, calls these names, and must find its own.
#define CALL(result, name, parameters, arguments) \
    __attribute__((visibility("hidden"))) result name parameters { return loaded.name arguments; }
PLAIN_FUNCTIONS(CALL)

// In parentheses, since libcurl has macros of these names.
CURLcode curl_setopt_long(CURL *handle, CURLoption option, long value) {
    return (loaded.curl_easy_setopt)(handle, option, value);
}
CURLcode curl_setopt_string(CURL *handle, CURLoption option, const char *value) {
    return (loaded.curl_easy_setopt)(handle, option, value);
}
CURLcode curl_setopt_pointer(CURL *handle, CURLoption option, void *value) {
    return (loaded.curl_easy_setopt)(handle, option, value);
}
CURLcode curl_setopt_blob(CURL *handle, CURLoption option, const void *bytes, size_t count) {
    struct curl_blob blob = {.data = (void *)bytes, .len = count, .flags = CURL_BLOB_COPY};
    return (loaded.curl_easy_setopt)(handle, option, &blob);
}
CURLcode curl_setopt_callback(CURL *handle, CURLoption option, curl_data_callback value) {
    return (loaded.curl_easy_setopt)(handle, option, value);
}
CURLcode curl_setopt_context_callback(CURL *handle, CURLoption option, curl_context_callback value) {
    return (loaded.curl_easy_setopt)(handle, option, value);
}
CURLcode curl_getinfo_long(CURL *handle, CURLINFO info, long *value) {
    return (loaded.curl_easy_getinfo)(handle, info, value);
}
CURLMcode curl_multi_setopt_long(CURLM *handle, CURLMoption option, long value) {
    return (loaded.curl_multi_setopt)(handle, option, value);
}
