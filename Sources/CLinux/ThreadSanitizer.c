// Nothing but under the thread sanitizer (`make sanitize`), which has to be told of what it does not see: Swift's `Mutex` takes
// a lock that is held by somebody else, and gives up one that somebody waits for, in Swift's own library, which is not
// instrumented. What two threads did under such a lock would be reported as a race. So these functions come before the library's
// (the program's own symbols do), call them, and tell the sanitizer of the lock.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

// Swift's calling convention: the lock is `self`. The names are part of the library's stable interface (Synchronization, LinuxImpl.swift).
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"
#define METHOD __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *
typedef METHOD void lock_function(uint32_t thread, SELF lock);
typedef METHOD void unlock_function(SELF lock);

METHOD void clinux_lock(uint32_t thread, SELF lock) __asm__(LOCK);
METHOD void clinux_unlock(SELF lock) __asm__(UNLOCK);

static void *library_function(_Atomic(void *) *known, const char *name) {
    void *function = atomic_load_explicit(known, memory_order_relaxed);
    if (!function) {
        function = dlsym(RTLD_NEXT, name);
        if (!function) abort();
        atomic_store_explicit(known, function, memory_order_relaxed);
    }
    return function;
}

METHOD void clinux_lock(uint32_t thread, SELF lock) {
    static _Atomic(void *) known;
    ((lock_function *)library_function(&known, LOCK))(thread, lock);
    __tsan_acquire(lock);
}

METHOD void clinux_unlock(SELF lock) {
    static _Atomic(void *) known;
    __tsan_release(lock);
    ((unlock_function *)library_function(&known, UNLOCK))(lock);
}
#endif
#endif
