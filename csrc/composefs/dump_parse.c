/* SPDX-License-Identifier: MIT
 *
 * Reads dump text line by line into a tree. The rules are those of the C tool that defined the format, lenient ones
 * included: fields between single spaces, missing ones empty, numbers as strtoull reads them and cut to the width of
 * their place. Refused although that tool accepts it, because what it then writes is not what the text says:
 *   - a NUL in a path, target or attribute name (it would silently cut the string),
 *   - a digest that is not 64 hexadecimal digits, where it matters (bytes would be left to chance),
 *   - a gid or rdev that is no number (it would become 0),
 *   - hard links to directories and sizes near 2^64 (a broken image).
 */
#include "dump_parse.h"

#include "dump_path.h"
#include "dump_text.h"
#include "failure.h"
#include "hex.h"

/* Attributes are collected per line; the format bounds the line's share of them. */
#define XATTR_TEXT_MAX 65535u

struct hard_link {
    uint32_t node;
    struct pn_slice target; /* bytes NULL: the line named none */
};

struct parser {
    struct pn_tree *tree;
    struct pn_failure *failure;
    uint64_t line;
    int strict;
    struct pn_path_cache paths;
    struct hard_link *links;
    uint32_t link_count, link_room;
    struct pn_xattr_input *xattrs;
    uint32_t xattr_room;
};

static const char *const FIELD_NAMES[PN_FIELD_COUNT] = {"path", "size",  "mode",    "nlink",   "uid",   "gid",
                                                        "rdev", "mtime", "payload", "content", "digest"};

#define REFUSE(parser, code, ...) pn_refuse((parser)->failure, -EINVAL, (parser)->line, code, __VA_ARGS__)

static int no_memory(struct parser *parser, int error)
{
    return pn_refuse(parser->failure, error, parser->line, error == -ENOMEM ? "dump.memory" : "dump.limit",
                     error == -ENOMEM ? "expected memory for the tree, found none left"
                                      : "expected fewer than 2^32 entries, found more");
}

static int number(struct parser *parser, const struct pn_slice *fields, int which, unsigned base, uint64_t *value)
{
    if (!fields[which].size)
        return REFUSE(parser, "dump.field-missing", "expected a number in field %s, found nothing", FIELD_NAMES[which]);
    if (pn_slice_number(fields[which], base, value))
        return REFUSE(parser, "dump.number", "expected a base %u number in field %s, found \"%.*s\"", base,
                      FIELD_NAMES[which], (int)(fields[which].size > 40 ? 40 : fields[which].size),
                      (const char *)fields[which].bytes);
    return 0;
}

static int unescape(struct parser *parser, struct pn_slice escaped, const char *what, struct pn_slice *plain)
{
    int error = pn_slice_unescape(&parser->tree->arena, escaped, plain);
    if (error == -EINVAL)
        return REFUSE(parser, "dump.escape", "expected \\\\, \\n, \\r, \\t or \\xHH in the %s, found another escape",
                      what);
    return error ? no_memory(parser, error) : 0;
}

/* A string of the file system: NUL ends one, so it cannot be in one. Only an escape can have brought it here. */
static int unescape_string(struct parser *parser, struct pn_slice escaped, const char *what, struct pn_slice *plain)
{
    int error = unescape(parser, escaped, what, plain);
    if (!error && plain->bytes != escaped.bytes && memchr(plain->bytes, 0, plain->size))
        return REFUSE(parser, "dump.nul-escape", "expected a %s without NUL, found \\x00", what);
    return error;
}

/* "-" stands for nothing: bytes NULL. */
static int unescape_optional(struct parser *parser, struct pn_slice escaped, const char *what, int string,
                             struct pn_slice *plain)
{
    *plain = (struct pn_slice){0};
    if (pn_slice_is(escaped, '-'))
        return 0;
    return string ? unescape_string(parser, escaped, what, plain) : unescape(parser, escaped, what, plain);
}

