/* SPDX-License-Identifier: MIT
 *
 * The fs-verity part of the C interface: checks arguments, makes a plan, calls the code that works.
 */
#include "digest.h"
#include "engine.h"
#include "many.h"
#include "merkle.h"
#include "powernode.h"

#include <errno.h>
#include <string.h>

int32_t pn_verity_digest(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                         const uint8_t *data, int32_t fd, uint64_t size, uint32_t threads, uint8_t *tree,
                         uint8_t *digest)
{
    struct pn_plan plan;
    const struct pn_source source = {.data = data, .fd = fd, .size = size};
    int error = pn_plan_init(&plan, algorithm, block_size, salt, salt_size);
    if (error)
        return error;
    if (size > INT64_MAX)
        return -EFBIG;
    return pn_digest(&plan, &source, threads, tree, digest);
}

int64_t pn_verity_tree_size(uint32_t algorithm, uint32_t block_size, uint64_t size)
{
    struct pn_plan plan;
    int error = pn_plan_init(&plan, algorithm, block_size, NULL, 0);
    if (error)
        return error;
    return size > INT64_MAX ? -EFBIG : (int64_t)pn_merkle_tree_size(&plan, size);
}

int32_t pn_verity_files(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                        const uint8_t *paths, uint64_t count, uint32_t threads, uint8_t *digests, int32_t *errors)
{
    struct pn_plan plan;
    int error = pn_plan_init(&plan, algorithm, block_size, salt, salt_size);
    return error ? error : pn_digest_files(&plan, (const char *)paths, count, threads, digests, errors);
}

int32_t pn_verity_blocks(uint32_t algorithm, uint32_t block_size, const uint8_t *data, uint64_t count, uint8_t *digests)
{
    struct pn_plan plan;
    int error = pn_plan_init(&plan, algorithm, block_size, NULL, 0);
    if (!error)
        pn_hash_run(&plan.block, data, block_size, count, digests);
    return error;
}

int32_t pn_verity_kernel(uint32_t index, uint8_t *name, uint32_t *algorithm)
{
    if (index >= pn_kernel_count)
        return -ENOENT;
    memset(name, 0, 32);
    memcpy(name, pn_kernels[index]->name, strlen(pn_kernels[index]->name));
    *algorithm = (uint32_t)pn_kernels[index]->algorithm;
    if (!pn_kernel_supported(pn_kernels[index]))
        return 0;
    return pn_engine_kernel(pn_kernels[index]->algorithm) == pn_kernels[index] ? 2 : 1;
}

int32_t pn_verity_use_kernel(const uint8_t *name)
{
    return pn_engine_force((const char *)name);
}

int32_t pn_verity_calibrate(uint32_t algorithm)
{
    if (algorithm != PN_SHA256 && algorithm != PN_SHA512)
        return -EINVAL;
    pn_engine_calibrate((enum pn_algorithm)algorithm);
    return 0;
}
