/* Lets compiled code that gives up (of Rust, of V8) end the process with a line in words and a code of ours.
 *
 * Where no memory is left Rust calls abort(), V8 runs into a trap, and OpenBLAS calls exit(1): all end a process
 * without a word that a user understands, and no Python runs any more. What happens here is allowed in a signal
 * handler.
 */
#if defined(_WIN32)

__declspec(dllexport) void abort_told(int file, const char *line, int code) { (void)file; (void)line; (void)code; }
__declspec(dllexport) void abort_expected(void) {}

#else

#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static int told_file, told_code, is_armed, is_registered;
static char told_line[512];

static void tell(int number)
{
    (void)number;
    ssize_t written = write(told_file, told_line, strlen(told_line));
    (void)written;
    _exit(told_code);
}

static void tell_exit(void)
{
    if (is_armed) tell(0);
}

/* From now on Python itself ends the process. */
API void abort_expected(void) { is_armed = 0; }

/* From now on an abort, or an exit that is not Python's, writes the line to the file, by its number, and ends the process with the code. */
API void abort_told(int file, const char *line, int code)
{
    struct sigaction action;
    const int fatal[] = {SIGABRT, SIGTRAP, SIGILL};
    if (!is_registered && atexit(tell_exit) == 0) is_registered = 1;
    is_armed = 1;
    told_file = file;
    told_code = code;
    strncpy(told_line, line, sizeof told_line - 1);
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = tell;
    action.sa_flags = SA_ONSTACK;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) sigaction(fatal[i], &action, NULL);
}

#endif
