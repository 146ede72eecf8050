/* SPDX-License-Identifier: MIT
 *
 * Reading EROFS metadata that nobody vouches for.
 *
 * The image is a byte range in memory; everything handed out points into it. Rules every function here keeps:
 * an offset is compared with the image size before it is used; nothing recurses; the work for one image is linear in
 * its size. The last one rests on two facts that hold for every honest image and are enforced for the others: inodes
 * with their inline parts do not overlap (`claimed`), and the directories together are not larger than the image.
 *
 * Only what composefs writes is understood: 4 KiB blocks, flat and chunk layouts, no compression, no extra devices.
 * The meaning of overlayfs attributes is not known here; see composefs/view.h.
 */
#ifndef PN_EROFS_READER_H
#define PN_EROFS_READER_H

#include <stdint.h>

#include "../include/powernode.h"
#include "format.h"

#define PN_EROFS_SYMLINK_MAX 4095u
#define PN_EROFS_CHUNKS_MAX 1024u

/* One extended attribute: the full name is the prefix that `index` stands for and then `name`. */
struct pn_erofs_xattr {
    const uint8_t *name;
    const uint8_t *value;
    uint16_t value_size;
    uint8_t name_size;
    uint8_t index;
};

struct pn_erofs_reader {
    const uint8_t *image;
    uint64_t size;
    uint64_t meta_offset;
    uint64_t xattr_offset;
    uint64_t root_nid;
    int64_t build_time_s;
    uint32_t build_time_ns;
    uint32_t uses_name_filter;
    uint64_t *claimed;             /* one bit per 32-byte slot: part of an inode that was visited */
    uint64_t *visited;             /* one bit per 32-byte slot: an inode that was visited starts here */
    uint64_t directory_bytes;      /* of all directories opened so far */
    struct pn_erofs_xattr *xattrs; /* of the inode at hand; see pn_erofs_xattrs_load */
    uint32_t xattr_count;
    uint32_t xattr_capacity;
    struct pn_failure *failure; /* may be NULL */
};

/* Data is `head` (whole blocks, or everything) and then `tail` (inline, behind the inode). Both ranges were checked. */
struct pn_erofs_inode {
    uint64_t nid;
    uint64_t offset;
    uint64_t end; /* of the inode with its xattrs and whatever is stored inline */
    uint64_t size;
    uint64_t xattr_offset;
    uint32_t xattr_size;
    uint32_t mode;
    uint32_t layout;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev; /* devices only */
    uint32_t mtime_ns;
    int64_t mtime_s;
    uint64_t head_offset;
    uint64_t head_size;
    uint64_t tail_offset;
    uint32_t tail_size;
};

struct pn_erofs_dirent {
    uint64_t nid;
    const uint8_t *name; /* 1 to 255 bytes, none of them 0 or '/'; never "." or ".." */
    uint32_t name_size;
    uint32_t type;
    uint64_t offset; /* of the entry in the image, for messages */
};

/* Goes through the entries of one directory. */
struct pn_erofs_directory {
    uint64_t nid;
    uint64_t parent_nid;
    uint64_t head_offset;
    uint64_t head_size;
    uint64_t tail_offset;
    uint64_t block_offset; /* of the block at hand */
    uint64_t next_block;   /* distance of the next block from the start of the directory */
    const uint8_t *previous_name;
    uint32_t tail_size;
    uint32_t previous_size;
    uint32_t block_size;
    uint32_t count;
    uint32_t index;
    uint32_t dots; /* bit 0: "." was seen, bit 1: ".." */
};

/* Checks header and superblock and allocates the maps. pn_erofs_close must follow, whatever is returned. */
int32_t pn_erofs_open(struct pn_erofs_reader *reader, const uint8_t *image, uint64_t size, struct pn_failure *failure);
void pn_erofs_close(struct pn_erofs_reader *reader);

/* Reads the inode `nid`; `where` is what points to it. */
int32_t pn_erofs_inode_load(struct pn_erofs_reader *reader, uint64_t nid, uint64_t where, struct pn_erofs_inode *inode);

/* Notes that the inode is in use. 0: first time; 1: seen before, a hard link; negative: it overlaps another inode. */
int32_t pn_erofs_inode_visit(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode);

/* Finds head and tail of the inode's data, and checks a chunk table. Called by pn_erofs_inode_load. */
int32_t pn_erofs_data_locate(struct pn_erofs_reader *reader, uint64_t data_offset, uint32_t i_u,
                             struct pn_erofs_inode *inode);

/* Leaves the inode's attributes in reader->xattrs: its own, then the shared ones, each list in the order of the image.
 * Valid until the next call. The text of a prefix index is in
 * xattr_prefix.h. */
int32_t pn_erofs_xattrs_load(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode);

int32_t pn_erofs_directory_open(struct pn_erofs_reader *reader, const struct pn_erofs_inode *inode, uint64_t parent_nid,
                                struct pn_erofs_directory *directory);
/* 1: `dirent` holds the next entry; 0: that was all; negative: refused. */
int32_t pn_erofs_directory_next(struct pn_erofs_reader *reader, struct pn_erofs_directory *directory,
                                struct pn_erofs_dirent *dirent);

#endif
