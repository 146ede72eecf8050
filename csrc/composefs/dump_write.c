/* SPDX-License-Identifier: MIT
 *
 * A tree as dump text: what `composefs-info dump` prints for the tree's version 0 image, without making that image.
 * Directories have the size and link count they have in an image; attributes that several inodes share come behind
 * those they do not, as they are read back; of several names of an inode the first in the order of the text is the one
 * the others refer to. What the image does not keep is not printed: payload and digest of files with inline content,
 * sizes of devices.
 */
#include "../erofs/plan.h"
#include "failure.h"
#include "hex.h"
#include "print_text.h"

/* Numbers, separators and a digest. */
#define LINE_FIXED 400u

struct writer {
    struct pn_image_plan plan;
    const struct pn_tree *tree;
    struct pn_text text;
    uint64_t *first_lines; /* by node: start of its first line in the text, plus 1 */
    uint8_t *path;         /* of the entry, escaped; "" for the root */
    uint64_t path_size, path_room;
};

struct open_directory {
    uint32_t node;
    uint32_t next; /* child to visit */
    uint64_t path_size;
};

static uint64_t payload_bound(const struct writer *writer, const struct pn_node *node)
{
    if (node->data)
        return node->size;
    if (node->flags & PN_NODE_PAYLOAD_PAIR)
        return writer->tree->xattrs.pairs[node->object.payload].value_size;
    return PN_REDIRECT_SIZE;
}

static uint64_t line_bound(const struct writer *writer, const struct pn_node *node, uint64_t link_size)
{
    const struct pn_xattr_table *table = &writer->tree->xattrs;
    uint64_t bytes = payload_bound(writer, node);
    for (uint32_t i = 0; i < node->xattr_count; i++) {
        const struct pn_xattr *pair = &table->pairs[writer->tree->xattr_ids[node->xattr_first + i]];
        bytes += 2 + 2 * PN_ESCAPED_SLACK + (uint64_t)table->names[pair->name].size + pair->value_size;
    }
    return LINE_FIXED + writer->path_size + link_size + PN_ESCAPED_MAX * bytes + 4 * PN_ESCAPED_SLACK;
}

static uint8_t *put_numbers(uint8_t *out, const struct writer *writer, uint32_t number, int is_link)
{
    const struct pn_node *node = &writer->tree->nodes[number];
    const struct pn_inode *inode = &writer->plan.inodes[writer->plan.inode_of[number]];
    uint64_t size = 0, seconds = (uint64_t)node->mtime_s;
    int device = (pn_node_is(node, S_IFCHR) || pn_node_is(node, S_IFBLK));
    if (pn_node_is(node, S_IFDIR))
        size = (uint64_t)inode->blocks * PN_EROFS_BLOCK + inode->tail;
    else if (pn_node_is(node, S_IFREG) || pn_node_is(node, S_IFLNK))
        size = node->size;
    const uint32_t fields[4] = {inode->nlink, node->uid, node->gid, device ? node->rdev : 0};
    *out++ = ' ';
    out = pn_put_decimal(out, size);
    *out++ = ' ';
    if (is_link)
        *out++ = '@';
    out = pn_put_octal(out, node->mode & 0xffffu);
    for (int i = 0; i < 4; i++) {
        *out++ = ' ';
        out = pn_put_decimal(out, fields[i]);
    }
    *out++ = ' ';
    if (node->mtime_s < 0) {
        *out++ = '-';
        seconds = 0 - seconds;
    }
    out = pn_put_decimal(out, seconds);
    *out++ = '.';
    out = pn_put_decimal(out, node->mtime_ns);
    *out++ = ' ';
    return out;
}

static uint8_t *put_payload(uint8_t *out, const struct writer *writer, const struct pn_node *node)
{
    const struct pn_xattr_table *table = &writer->tree->xattrs;
    if (pn_node_is(node, S_IFLNK))
        return pn_put_optional(out, node->data, node->size);
    if (pn_node_is_external(node) && node->object.payload != PN_NONE) {
        if (node->flags & PN_NODE_PAYLOAD_PAIR) {
            const struct pn_xattr *redirect = &table->pairs[node->object.payload];
            return pn_put_optional(out, redirect->value + 1, redirect->value_size - 1u);
        }
        const uint8_t *digest = table->objects[node->object.payload].digest;
        out = pn_hex_encode(out, digest, 1);
        *out++ = '/';
        return pn_hex_encode(out, digest + 1, PN_DIGEST_SIZE - 1);
    }
    *out++ = '-';
    return out;
}

static uint8_t *put_xattr(uint8_t *out, const struct pn_xattr_table *table, uint32_t id)
{
    const struct pn_xattr *pair = &table->pairs[id];
    const struct pn_xattr_name *name = &table->names[pair->name];
    *out++ = ' ';
    out = pn_put_escaped(out, name->bytes, name->size, PN_ESCAPE_XATTR);
    *out++ = '=';
    return pn_put_escaped(out, pair->value, pair->value_size, PN_ESCAPE_XATTR);
}

