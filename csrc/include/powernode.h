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
 * Both strings are NUL-terminated. What it holds counts only when the call returns an error; NULL where nobody asks. */
struct pn_failure {
    uint64_t where;
    char code[48];
    char message[208];
};

/* Dump text to the composefs image `mkcomposefs --from-file` writes. Versions 0 or 1, as its --min-version and
 * --max-version. `flags` bit 0: strict (what its CFS_PARSE_STRICT=1 refuses is refused). After an error `image` is
 * empty and failure->where is a line number, 1 for the first. */
int32_t pn_composefs_image_from_dump(const uint8_t *text, uint64_t size, uint32_t min_version, uint32_t max_version,
                                     uint32_t flags, struct pn_buffer *image, struct pn_failure *failure);

/* What a composefs image that nobody vouches for contains, as text. `what`: 0 dump, 1 listing, 2 object paths (sorted,
 * each once). `filters`: NUL-separated names of entries of the root, an empty one ends them; NULL: everything. Fills
 * `text` from scratch; after an error it is empty, and failure->where is a byte offset in the image. */
int32_t pn_composefs_text_from_image(const uint8_t *image, uint64_t size, uint32_t what, const char *filters,
                                     struct pn_buffer *text, struct pn_failure *failure);

/* A directory as a composefs image (`what` 0) or as dump text (1). `flags`: 1 no xattrs, 2 only user.* xattrs, 4 no
 * device nodes, 8 all times zero, 16 names of one inode become hard links. With `store` and `staging` (directories,
 * else -1) every object the store lacks is written to `staging` with the path it shall have in the store ("ab/cd...");
 * making it durable and giving it its place is the caller's, and so is emptying `staging` after an error. `progress`
 * may be NULL, else three words: files done, bytes done, and one the caller sets to cancel. */
int32_t pn_composefs_from_directory(int32_t directory, uint32_t what, uint32_t flags, uint32_t threads,
                                    uint32_t min_version, uint32_t max_version, int32_t store, int32_t staging,
                                    uint64_t *progress, struct pn_buffer *result, struct pn_failure *failure);

/* fs-verity. `algorithm`: 1 = SHA-256, 2 = SHA-512. `salt` may be NULL. `threads`: 0 = all CPUs of the process. */

/* The digest of `size` bytes: at `data`, or of the file `fd` if `data` is NULL. `tree` may be NULL, else it receives
 * the Merkle tree (pn_verity_tree_size bytes). -ESTALE: the file ended before `size`. */
int32_t pn_verity_digest(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                         const uint8_t *data, int32_t fd, uint64_t size, uint32_t threads, uint8_t *tree,
                         uint8_t *digest);
int64_t pn_verity_tree_size(uint32_t algorithm, uint32_t block_size, uint64_t size);

/* Many files: `paths` holds `count` NUL-terminated strings; errors[i] is 0 or -errno of file i. */
int32_t pn_verity_files(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                        const uint8_t *paths, uint64_t count, uint32_t threads, uint8_t *digests, int32_t *errors);

/* Data that arrives in pieces. A stream is finished once; freeing it is always needed. */
struct pn_verity_stream;
int32_t pn_verity_stream_new(uint32_t algorithm, uint32_t block_size, const uint8_t *salt, uint32_t salt_size,
                             struct pn_verity_stream **stream);
int32_t pn_verity_stream_update(struct pn_verity_stream *stream, const uint8_t *data, uint64_t size);
int32_t pn_verity_stream_finish(struct pn_verity_stream *stream, uint8_t *digest);
void pn_verity_stream_free(struct pn_verity_stream *stream);

/* For benchmarks: the plain hashes of `count` blocks, with the kernel in use. */
int32_t pn_verity_blocks(uint32_t algorithm, uint32_t block_size, const uint8_t *data, uint64_t count,
                         uint8_t *digests);

/* The hash kernels: name (32 bytes, NUL-padded) and algorithm of number `index`; 0 = this CPU lacks what it needs,
 * 1 = usable, 2 = in use, -ENOENT = past the end. use_kernel fixes the choice (NULL: choose again); calibrate lets them
 * race. */
int32_t pn_verity_kernel(uint32_t index, uint8_t *name, uint32_t *algorithm);
int32_t pn_verity_use_kernel(const uint8_t *name);
int32_t pn_verity_calibrate(uint32_t algorithm);