static int place(struct parser *parser, struct pn_slice path, uint32_t mode, uint32_t *parent, struct pn_slice *name)
{
    struct pn_tree *tree = parser->tree;
    if (pn_slice_is(path, '/')) {
        if ((mode & S_IFMT) != S_IFDIR)
            return REFUSE(parser, "dump.root-type", "expected a directory at /, found mode %o", mode);
        if (tree->count)
            return REFUSE(parser, "dump.root-again", "expected / once, found it again");
        *parent = PN_NONE;
        *name = (struct pn_slice){0};
        return 0;
    }
    if (!tree->count)
        return REFUSE(parser, "dump.root-missing", "expected / as the first entry, found another path");
    int error = pn_path_parent(&parser->paths, tree, path, parent, name);
    if (error)
        return no_memory(parser, error);
    if (*parent == PN_NONE)
        return REFUSE(parser, "dump.parent-missing", "expected the parent directory before %.*s, found none",
                      (int)(path.size > 100 ? 100 : path.size), (const char *)path.bytes);
    if (!name->size)
        return REFUSE(parser, "dump.name-empty", "expected a name at the end of the path, found a slash");
    if (pn_slice_is(*name, '.') || (name->size == 2 && memcmp(name->bytes, "..", 2) == 0))
        return REFUSE(parser, "dump.name-dot", "expected a name, found . or ..");
    if (name->size > PN_NAME_MAX)
        return REFUSE(parser, "dump.name-long", "expected a name of at most %u bytes, found %zu", PN_NAME_MAX,
                      name->size);
    return 0;
}

static int hard_link(struct parser *parser, const struct pn_slice *fields, uint32_t mode, uint32_t parent,
                     struct pn_slice name)
{
    struct hard_link link;
    if ((mode & S_IFMT) == S_IFDIR)
        return REFUSE(parser, "dump.hardlink-directory", "expected a file as hard link, found mode %o", mode);
    int error = unescape_optional(parser, fields[PN_FIELD_PAYLOAD], "hard link target", 1, &link.target);
    if (error)
        return error;
    if (!link.target.bytes)
        return REFUSE(parser, "dump.hardlink-target", "expected the path of a file as payload, found -");
    error = pn_tree_add_link(parser->tree, parent, name.bytes, (uint32_t)name.size, mode, &link.node);
    if (!error)
        error = pn_array_reserve((void **)&parser->links, &parser->link_room, (uint64_t)parser->link_count + 1,
                                 sizeof(*parser->links));
    if (error)
        return no_memory(parser, error);
    parser->links[parser->link_count++] = link;
    return 0;
}

static int metadata(struct parser *parser, struct pn_slice *fields, struct pn_node_info *info)
{
    static const int plain[] = {PN_FIELD_NLINK, PN_FIELD_UID, PN_FIELD_GID, PN_FIELD_RDEV};
    uint64_t values[4];
    int error = number(parser, fields, PN_FIELD_SIZE, 10, &info->size);
    for (int i = 0; i < 4 && !error; i++)
        error = number(parser, fields, plain[i], 10, &values[i]);
    if (error)
        return error;
    info->nlink = (uint32_t)values[0];
    info->uid = (uint32_t)values[1];
    info->gid = (uint32_t)values[2];
    info->rdev = (uint32_t)values[3];
    uint32_t type = info->mode & S_IFMT;
    if (parser->strict && values[3] && type != S_IFCHR && type != S_IFBLK)
        return REFUSE(parser, "dump.strict-rdev", "expected device number 0 of a non-device, found %llu",
                      (unsigned long long)values[3]);

    uint64_t seconds, nanoseconds;
    struct pn_slice rest = fields[PN_FIELD_MTIME], whole = rest;
    pn_slice_split(&rest, '.', &fields[PN_FIELD_MTIME]);
    error = number(parser, fields, PN_FIELD_MTIME, 10, &seconds);
    if (!error && pn_slice_number(rest, 10, &nanoseconds))
        error = REFUSE(parser, "dump.mtime", "expected mtime as SECONDS.NANOSECONDS, found \"%.*s\"",
                       (int)(whole.size > 40 ? 40 : whole.size), (const char *)whole.bytes);
    if (error)
        return error;
    info->mtime_s = (int64_t)seconds;
    info->mtime_ns = (uint32_t)nanoseconds;
    return 0;
}

static int symlink_target(struct parser *parser, uint32_t node, uint64_t size, struct pn_slice payload,
                          struct pn_slice content)
{
    if (!payload.size)
        return REFUSE(parser, "dump.symlink-empty", "expected a symlink target as payload, found none");
    if (parser->strict && size != payload.size)
        return REFUSE(parser, "dump.strict-symlink-size", "expected size %zu, the length of the target, found %llu",
                      payload.size, (unsigned long long)size);
    if (parser->strict && content.size)
        return REFUSE(parser, "dump.strict-symlink-content", "expected no content of a symlink, found %zu bytes",
                      content.size);
    int error = pn_tree_set_target(parser->tree, node, payload.bytes, (uint32_t)payload.size);
    return error ? no_memory(parser, error) : 0;
}

/* Whether the payload is the store path of that digest, as it nearly always is: then one decoding does for both. */
static int is_path_of(struct pn_slice payload, struct pn_slice hex)
{
    return payload.size == 2 * PN_DIGEST_SIZE + 1 && hex.size == 2 * PN_DIGEST_SIZE && payload.bytes[2] == '/' &&
           memcmp(payload.bytes, hex.bytes, 2) == 0 && memcmp(payload.bytes + 3, hex.bytes + 2, hex.size - 2) == 0;
}

