/* SPDX-License-Identifier: MIT
 *
 * What overlayfs needs to see in an image, derived from the tree without changing it:
 *   - attributes `trusted.overlay.*` of the tree are written with one more `overlay.` (see xattr.h),
 *   - a file kept in the object store carries its digest (metacopy) and where it is (redirect),
 *   - a whiteout cannot be stored as one: it becomes an empty file that says so, and its directory says that there are
 *     such files (from version 1 on in the form newer kernels read),
 *   - the root is opaque and hides the names of the object store, `00`..`ff`, behind stubs.
 * The inodes come out breadth first, as they are stored.
 */
#include "../erofs/dir_walk.h"
#include "failure.h"
#include "sort.h"

struct addition {
    const char *name;
    const char *value;
    int raw;
};

static const struct addition WHITEOUT[] = {{"trusted.overlay.whiteout", "", 0}, {"user.overlay.whiteout", "", 0}};
/* The last two from version 1 on. */
static const struct addition WHITEOUTS[] = {{"trusted.overlay.whiteouts", "", 0},
                                            {"user.overlay.whiteouts", "", 0},
                                            {"trusted.overlay.opaque", "x", 0},
                                            {"user.overlay.opaque", "x", 0}};
static const struct addition OPAQUE_ROOT = {"trusted.overlay.opaque", "y", 1};
static const struct addition NO_DIGEST = {"trusted.overlay.metacopy", "", 1};

#define ADDITIONS_MAX 5

static int by_name(const void *context, const struct pn_sort_item *left, const struct pn_sort_item *right)
{
    return pn_xattr_name_order(context, left->id, right->id);
}

static int64_t cost(const struct pn_xattr_table *table, uint32_t id)
{
    const struct pn_xattr_name *name = &table->names[table->pairs[id].name];
    uint32_t escaped = name->rank == PN_RANK_ESCAPED ? sizeof("overlay.") - 1 : 0;
    return (int64_t)PN_XATTR_ENTRY_COST + name->size + escaped + table->pairs[id].value_size;
}

/* The attributes of the inode with `count` more; one of the same name is replaced. Replacing a longer value is refused
 * like in the tool that defined the format, whose accounting of these additions begins at zero. */
static int add_xattrs(struct pn_image_plan *plan, struct pn_inode *inode, const struct addition *const *additions,
                      uint32_t count, struct pn_failure *failure)
{
    struct pn_xattr_table *table = &plan->tree->xattrs;
    uint32_t had = inode->xattr_count, have = 0;
    int64_t accounted = 0;
    struct pn_sort_item *items = malloc(2 * ((size_t)had + count) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    for (; have < had; have++)
        items[have] = (struct pn_sort_item){.id = plan->tree->xattr_ids[inode->xattr_first + have]};
    for (uint32_t i = 0; i < count; i++) {
        struct pn_xattr_input input = {.name = (const uint8_t *)additions[i]->name,
                                       .name_size = (uint32_t)strlen(additions[i]->name),
                                       .value = (const uint8_t *)additions[i]->value,
                                       .value_size = (uint32_t)strlen(additions[i]->value)};
        struct pn_sort_item item = {0};
        int error = pn_xattr_intern(table, &input, additions[i]->raw, 0, &item.id);
        uint32_t at = 0;
        if (error) {
            free(items);
            return error;
        }
        while (at < have && by_name(table, &items[at], &item) != 0)
            at++;
        if (at < have)
            accounted = have == 1 ? PN_XATTR_HEADER_COST : accounted - cost(table, items[at].id);
        else if (have == 0)
            accounted = PN_XATTR_HEADER_COST;
        accounted += cost(table, item.id);
        items[at] = item;
        have += at == have;
        if (!additions[i]->raw && (accounted < 0 || accounted > PN_XATTR_TOTAL_MAX)) {
            free(items);
            return pn_refuse(failure, -ERANGE, (uint64_t)inode->node + 1, "composefs.overlay-xattr",
                             "expected %s to be free or short, found a longer value that would have to be replaced",
                             additions[i]->name);
        }
    }
    pn_sort(items, items + had + count, have, by_name, table);
    int error = pn_array_reserve((void **)&plan->extra_ids, &plan->extra_room, (uint64_t)plan->extra_count + have,
                                 sizeof(*plan->extra_ids));
    if (!error) {
        inode->xattr_first = plan->extra_count;
        inode->xattr_count = (uint16_t)have;
        inode->flags |= PN_INODE_EXTRA_XATTRS;
        for (uint32_t i = 0; i < have; i++)
            plan->extra_ids[plan->extra_count++] = items[i].id;
    }
    free(items);
    return error;
}

/* A payload that is no store path: its redirect is a pair already, it only has to be put in its place. */
static int insert_redirect(struct pn_image_plan *plan, struct pn_inode *inode, uint32_t redirect)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    const uint8_t rank = table->names[table->pairs[redirect].name].rank;
    const uint32_t had = inode->xattr_count;
    uint32_t from = 0;
    /* The room is made first: the list that is copied may lie in the array that grows. */
    int error = pn_array_reserve((void **)&plan->extra_ids, &plan->extra_room, (uint64_t)plan->extra_count + had + 1,
                                 sizeof(*plan->extra_ids));
    if (error)
        return error;
    const uint32_t *ids = inode->flags & PN_INODE_EXTRA_XATTRS ? plan->extra_ids : plan->tree->xattr_ids;
    uint32_t *to = plan->extra_ids + plan->extra_count;
    if (had)
        ids += inode->xattr_first;
    while (from < had && table->names[table->pairs[ids[from]].name].rank < rank)
        *to++ = ids[from++];
    *to++ = redirect;
    while (from < had)
        *to++ = ids[from++];
    inode->xattr_first = plan->extra_count;
    inode->xattr_count = (uint16_t)(had + 1);
    inode->flags |= PN_INODE_EXTRA_XATTRS;
    plan->extra_count += had + 1;
    return 0;
}

