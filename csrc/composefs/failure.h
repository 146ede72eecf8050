/* SPDX-License-Identifier: MIT
 *
 * Filling struct pn_failure: one line where an input is refused. `code` is a stable name, the message says what was
 * expected and found. A NULL failure is allowed everywhere: the errno alone is then the answer.
 */
#ifndef PN_COMPOSEFS_FAILURE_H
#define PN_COMPOSEFS_FAILURE_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "../include/powernode.h"

__attribute__((format(printf, 5, 6))) static inline int pn_refuse(struct pn_failure *failure, int error, uint64_t where,
                                                                  const char *code, const char *format, ...)
{
    if (failure) {
        va_list arguments;
        failure->where = where;
        snprintf(failure->code, sizeof(failure->code), "%s", code);
        va_start(arguments, format);
        vsnprintf(failure->message, sizeof(failure->message), format, arguments);
        va_end(arguments);
        /* Names and text of strangers are in it, and it ends up on a terminal: no control character, be it one of the
         * upper ones (U+0080 to U+009F, in UTF-8 0xc2 and the same byte). */
        for (unsigned char *at = (unsigned char *)failure->message; *at; at++) {
            if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
                at[0] = at[1] = '?';
            else if (*at < ' ' || *at == 0x7f)
                *at = '?';
        }
    }
    return error;
}

#endif
