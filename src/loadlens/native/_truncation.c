/* Keeps a process alive when a file that is mapped into its memory is cut short while it is read.
 *
 * Polars maps local files. The pages behind the new end are gone then, and reading one of them is a SIGBUS,
 * which ends the process without a word. The handler here puts a page of zeros in the place instead, so that
 * the read goes on; that pages were missing is counted, and whoever asked for the handler has to refuse what
 * was read. Writes to such a page still end the process.
 */
#if defined(_WIN32)

/* Windows does not let a mapped file be cut. */
__declspec(dllexport) int truncation_begin(void) { return 0; }
__declspec(dllexport) void truncation_end(void) {}
__declspec(dllexport) long truncation_pages(void) { return 0; }

#else

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS and SA_SIGINFO beside -std=c11 */
#define _DARWIN_C_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static struct sigaction handler_before;
static uintptr_t page_bytes;
static atomic_long pages_missing;

static void put_zeros(int number, siginfo_t *info, void *context)
{
    (void)context;
    int error_before = errno;
    if (info->si_code == BUS_ADRERR) {
        uintptr_t page = (uintptr_t)info->si_addr & ~(page_bytes - 1);
        void *zeros = mmap((void *)page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (zeros != MAP_FAILED) {
            atomic_fetch_add(&pages_missing, 1);
            errno = error_before;
            return;
        }
    }
    sigaction(number, &handler_before, NULL); /* the fault comes again, and is handled as it was before */
    errno = error_before;
}

/* Puts the handler in place; 0 if it could. The caller sees to it that it is not in place already. */
API int truncation_begin(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = put_zeros;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    return sigaction(SIGBUS, &action, &handler_before);
}

/* Puts the earlier handler back, unless somebody else has put one of theirs in place meanwhile. */
API void truncation_end(void)
{
    struct sigaction present;
    if (sigaction(SIGBUS, NULL, &present) == 0 && present.sa_sigaction == put_zeros)
        sigaction(SIGBUS, &handler_before, NULL);
}

/* How many pages were missing since the process began. */
API long truncation_pages(void) { return atomic_load(&pages_missing); }

#endif
