// A helper program as this project starts one. posix_spawn(3) can neither bind the child's life to ours nor set limits.
#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/resource.h>

extern char **environ;

// Between fork and exec only async-signal-safe calls are allowed: other threads may have held any lock.
static void become(char *const *arguments, char *const *environment, int output, int errors, int report) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input >= 0 && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 && dup2(errors, 2) >= 0) {
        // Programs of the select(2) age must not meet the high limit of a daemon. Last, since a daemon that has more
        // descriptors than this could open nothing below it any more.
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 1024) {
            limit.rlim_cur = 1024;
            setrlimit(RLIMIT_NOFILE, &limit);
        }
        environ = (char **)environment;
        execvp(arguments[0], arguments);
    }
    int reason = errno;
    ssize_t written = write(report, &reason, sizeof reason);
    (void)written;
    _exit(127);
}

int clinux_spawn_helper(char *const *arguments, char *const *environment, int output, int errors, pid_t *pid) {
    int report[2];
    if (clinux_pipe(report) != 0) return errno;
    pid_t child = fork();
    if (child == 0) become(arguments, environment, output, errors, report[1]);
    int failure = child < 0 ? errno : 0;
    close(report[1]);
    if (child > 0) {
        // The pipe closes by itself when the program has been started.
        int reason = 0;
        ssize_t count;
        do count = read(report[0], &reason, sizeof reason);
        while (count < 0 && errno == EINTR);
        if (count == sizeof reason) {
            failure = reason;
            while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
            }
        }
        *pid = child;
    }
    close(report[0]);
    return failure;
}
