/* SPDX-License-Identifier: MIT
 *
 * The on-disk format of EROFS as composefs uses it: offsets, masks and little-endian access. Shared by the writer
 * and the reader, so there are no C structs laid over bytes: a field is an offset, and it is read or written through
 * pn_get_* / pn_put_*, which work at any alignment and on any byte order.
 *
 * A composefs image, in order: composefs header, zeros, superblock, inodes, shared xattrs, data blocks.
 */
#ifndef PN_EROFS_FORMAT_H
#define PN_EROFS_FORMAT_H

#include <stdint.h>
#include <string.h>

/* -- units -------------------------------------------------------------------------------------------------------- */
#define PN_EROFS_BLOCK_BITS 12u
#define PN_EROFS_BLOCK 4096u
#define PN_EROFS_BLOCK_MASK 4095u
#define PN_EROFS_SLOT_BITS 5u /* nid = offset of the inode / 32 (meta_blkaddr is 0) */
#define PN_EROFS_SLOT 32u

/* -- composefs header, at offset 0 -------------------------------------------------------------------------------- */
#define PN_CFS_HEADER_SIZE 32u
#define PN_CFS_HEADER_MAGIC 0u              /* u32 */
#define PN_CFS_HEADER_VERSION 4u            /* u32, 1 */
#define PN_CFS_HEADER_FLAGS 8u              /* u32 */
#define PN_CFS_HEADER_COMPOSEFS_VERSION 12u /* u32, 0 or 1 */
#define PN_CFS_MAGIC 0xd078629au
#define PN_CFS_FORMAT_VERSION 1u
#define PN_CFS_FLAG_HAS_ACL 1u

/* -- superblock, at offset 1024: field offsets are relative to it -------------------------------------------------- */
#define PN_EROFS_SUPER_OFFSET 1024u
#define PN_EROFS_SUPER_SIZE 128u
#define PN_EROFS_SUPER_MAGIC 0xE0F5E1E2u
#define PN_EROFS_SB_MAGIC 0u                   /* u32 */
#define PN_EROFS_SB_CHECKSUM 4u                /* u32, 0: the feature bit is not set */
#define PN_EROFS_SB_FEATURE_COMPAT 8u          /* u32 */
#define PN_EROFS_SB_BLKSZBITS 12u              /* u8, 12 */
#define PN_EROFS_SB_EXTSLOTS 13u               /* u8 */
#define PN_EROFS_SB_ROOT_NID 14u               /* u16 */
#define PN_EROFS_SB_INOS 16u                   /* u64 */
#define PN_EROFS_SB_BUILD_TIME 24u             /* u64 */
#define PN_EROFS_SB_BUILD_TIME_NSEC 32u        /* u32 */
#define PN_EROFS_SB_BLOCKS 36u                 /* u32 */
#define PN_EROFS_SB_META_BLKADDR 40u           /* u32, 0 */
#define PN_EROFS_SB_XATTR_BLKADDR 44u          /* u32 */
#define PN_EROFS_SB_UUID 48u                   /* 16 bytes */
#define PN_EROFS_SB_VOLUME_NAME 64u            /* 16 bytes */
#define PN_EROFS_SB_FEATURE_INCOMPAT 80u       /* u32 */
#define PN_EROFS_SB_COMPR 84u                  /* u16 */
#define PN_EROFS_SB_EXTRA_DEVICES 86u          /* u16 */
#define PN_EROFS_SB_DEVT_SLOTOFF 88u           /* u16 */
#define PN_EROFS_SB_DIRBLKBITS 90u             /* u8 */
#define PN_EROFS_SB_XATTR_PREFIX_COUNT 91u     /* u8 */
#define PN_EROFS_SB_XATTR_PREFIX_START 92u     /* u32 */
#define PN_EROFS_SB_PACKED_NID 96u             /* u64 */
#define PN_EROFS_SB_XATTR_FILTER_RESERVED 104u /* u8 */

#define PN_EROFS_FEATURE_COMPAT_MTIME 2u
#define PN_EROFS_FEATURE_COMPAT_XATTR_FILTER 4u

/* The first inode of a composefs image sits right behind the superblock: nid 36. */
#define PN_EROFS_FIRST_INODE (PN_EROFS_SUPER_OFFSET + PN_EROFS_SUPER_SIZE)

/* -- inodes -------------------------------------------------------------------------------------------------------- */
#define PN_EROFS_COMPACT_SIZE 32u
#define PN_EROFS_EXTENDED_SIZE 64u

/* The first fields are at the same place in both layouts. */
#define PN_EROFS_I_FORMAT 0u       /* u16: bit 0 extended, bits 1..3 data layout */
#define PN_EROFS_I_XATTR_ICOUNT 2u /* u16: 0, or (bytes - 12) / 4 + 1 */
#define PN_EROFS_I_MODE 4u         /* u16 */
#define PN_EROFS_I_U 16u           /* u32: first block, rdev, or chunk format (u16) */
#define PN_EROFS_I_INO 20u         /* u32 */

#define PN_EROFS_C_NLINK 6u /* u16 */
#define PN_EROFS_C_SIZE 8u  /* u32 */
#define PN_EROFS_C_UID 24u  /* u16 */
#define PN_EROFS_C_GID 26u  /* u16 */

#define PN_EROFS_E_SIZE 8u        /* u64 */
#define PN_EROFS_E_UID 24u        /* u32 */
#define PN_EROFS_E_GID 28u        /* u32 */
#define PN_EROFS_E_MTIME 32u      /* u64 */
#define PN_EROFS_E_MTIME_NSEC 40u /* u32 */
#define PN_EROFS_E_NLINK 44u      /* u32 */

