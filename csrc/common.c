/* SPDX-License-Identifier: MIT */
#include "powernode.h"

#include <stdlib.h>
#include <string.h>

int32_t pn_abi_version(void)
{
    return 1;
}

void pn_buffer_free(struct pn_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}