/* Signatures. By the libcrypto.so.3 of this machine, opened at the first call: -ENOSYS where there is none or where it
 * lacks the algorithm. Keys are DER SubjectPublicKeyInfo; curves only by name and with the uncompressed point. */

/* What a public key is: its kind (1 Ed25519, 2 ECDSA P-256, 3 ECDSA P-384, 4 RSA of 2048 to 8192 bits) and its size in
 * bits. -EINVAL: malformed, weak or of another kind. */
int32_t pn_public_key(const uint8_t *spki, uint64_t spki_size, uint32_t *kind_and_bits);

/* 0: `signature` over `message` is by this key. -EBADMSG: it is not. -EINVAL: the key is not one for `algorithm`: 1
 * Ed25519, 2 ECDSA P-256 with SHA-256, 3 ECDSA P-384 with SHA-384 (both in DER), 4 RSA PKCS #1 v1.5 with SHA-256, 5
 * RSA-PSS with SHA-256, MGF1 of SHA-256 and a salt of 32 bytes, 6 ECDSA P-384 with SHA-256, 7 RSA
 * PKCS #1 v1.5 with SHA-384, 8 the same with SHA-512, 9 ECDSA P-256 with SHA-384. */
int32_t pn_signature_verify(uint32_t algorithm, const uint8_t *spki, uint64_t spki_size, const uint8_t *message,
                            uint64_t message_size, const uint8_t *signature, uint64_t signature_size);

/* Seals many files with fs-verity (SHA-256, blocks of 4096, no salt) and lets the kernel confirm each. `names` holds
 * `count` NUL-terminated strings, opened below `directory` without following a link; `digests` 32 bytes for each.
 * `flags` bit 0: seal nothing, only measure. `progress` may be NULL, else three words: files done, bytes done, and one
 * the caller sets to cancel. errors[i]: 0 sealed and as expected, -EBADMSG another digest, -ENODATA not sealed (bit 0),
 * -ENOTTY or -EOPNOTSUPP no fs-verity here, -ECANCELED not reached (cancelled, or the disk is full: -ENOSPC or -EDQUOT
 * of another file), or what the kernel said. Making it durable is the caller's. */
int32_t pn_linux_seal(int32_t directory, const uint8_t *names, const uint8_t *digests, uint64_t count, uint32_t flags,
                      uint32_t threads, uint64_t *progress, int32_t *errors);

/* zstd. By the libzstd.so.1 of this machine, opened at the first call: -ENOSYS where there is none. */

/* Its version, 10504 for 1.5.4: with the level it decides the bytes of a layer. */
int64_t pn_zstd_version(void);

/* Decompresses frames that arrive in pieces. `counts` receives the bytes taken from `data` and the bytes written to
 * `out`. 0: at the end of a frame, 1: inside one; if `out` is full, more may come of no more data. -EBADMSG: corrupt,
 * or a window above 2^window_log_max (10 to 27). -ENOMEM: no memory for the window. After an error the decoder is of
 * no use. Freeing is always needed. */
struct pn_zstd_decoder;
int32_t pn_zstd_decoder_new(uint32_t window_log_max, struct pn_zstd_decoder **decoder);
int32_t pn_zstd_decoder_run(struct pn_zstd_decoder *decoder, const uint8_t *data, uint64_t size, uint8_t *out,
                            uint64_t room, uint64_t *counts);
void pn_zstd_decoder_free(struct pn_zstd_decoder *decoder);

/* A layer that was written: the blob, the uncompressed archive in it, and where the blob keeps its two compressed
 * tables (table of contents, tar-split data), with their sizes before compression. Digests are SHA-256, those of the
 * tables of their compressed bytes. */
struct pn_layer {
    uint64_t blob_size, archive_size;
    uint64_t toc_offset, toc_size, toc_text_size;
    uint64_t split_offset, split_size, split_text_size;
    uint8_t blob_digest[32], archive_digest[32], toc_digest[32], split_digest[32];
};

/* Writes a composefs image as a zstd:chunked layer to the descriptor `out`; `objects` is the directory of the store.
 * The bytes depend on image, `level` and the version of libzstd alone. `progress` may be NULL, else three words:
 * entries done, bytes of contents done, and one the caller sets to cancel. After an error `out` holds something
 * unfinished, and failure->where is a byte offset in the image. */
int32_t pn_layer_write(const uint8_t *image, uint64_t size, int32_t objects, int32_t out, uint32_t level,
                       uint32_t threads, uint64_t *progress, struct pn_layer *layer, struct pn_failure *failure);

/* END ABI */

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#endif
