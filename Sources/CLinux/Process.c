// What every program of this project begins with, before its main and before any library opens a descriptor.
#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/auxv.h>

static int argument_count;
static char **argument_list;

int clinux_argument_count(void) {
    return argument_count;
}

char *const *clinux_arguments(void) {
    return argument_list;
}

const char *clinux_executable_name(void) {
    return (const char *)getauxval(AT_EXECFN);
}

// A parent may leave 0, 1 or 2 closed: the first file that is opened would get that number, and every message would be written
// into it. Where there is no /dev/null, as in a bare chroot, a descriptor that can neither be read nor written will do.
static void fill_standard_descriptors(void) {
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        if (fcntl(number, F_GETFD) != -1 || errno != EBADF) continue;
        int opened = open("/dev/null", O_RDWR);
        if (opened < 0) opened = open("/", O_PATH);
        // The lowest free number, which is this one, since those below it are open.
        if (opened >= 0 && opened != number) close(opened);
    }
}

// An ignored SIGCHLD survives execve(2), and makes every waitpid(2) fail with ECHILD (sigaction(2)); so does a signal mask. Other
// signals that the parent ignores stay ignored, as nohup(1) and shells mean it.
static void reset_signals(void) {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &plain, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

// Without /proc a program with Swift's runtime in it aborts in an initializer: it asks for the path of its crash reporter, which it
// derives from /proc/self/exe, also where nothing asked for crash reports (stdlib/public/runtime/Backtrace.cpp and Paths.cpp). It
// does not ask where the environment names a path. This runs before that initializer, which has the default priority.
__attribute__((constructor(101))) static void name_a_crash_reporter(void) {
    if (access("/proc/self/exe", F_OK) != 0) setenv("SWIFT_BACKTRACE", "enable=no,swift-backtrace=/nonexistent", 0);
}

// glibc calls constructors with main's arguments (sysdeps/x86/elf/start.S, csu/libc-start.c: call_init), also without /proc, from
// which Swift's CommandLine reads them.
__attribute__((constructor)) static void begin(int count, char **arguments, char **environment) {
    (void)environment;
    argument_count = count;
    argument_list = arguments;
    fill_standard_descriptors();
    reset_signals();
}