/* File type bits of a mode, spelled out because the format does not depend on the host's headers. */
#define PN_MODE_TYPE 0170000u
#define PN_MODE_FIFO 0010000u
#define PN_MODE_CHR 0020000u
#define PN_MODE_DIR 0040000u
#define PN_MODE_BLK 0060000u
#define PN_MODE_REG 0100000u
#define PN_MODE_LNK 0120000u
#define PN_MODE_SOCK 0140000u

#define PN_EROFS_I_EXTENDED 1u
#define PN_EROFS_I_LAYOUT_SHIFT 1u
#define PN_EROFS_I_LAYOUT_MASK 7u
#define PN_EROFS_I_FORMAT_ALL 0x000fu /* any other bit is unknown to us */

#define PN_EROFS_LAYOUT_FLAT_PLAIN 0u
#define PN_EROFS_LAYOUT_COMPRESSED_FULL 1u /* never in a composefs image */
#define PN_EROFS_LAYOUT_FLAT_INLINE 2u
#define PN_EROFS_LAYOUT_COMPRESSED_COMPACT 3u /* never in a composefs image */
#define PN_EROFS_LAYOUT_CHUNK 4u

#define PN_EROFS_CHUNK_FORMAT_BLKBITS_MASK 0x001fu /* chunk bits - 12 */
#define PN_EROFS_CHUNK_FORMAT_INDEXES 0x0020u
#define PN_EROFS_CHUNK_BITS_MAX (PN_EROFS_BLOCK_BITS + 31u)
#define PN_EROFS_NULL_ADDR 0xffffffffu

/* -- directories --------------------------------------------------------------------------------------------------- */
#define PN_EROFS_DIRENT_SIZE 12u
#define PN_EROFS_D_NID 0u     /* u64 */
#define PN_EROFS_D_NAMEOFF 8u /* u16: from the start of the block; that of entry 0 / 12 = entries in the block */
#define PN_EROFS_D_TYPE 10u   /* u8 */
#define PN_EROFS_NAME_MAX 255u

#define PN_EROFS_FT_UNKNOWN 0u
#define PN_EROFS_FT_REG 1u
#define PN_EROFS_FT_DIR 2u
#define PN_EROFS_FT_CHR 3u
#define PN_EROFS_FT_BLK 4u
#define PN_EROFS_FT_FIFO 5u
#define PN_EROFS_FT_SOCK 6u
#define PN_EROFS_FT_SYMLINK 7u

/* The type in a directory entry that goes with a mode; PN_EROFS_FT_UNKNOWN if the mode has no known type. */
static inline uint8_t pn_erofs_file_type(uint32_t mode)
{
    static const uint8_t types[16] = {
        [PN_MODE_FIFO >> 12] = PN_EROFS_FT_FIFO, [PN_MODE_CHR >> 12] = PN_EROFS_FT_CHR,
        [PN_MODE_DIR >> 12] = PN_EROFS_FT_DIR,   [PN_MODE_BLK >> 12] = PN_EROFS_FT_BLK,
        [PN_MODE_REG >> 12] = PN_EROFS_FT_REG,   [PN_MODE_LNK >> 12] = PN_EROFS_FT_SYMLINK,
        [PN_MODE_SOCK >> 12] = PN_EROFS_FT_SOCK,
    };
    return types[(mode & PN_MODE_TYPE) >> 12];
}

/* -- xattrs -------------------------------------------------------------------------------------------------------- */
#define PN_EROFS_XATTR_HEADER 12u
#define PN_EROFS_XH_FILTER 0u       /* u32: bit set = no such name here */
#define PN_EROFS_XH_SHARED_COUNT 4u /* u8, then 7 zero bytes, then u32 ids: offset / 4 from xattr_blkaddr */
#define PN_EROFS_XATTR_ENTRY 4u
#define PN_EROFS_XE_NAME_LEN 0u   /* u8, without the prefix */
#define PN_EROFS_XE_NAME_INDEX 1u /* u8 */
#define PN_EROFS_XE_VALUE_SIZE 2u /* u16, then name, value, zeros up to a multiple of 4 */
#define PN_EROFS_XATTR_FILTER_SEED 0x25BBE08Fu
#define PN_EROFS_XATTR_FILTER_DEFAULT 0xffffffffu

#define PN_EROFS_XATTR_INDEX_NONE 0u
#define PN_EROFS_XATTR_INDEX_USER 1u
#define PN_EROFS_XATTR_INDEX_ACL_ACCESS 2u
#define PN_EROFS_XATTR_INDEX_ACL_DEFAULT 3u
#define PN_EROFS_XATTR_INDEX_TRUSTED 4u
#define PN_EROFS_XATTR_INDEX_LUSTRE 5u /* read only; composefs writes such names with index 0 */
#define PN_EROFS_XATTR_INDEX_SECURITY 6u
#define PN_EROFS_XATTR_LONG_PREFIX 0x80u /* never in a composefs image */

/* -- little-endian access ------------------------------------------------------------------------------------------ */
static inline uint16_t pn_get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t pn_get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t pn_get_u64(const uint8_t *p)
{
    return (uint64_t)pn_get_u32(p) | (uint64_t)pn_get_u32(p + 4) << 32;
}

static inline void pn_put_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void pn_put_u32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

static inline void pn_put_u64(uint8_t *p, uint64_t value)
{
    pn_put_u32(p, (uint32_t)value);
    pn_put_u32(p + 4, (uint32_t)(value >> 32));
}

#endif
