/* SPDX-License-Identifier: MIT
 *
 * The whole C interface of libpowernode: fixed-width integers, pointers, caller-owned memory, 0 or -errno.
 * The library knows nothing of Python and starts no threads that outlive a call. The text between the two
 * markers is also what csrc/ffi/build.py gives to cffi and what src/powernode/native/_signatures.py is generated
 * from, so it holds plain declarations only: no macros, no inline code.
 */
#ifndef POWERNODE_H
#define POWERNODE_H

#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* BEGIN ABI */

/* Rises with every incompatible change of this file; the Python side refuses another number. */
int32_t pn_abi_version(void);

/* A result that only the library can size. The library allocates `data`; pn_buffer_free releases it. */
struct pn_buffer {
    uint8_t *data;
    uint64_t size;
    uint64_t capacity;
};
void pn_buffer_free(struct pn_buffer *buffer);

/* Why a call refused its input. `code` is a stable name ("erofs.nid-range"), `where` a line or byte offset.
 * Both strings are NUL-terminated. Filled only when the call returns an error. */
struct pn_failure {
    uint64_t where;
    char code[48];
    char message[208];
};

/* END ABI */

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif
