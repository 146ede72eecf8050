/* SPDX-License-Identifier: MIT */
#include "hex.h"

#define F4 0xff, 0xff, 0xff, 0xff
#define F16 F4, F4, F4, F4

/* clang-format off: the columns are the table */
const uint8_t pn_hex_values[256] = {
    F16,  F16,  F16,                                                        /* 00 - 2f */
    0,    1,    2,    3,    4,    5,    6,    7,    8,  9,  0xff, 0xff, F4, /* 30 - 3f */
    0xff, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0xff, F4, F4, F16,            /* 40 - 5f */
    0xff, 10,   11,   12,   13,   14,   15,   0xff, F4, F4, F16,            /* 60 - 7f */
    F16,  F16,  F16,  F16,  F16,  F16,  F16,  F16,                          /* 80 - ff */
};
/* clang-format on */
