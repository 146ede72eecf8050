/* SPDX-License-Identifier: MIT */
#include "libzstd.h"

#include <dlfcn.h>
#include <pthread.h>

/* Written once, under pthread_once, and constant from then on; see csrc/crypto/libcrypto.c. */
static struct pn_libzstd functions;
static const struct pn_libzstd *found;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void look(void)
{
    void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
/* POSIX guarantees that a pointer from dlsym may be stored through void **; C alone does not. */
#define LOOK_UP(result, name, arguments)                       \
    *(void **)(void *)&functions.name = dlsym(library, #name); \
    if (!functions.name)                                       \
        return;
    PN_LIBZSTD_FUNCTIONS(LOOK_UP)
    found = &functions;
}

const struct pn_libzstd *pn_libzstd(void)
{
    return pthread_once(&once, look) == 0 ? found : NULL;
}