static int external_file(struct parser *parser, uint32_t node, struct pn_slice payload, struct pn_slice digest_field)
{
    uint8_t digest[PN_DIGEST_SIZE];
    struct pn_slice hex = {0};
    int error = 0;
    unsigned seen = 0;
    if (parser->tree->nodes[node].size > PN_FILE_SIZE_MAX)
        return REFUSE(parser, "dump.file-size", "expected a file of at most 2^53 bytes, found %llu",
                      (unsigned long long)parser->tree->nodes[node].size);
    error = unescape_optional(parser, digest_field, "digest", 0, &hex);
    if (error)
        return error;
    if (hex.bytes) {
        seen = hex.size == 2 * PN_DIGEST_SIZE ? pn_hex_decode(hex.bytes, PN_DIGEST_SIZE, digest) : PN_HEX_INVALID;
        if (seen & PN_HEX_INVALID)
            return REFUSE(parser, "dump.digest", "expected 64 hexadecimal digits or -, found %zu characters", hex.size);
    }
    const uint8_t *known = hex.bytes ? digest : NULL;
    if (known && !seen && is_path_of(payload, hex)) {
        error = pn_tree_set_object(parser->tree, node, digest, digest);
    } else {
        error = pn_tree_set_object(parser->tree, node, known, NULL);
        if (!error)
            error = pn_tree_set_payload(parser->tree, node, payload.bytes, (uint32_t)payload.size);
    }
    return error ? no_memory(parser, error) : 0;
}

static int data(struct parser *parser, uint32_t node, uint64_t size, const struct pn_slice *fields)
{
    struct pn_slice payload, content, digest;
    const struct pn_node *added = &parser->tree->nodes[node];
    int error = unescape_optional(parser, fields[PN_FIELD_PAYLOAD], "payload", 1, &payload);
    if (!error)
        error = unescape_optional(parser, fields[PN_FIELD_CONTENT], "content", 0, &content);
    if (error)
        return error;
    if (content.bytes && content.size != size)
        return REFUSE(parser, "dump.content-size", "expected content of %llu bytes, found %zu",
                      (unsigned long long)size, content.size);
    if (payload.size > PN_TARGET_MAX)
        return REFUSE(parser, "dump.payload-long", "expected a payload or target of at most %u bytes, found %zu",
                      PN_TARGET_MAX, payload.size);
    if (pn_node_is(added, S_IFREG) && !content.size && size)
        return external_file(parser, node, payload, fields[PN_FIELD_DIGEST]);
    /* Elsewhere the digest has no place in the image; only its escapes are looked at. */
    error = unescape(parser, fields[PN_FIELD_DIGEST], "digest", &digest);
    if (error)
        return error;
    if (pn_node_is(added, S_IFLNK))
        return symlink_target(parser, node, size, payload, content);
    if (content.size > PN_CONTENT_MAX)
        return REFUSE(parser, "dump.content-long", "expected inline content of at most %u bytes, found %zu",
                      PN_CONTENT_MAX, content.size);
    if (pn_node_is(added, S_IFREG) && content.size)
        error = pn_tree_set_content(parser->tree, node, content.bytes, (uint32_t)content.size);
    return error ? no_memory(parser, error) : 0;
}

static int xattrs(struct parser *parser, uint32_t node, struct pn_slice rest)
{
    uint32_t count = 0;
    if (rest.size > XATTR_TEXT_MAX)
        return REFUSE(parser, "dump.xattr-text", "expected at most %u bytes of xattrs in a line, found %zu",
                      XATTR_TEXT_MAX, rest.size);
    while (rest.size) {
        struct pn_slice value, name, plain_name, plain_value;
        pn_slice_split(&rest, ' ', &value);
        if (!pn_slice_split(&value, '=', &name))
            return REFUSE(parser, "dump.xattr-equals", "expected NAME=VALUE as xattr, found no =");
        int error = unescape_string(parser, name, "xattr name", &plain_name);
        if (!error)
            error = unescape(parser, value, "xattr value", &plain_value);
        if (error)
            return error;
        if (!plain_name.size || plain_name.size > PN_XATTR_NAME_MAX)
            return REFUSE(parser, "dump.xattr-name", "expected an xattr name of 1 to %u bytes, found %zu",
                          PN_XATTR_NAME_MAX, plain_name.size);
        error = pn_array_reserve((void **)&parser->xattrs, &parser->xattr_room, (uint64_t)count + 1,
                                 sizeof(*parser->xattrs));
        if (error)
            return no_memory(parser, error);
        parser->xattrs[count++] = (struct pn_xattr_input){.name = plain_name.bytes,
                                                          .name_size = (uint32_t)plain_name.size,
                                                          .value = plain_value.bytes,
                                                          .value_size = (uint32_t)plain_value.size};
    }
    int error = count ? pn_tree_set_xattrs(parser->tree, node, parser->xattrs, count) : 0;
    if (error == -ERANGE)
        return REFUSE(parser, "dump.xattr-total", "expected at most %u bytes of xattrs in an inode, found more",
                      PN_XATTR_TOTAL_MAX);
    return error ? no_memory(parser, error) : 0;
}