static int rewrite(struct pn_image_plan *plan, struct pn_inode *inode, int has_whiteouts, struct pn_failure *failure)
{
    const struct pn_node *node = &plan->tree->nodes[inode->node];
    const struct addition *additions[ADDITIONS_MAX];
    uint32_t count = 0;

    inode->mode = (uint16_t)node->mode;
    inode->nlink = node->nlink;
    inode->xattr_first = node->xattr_first;
    inode->xattr_count = node->xattr_count;
    if (pn_node_is_whiteout(node)) {
        inode->mode = (uint16_t)((inode->mode & ~S_IFMT) | S_IFREG);
        additions[count++] = &WHITEOUT[0];
        additions[count++] = &WHITEOUT[1];
    } else if (pn_node_is_external(node)) {
        if (node->object.digest != PN_NONE)
            inode->flags |= PN_INODE_METACOPY;
        else
            additions[count++] = &NO_DIGEST;
        if (node->object.payload != PN_NONE && !(node->flags & PN_NODE_PAYLOAD_PAIR))
            inode->flags |= PN_INODE_REDIRECT;
    }
    if (has_whiteouts)
        for (uint32_t i = 0; i < (plan->version ? 4u : 2u); i++)
            additions[count++] = &WHITEOUTS[i];
    if (!inode->node)
        additions[count++] = &OPAQUE_ROOT;
    int error = count ? add_xattrs(plan, inode, additions, count, failure) : 0;
    if (error || !(node->flags & PN_NODE_PAYLOAD_PAIR))
        return error;
    return insert_redirect(plan, inode, node->object.payload);
}

static int has_name(const struct pn_xattr_table *table, uint32_t id, const char *name)
{
    const struct pn_xattr_name *known = &table->names[table->pairs[id].name];
    return !known->raw && known->size == strlen(name) && memcmp(known->bytes, name, known->size) == 0;
}

/* A stub has the owner and time of the root and of its attributes only the SELinux label. */
static void make_stub(struct pn_image_plan *plan, struct pn_inode *inode)
{
    const struct pn_node *root = &plan->tree->nodes[0];
    *inode = (struct pn_inode){.node = PN_NONE, .mode = S_IFCHR | 0644, .nlink = 1};
    for (uint32_t i = 0; i < root->xattr_count; i++) {
        if (!has_name(&plan->tree->xattrs, plan->tree->xattr_ids[root->xattr_first + i], "security.selinux"))
            continue;
        inode->xattr_first = root->xattr_first + i;
        inode->xattr_count = 1;
    }
}

