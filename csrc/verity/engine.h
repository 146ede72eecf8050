/* SPDX-License-Identifier: MIT
 *
 * Hashing many equal messages with whatever this machine does best.
 */
#ifndef PN_VERITY_ENGINE_H
#define PN_VERITY_ENGINE_H

#include "kernel.h"

/* Works out what messages of `message_size` bytes (a whole number of hash blocks) behind `salt` share. */
void pn_frame_init(struct pn_frame *frame, enum pn_algorithm algorithm, const uint8_t *salt, size_t salt_size,
                   size_t message_size);

/* `count` messages, digests one after the other. */
void pn_hash_many(const struct pn_frame *frame, const uint8_t *const *messages, size_t count, uint8_t *digests);

/* The same for messages that lie one behind the other. */
void pn_hash_run(const struct pn_frame *frame, const uint8_t *messages, size_t message_size, size_t count,
                 uint8_t *digests);

/* Lets the kernels race once per process; worth it before megabytes of work, never needed. */
void pn_engine_calibrate(enum pn_algorithm algorithm);

/* The kernel in use. */
const struct pn_kernel *pn_engine_kernel(enum pn_algorithm algorithm);

/* Uses the named kernel from now on; NULL goes back to choosing. -ENOENT: no such kernel; -ENOTSUP: the CPU lacks it.
 */
int pn_engine_force(const char *name);

int pn_kernel_supported(const struct pn_kernel *kernel);

#endif