static int parse_line(struct parser *parser, struct pn_slice line)
{
    struct pn_slice fields[PN_FIELD_COUNT], path, name;
    struct pn_node_info info = {0};
    uint64_t mode;
    uint32_t parent, node;

    for (int i = 0; i < PN_FIELD_COUNT; i++)
        pn_slice_split(&line, ' ', &fields[i]);
    int error = unescape_string(parser, fields[PN_FIELD_PATH], "path", &path);
    if (error)
        return error;
    if (!path.size)
        return REFUSE(parser, "dump.path-empty", "expected a path at the start of the line, found nothing");
    int is_link = fields[PN_FIELD_MODE].size && fields[PN_FIELD_MODE].bytes[0] == '@';
    if (is_link) {
        fields[PN_FIELD_MODE].bytes++;
        fields[PN_FIELD_MODE].size--;
    }
    error = number(parser, fields, PN_FIELD_MODE, 8, &mode);
    if (error)
        return error;
    info.mode = (uint32_t)mode;
    switch (info.mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        return REFUSE(parser, "dump.mode", "expected a mode with a known file type, found %o", info.mode);
    }
    error = place(parser, path, info.mode, &parent, &name);
    if (error)
        return error;
    if (is_link)
        return hard_link(parser, fields, info.mode, parent, name);
    error = metadata(parser, fields, &info);
    if (error)
        return error;
    error = pn_tree_add(parser->tree, parent, name.bytes, (uint32_t)name.size, &info, &node);
    if (!error && (info.mode & S_IFMT) == S_IFDIR && node)
        error = pn_path_cache_add(&parser->paths, parser->tree, node);
    if (error)
        return no_memory(parser, error);
    error = data(parser, node, info.size, fields);
    return error ? error : xattrs(parser, node, line);
}

static int parse_lines(struct parser *parser, struct pn_slice text)
{
    const uint8_t *nul = text.size ? memchr(text.bytes, 0, text.size) : NULL;
    while (text.size) {
        struct pn_slice line;
        int ended = pn_slice_split(&text, '\n', &line);
        parser->line++;
        if (nul && nul < text.bytes)
            return REFUSE(parser, "dump.nul", "expected text without NUL, found one at column %llu",
                          (unsigned long long)(nul - line.bytes) + 1);
        if (!ended && parser->strict)
            return REFUSE(parser, "dump.newline", "expected a newline at the end of the last line, found none");
        int error = parse_line(parser, line);
        if (error)
            return error;
    }
    return 0;
}

static int finish(struct parser *parser)
{
    int error = pn_tree_finish(parser->tree, parser->failure);
    if (error)
        return error == -ENOMEM ? no_memory(parser, error) : error;
    pn_index_free(&parser->paths.directories);
    for (uint32_t i = 0; i < parser->link_count; i++)
        pn_tree_set_link(parser->tree, parser->links[i].node, pn_path_find(parser->tree, parser->links[i].target));
    return pn_tree_check_links(parser->tree, parser->failure);
}

int pn_tree_from_dump(const uint8_t *text, uint64_t size, uint32_t flags, struct pn_tree **tree,
                      struct pn_failure *failure)
{
    struct parser parser = {.failure = failure, .strict = (flags & PN_DUMP_STRICT) != 0};
    *tree = NULL;
    if (flags & ~PN_DUMP_FLAGS || size > SIZE_MAX)
        return pn_refuse(failure, -EINVAL, 0, "dump.flags", "expected known flags, found %u", flags);
    parser.tree = pn_tree_new(1);
    if (!parser.tree)
        return no_memory(&parser, -ENOMEM);
    /* A line of a file in the store is about 200 bytes. */
    pn_index_expect(&parser.tree->xattrs.object_index, size / 256);
    int error = parse_lines(&parser, (struct pn_slice){.bytes = text, .size = (size_t)size});
    if (!error)
        error = finish(&parser);
    pn_index_free(&parser.paths.directories);
    free(parser.links);
    free(parser.xattrs);
    if (error)
        pn_tree_free(parser.tree);
    else
        *tree = parser.tree;
    return error;
}
