// What the process of the tests needs before its first test, so that a plain `swift test` works.

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "CTestProcess.h"

// Runs before main(), and so before Swift Testing reads its environment.
__attribute__((constructor)) static void prepare_test_process(void) {
    // All tests share one process, and Debian's default is 1024 descriptors.
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    // Eight tests at a time. Without a bound hundreds start at once and take the processor from each other until limits are
    // missed that have nothing to do with what is tested.
    setenv("SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH", "8", 0);
}

pid_t test_fork(void) {
    return fork();
}
