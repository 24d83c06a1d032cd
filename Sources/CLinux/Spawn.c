// A helper program as this project starts one. posix_spawn(3) can neither bind the child's life to ours nor set limits.
#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/resource.h>

extern char **environ;

// To and from a child, before it has become the program.
static void tell(int pipe, int value) {
    ssize_t written = write(pipe, &value, sizeof value);
    (void)written;
}

// 0 when the pipe was closed without a word.
static int hear(int pipe, int *value) {
    ssize_t count;
    do count = read(pipe, value, sizeof *value);
    while (count < 0 && errno == EINTR);
    return count == sizeof *value;
}

static void signals_as_at_login(void) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// Between fork and exec only async-signal-safe calls are allowed: other threads may have held any lock.
static void become(char *const *arguments, char *const *environment, int output, int errors, int report) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signals_as_at_login();
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
    tell(report, errno);
    _exit(127);
}

int clinux_spawn_helper(char *const *arguments, char *const *environment, int output, int errors, pid_t *pid) {
    return clinux_spawn_helper_within(arguments, environment, output, errors, -1, -1, pid);
}

int clinux_spawn_helper_within(char *const *arguments, char *const *environment, int output, int errors, int cancellation,
                               int milliseconds, pid_t *pid) {
    int report[2];
    if (clinux_pipe(report) != 0) return errno;
    pid_t child = fork();
    if (child == 0) become(arguments, environment, output, errors, report[1]);
    int failure = child < 0 ? errno : 0;
    close(report[1]);
    if (child > 0) {
        // The pipe closes by itself when the program has been started; a program on a file system that hangs is not.
        struct pollfd waits[2] = {{.fd = report[0], .events = POLLIN}, {.fd = cancellation, .events = POLLIN}};
        int count;
        do count = poll(waits, 2, milliseconds);
        while (count < 0 && errno == EINTR);
        if (count == 0) {
            failure = -1;
        } else if (waits[0].revents == 0) {
            failure = -2;
        } else if (hear(report[0], &failure)) {
            while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
            }
        }
        *pid = child;
    }
    close(report[0]);
    return failure;
}

// The number of a process in decimal; snprintf(3) is not async-signal-safe.
static void write_number(char *text, pid_t number) {
    char digits[16];
    int count = 0;
    do digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) *text++ = digits[--count];
    *text = 0;
}

int clinux_start_successor(const char *path, char *const *arguments, char *const *environment, int is_watched,
                           int channel, int number, pid_t *pid) {
    static const char watched[] = "WATCHDOG_PID=";
    // All memory is had before the fork: room for the watchdog's variable and for the end.
    size_t count = 0;
    while (environment[count]) count++;
    char **variables = malloc((count + 2) * sizeof *variables);
    if (!variables) return ENOMEM;
    char watchdog[sizeof watched + 16];
    memcpy(watchdog, watched, sizeof watched);
    memcpy(variables, environment, count * sizeof *variables);
    variables[count] = is_watched ? watchdog : NULL;
    variables[count + 1] = NULL;
    // The helper tells the new process's number by one pipe, and who cannot become the program says why by the other.
    int numbers[2], reasons[2];
    if (clinux_pipe(numbers) != 0) {
        free(variables);
        return errno;
    }
    if (clinux_pipe(reasons) != 0) {
        int reason = errno;
        close(numbers[0]);
        close(numbers[1]);
        free(variables);
        return reason;
    }
    pid_t helper = fork();
    if (helper == 0) {
        pid_t successor = fork();
        if (successor != 0) {
            tell(successor < 0 ? reasons[1] : numbers[1], successor < 0 ? errno : successor);
            _exit(0);
        }
        signals_as_at_login();
        write_number(watchdog + sizeof watched - 1, getpid());
        // dup2 does nothing, and leaves close-on-exec as it is, where both numbers are one.
        int ready = channel == number ? fcntl(number, F_SETFD, 0) : dup2(channel, number);
        if (ready >= 0) execve(path, arguments, variables);
        tell(reasons[1], errno);
        _exit(127);
    }
    int failure = helper < 0 ? errno : 0;
    free(variables);
    close(numbers[1]);
    close(reasons[1]);
    if (helper > 0) {
        while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) {
        }
        int number_of_successor = 0;
        // The second pipe closes by itself when the program has been started.
        if (!hear(reasons[0], &failure) && !hear(numbers[0], &number_of_successor)) failure = ECHILD;
        *pid = number_of_successor;
    }
    close(numbers[0]);
    close(reasons[0]);
    return failure;
}
