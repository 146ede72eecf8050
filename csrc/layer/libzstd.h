/* SPDX-License-Identifier: MIT
 *
 * The functions of libzstd 1.4 and later that we use, found at run time, as csrc/crypto does with libcrypto: the
 * library builds without zstd's headers and starts without loading it. Only the stable part of the interface.
 */
#ifndef PN_LAYER_LIBZSTD_H
#define PN_LAYER_LIBZSTD_H

#include <stddef.h>

typedef struct ZSTD_CCtx_s ZSTD_CCtx;
typedef struct ZSTD_DCtx_s ZSTD_DCtx;

struct pn_zstd_in {
    const void *data;
    size_t size;
    size_t used;
};

struct pn_zstd_out {
    void *data;
    size_t size;
    size_t used;
};

/* Numbers of the parameters in zstd.h. */
enum { PN_ZSTD_LEVEL = 100, PN_ZSTD_CONTENT_SIZE = 200, PN_ZSTD_CHECKSUM = 201, PN_ZSTD_WINDOW_LOG_MAX = 100 };
enum { PN_ZSTD_NO_MEMORY = 64 }; /* in zstd_errors.h */

/* result, name, arguments */
#define PN_LIBZSTD_FUNCTIONS(F)                                                                            \
    F(unsigned, ZSTD_versionNumber, (void))                                                                \
    F(unsigned, ZSTD_isError, (size_t code))                                                               \
    F(unsigned, ZSTD_getErrorCode, (size_t code))                                                          \
    F(size_t, ZSTD_compressBound, (size_t size))                                                           \
    F(ZSTD_CCtx *, ZSTD_createCCtx, (void))                                                                \
    F(size_t, ZSTD_freeCCtx, (ZSTD_CCtx * context))                                                        \
    F(size_t, ZSTD_CCtx_setParameter, (ZSTD_CCtx * context, int parameter, int value))                     \
    F(size_t, ZSTD_compress2, (ZSTD_CCtx * context, void *to, size_t room, const void *from, size_t size)) \
    F(ZSTD_DCtx *, ZSTD_createDCtx, (void))                                                                \
    F(size_t, ZSTD_freeDCtx, (ZSTD_DCtx * context))                                                        \
    F(size_t, ZSTD_DCtx_setParameter, (ZSTD_DCtx * context, int parameter, int value))                     \
    F(size_t, ZSTD_decompressStream, (ZSTD_DCtx * context, struct pn_zstd_out * out, struct pn_zstd_in * in))

#define PN_LIBZSTD_MEMBER(result, name, arguments) result(*name) arguments;
struct pn_libzstd {
    PN_LIBZSTD_FUNCTIONS(PN_LIBZSTD_MEMBER)
};

/* The functions, looked for at the first call of the process; NULL where there is no libzstd.so.1. */
const struct pn_libzstd *pn_libzstd(void);

#endif
