/* SPDX-License-Identifier: MIT */
#include "libcrypto.h"

#include <dlfcn.h>
#include <pthread.h>

/* The library's only variables outside csrc/verity's choice of kernels: written once, under pthread_once, and
 * constant from then on. Looking the functions up at every call would take locks of the loader and reference counts
 * for nothing; the loader keeps one libcrypto per process anyway. */
static struct pn_libcrypto functions;
static const struct pn_libcrypto *found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look(void)
{
    /* Only the version whose functions we know. It stays open: others (Python's ssl) may use it as well. */
    void *library = dlopen("libcrypto.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
/* POSIX guarantees that a pointer from dlsym may be stored through void **; C alone does not. */
#define LOOK_UP(result, name, arguments)                       \
    *(void **)(void *)&functions.name = dlsym(library, #name); \
    if (!functions.name)                                       \
        return;
    PN_LIBCRYPTO_FUNCTIONS(LOOK_UP)
    found = &functions;
}

const struct pn_libcrypto *pn_libcrypto(void)
{
    return pthread_once(&once, look) == 0 ? found : NULL;
}