static void earliest(struct pn_image_plan *plan, const struct pn_node *node)
{
    if (node->mtime_s > plan->mtime_s || (node->mtime_s == plan->mtime_s && node->mtime_ns >= plan->mtime_ns))
        return;
    plan->mtime_s = node->mtime_s;
    plan->mtime_ns = node->mtime_ns;
}

static int breadth_first(struct pn_image_plan *plan, const uint8_t *has_whiteouts, struct pn_failure *failure)
{
    const struct pn_tree *tree = plan->tree;
    plan->inodes[0] = (struct pn_inode){.node = 0};
    plan->inode_count = 1;
    for (uint32_t i = 0; i < plan->inode_count; i++) {
        struct pn_inode *inode = &plan->inodes[i];
        if (inode->node == PN_NONE)
            continue;
        const struct pn_node *node = &tree->nodes[inode->node];
        plan->inode_of[inode->node] = i;
        earliest(plan, node);
        int error = rewrite(plan, inode, has_whiteouts[inode->node], failure);
        if (error)
            return error;
        if (!pn_node_is(node, S_IFDIR))
            continue;
        inode->nlink = 2;
        struct pn_dir_walk walk = pn_dir_walk_start(tree, inode->node);
        struct pn_dir_entry entry;
        while (pn_dir_walk_next(&walk, &entry)) {
            struct pn_inode *next = &plan->inodes[plan->inode_count];
            if (entry.kind == PN_ENTRY_STUB) {
                plan->stubs[entry.which] = plan->inode_count++;
                make_stub(plan, next);
            } else if (entry.kind == PN_ENTRY_CHILD && !(tree->nodes[entry.which].flags & PN_NODE_LINK)) {
                *next = (struct pn_inode){.node = entry.which};
                plan->inode_count++;
                inode->nlink += pn_node_is(&tree->nodes[entry.which], S_IFDIR);
            }
        }
    }
    return 0;
}

static void find_acls(struct pn_image_plan *plan)
{
    const struct pn_xattr_table *table = &plan->tree->xattrs;
    for (uint32_t i = 0; i < plan->tree->count && !plan->has_acl; i++) {
        const struct pn_node *node = &plan->tree->nodes[i];
        for (uint32_t k = 0; k < node->xattr_count; k++) {
            uint32_t id = plan->tree->xattr_ids[node->xattr_first + k];
            if (has_name(table, id, "system.posix_acl_access") || has_name(table, id, "system.posix_acl_default"))
                plan->has_acl = 1;
        }
    }
}

int pn_image_plan_inodes(struct pn_image_plan *plan, uint32_t min_version, uint32_t max_version,
                         struct pn_failure *failure)
{
    const struct pn_tree *tree = plan->tree;
    if ((uint64_t)tree->count + PN_STUBS >= PN_NONE)
        return -EOVERFLOW;
    uint8_t *has_whiteouts = calloc(tree->count, 1);
    plan->inodes = malloc(((size_t)tree->count + PN_STUBS) * sizeof(*plan->inodes));
    plan->inode_of = malloc((size_t)tree->count * sizeof(*plan->inode_of));
    if (!has_whiteouts || !plan->inodes || !plan->inode_of) {
        free(has_whiteouts);
        return -ENOMEM;
    }
    memset(plan->inode_of, 0xff, (size_t)tree->count * sizeof(*plan->inode_of));
    memset(plan->stubs, 0xff, sizeof(plan->stubs));
    plan->version = min_version;
    for (uint32_t i = 0; i < tree->count; i++) {
        if (!pn_node_is_whiteout(&tree->nodes[i]))
            continue;
        has_whiteouts[tree->nodes[i].parent] = 1;
        if (max_version > plan->version)
            plan->version = 1;
    }
    plan->mtime_s = tree->nodes[0].mtime_s;
    plan->mtime_ns = tree->nodes[0].mtime_ns;
    int error = breadth_first(plan, has_whiteouts, failure);
    free(has_whiteouts);
    find_acls(plan);
    return error;
}