/* Both lists are in the order of written names, so one walk finds which of the node's attributes the inode shares. */
static uint8_t *put_xattrs(uint8_t *out, const struct writer *writer, uint32_t number)
{
    const struct pn_image_plan *plan = &writer->plan;
    const struct pn_node *node = &writer->tree->nodes[number];
    const struct pn_inode *inode = &plan->inodes[plan->inode_of[number]];
    if (!node->xattr_count)
        return out;
    const uint32_t *ids = writer->tree->xattr_ids + node->xattr_first;
    uint32_t count = pn_image_plan_refs(plan, inode);
    for (int behind = 0; behind < 2; behind++) {
        uint32_t own = 0, shared = 0;
        for (uint32_t i = 0; i < count && own < node->xattr_count; i++) {
            uint32_t ref = plan->refs[i];
            int is_shared = *pn_image_plan_shared_slot(plan, ref) != PN_NONE && shared < PN_SHARED_PER_INODE;
            shared += (uint32_t)is_shared;
            if (ref & PN_REF_KIND)
                continue;
            /* One of the same name that the image replaced was not shared by this node. */
            int order = pn_xattr_name_order(&writer->tree->xattrs, ids[own], ref);
            if (order > 0)
                continue;
            if ((ref == ids[own] && is_shared) == behind)
                out = put_xattr(out, &writer->tree->xattrs, ids[own]);
            own++;
        }
    }
    return out;
}

static int put_line(struct writer *writer, uint32_t entry)
{
    const struct pn_tree *tree = writer->tree;
    uint32_t number = tree->nodes[entry].flags & PN_NODE_LINK ? tree->nodes[entry].link : entry;
    const struct pn_node *node = &tree->nodes[number];
    uint64_t first = writer->first_lines[number], link_size = 0;
    int32_t error = 0;
    if (first) {
        const uint8_t *line = writer->text.buffer->data + first - 1;
        const uint8_t *end = memchr(line, ' ', (size_t)(writer->text.buffer->size - (first - 1)));
        link_size = (uint64_t)(end - line);
    } else {
        writer->first_lines[number] = writer->text.buffer->size + 1;
    }
    uint8_t *out = pn_text_room(&writer->text, line_bound(writer, node, link_size), entry, &error);
    if (!out)
        return error;
    if (writer->path_size)
        memcpy(out, writer->path, (size_t)writer->path_size);
    else
        *out = '/';
    out = put_numbers(out + (writer->path_size ? writer->path_size : 1), writer, number, first != 0);
    if (first) {
        memcpy(out, writer->text.buffer->data + first - 1, (size_t)link_size);
        out += link_size;
    } else {
        out = put_payload(out, writer, node);
    }
    *out++ = ' ';
    if (node->flags & PN_NODE_CONTENT)
        out = pn_put_optional(out, node->data, node->size);
    else
        *out++ = '-';
    *out++ = ' ';
    if (pn_node_is_external(node) && node->object.digest != PN_NONE)
        out = pn_hex_encode(out, tree->xattrs.objects[node->object.digest].digest, PN_DIGEST_SIZE);
    else
        *out++ = '-';
    out = put_xattrs(out, writer, number);
    *out++ = '\n';
    pn_text_commit(&writer->text, out);
    return 0;
}

static int push_name(struct writer *writer, const struct pn_node *node)
{
    uint64_t need = writer->path_size + 1 + PN_ESCAPED_MAX * (uint64_t)node->name_size + PN_ESCAPED_SLACK;
    if (need > writer->path_room) {
        uint8_t *grown = realloc(writer->path, (size_t)(2 * need));
        if (!grown)
            return -ENOMEM;
        writer->path = grown;
        writer->path_room = 2 * need;
    }
    uint8_t *out = writer->path + writer->path_size;
    *out++ = '/';
    out = pn_put_escaped(out, node->name, node->name_size, PN_ESCAPE_FIELD);
    writer->path_size = (uint64_t)(out - writer->path);
    return 0;
}

static int put_tree(struct writer *writer)
{
    const struct pn_tree *tree = writer->tree;
    struct open_directory *open = NULL;
    uint32_t depth = 0, room = 0;
    int error = put_line(writer, 0);
    if (!error)
        error = pn_array_reserve((void **)&open, &room, 1, sizeof(*open));
    if (!error)
        open[depth++] = (struct open_directory){0};
    while (depth && !error) {
        struct open_directory *top = &open[depth - 1];
        const struct pn_node *directory = &tree->nodes[top->node];
        if (top->next == directory->children.count) {
            depth--;
            continue;
        }
        uint32_t child = tree->children[directory->children.first + top->next++];
        writer->path_size = top->path_size;
        error = push_name(writer, &tree->nodes[child]);
        if (!error)
            error = put_line(writer, child);
        if (error || !pn_node_is_directory(&tree->nodes[child]))
            continue;
        error = pn_array_reserve((void **)&open, &room, (uint64_t)depth + 1, sizeof(*open));
        if (!error)
            open[depth++] = (struct open_directory){.node = child, .path_size = writer->path_size};
    }
    free(open);
    return error;
}

int pn_tree_to_dump(struct pn_tree *tree, struct pn_buffer *text)
{
    struct writer writer = {.tree = tree, .plan = {.tree = tree}, .text = {.buffer = text, .limit = UINT64_MAX}};
    *text = (struct pn_buffer){0};
    if (!tree->finished)
        return -EINVAL;
    int error = pn_image_plan_inodes(&writer.plan, 0, 0, NULL);
    if (!error)
        error = pn_image_plan_sharing(&writer.plan);
    if (!error)
        error = pn_image_plan_layout(&writer.plan);
    writer.first_lines = calloc(tree->count, sizeof(*writer.first_lines));
    if (!error && !writer.first_lines)
        error = -ENOMEM;
    if (!error)
        error = put_tree(&writer);
    free(writer.first_lines);
    free(writer.path);
    pn_image_plan_free(&writer.plan);
    if (error)
        pn_buffer_free(text);
    return error;
}
