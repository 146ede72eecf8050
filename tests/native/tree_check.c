/* SPDX-License-Identifier: MIT
 *
 * Fills a tree the way a directory scan does: children unsorted, strings that do not live on, digests in binary, a link
 * before its target. Its dump must be the expected text, and its images those of that text. And a refusal repeats what
 * it read without the control characters in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/composefs/dump_parse.h"

#define HEX31 "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const char EXPECTED[] = "/ 4096 40755 3 0 0 0 5.7 - - - security.selinux=label\\x00\n"
                               "/a 9 100644 1 1 2 0 6.0 00/" HEX31 " - 00" HEX31 " security.selinux=label\\x00\n"
                               "/b 9 @100644 1 1 2 0 6.0 /a - 00" HEX31 " security.selinux=label\\x00\n"
                               "/d 42 40700 2 0 0 0 5.7 - - -\n"
                               "/d/dev 0 60600 1 0 0 2049 5.7 - - -\n"
                               "/e 2 100600 1 0 0 0 5.7 - hi - user.a=2 user.b=1\n"
                               "/l 3 120777 1 0 0 0 5.7 xyz - -\n";

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "line %d: " #condition "\n", __LINE__); \
            return 1;                                               \
        }                                                           \
    } while (0)

static int add(struct pn_tree *tree, uint32_t parent, const char *name, uint32_t mode, uint64_t size, uint32_t *node)
{
    uint8_t passing[16];
    struct pn_node_info info = {.size = size, .mtime_s = 5, .mtime_ns = 7, .mode = mode, .nlink = 1};
    if ((mode & S_IFMT) == S_IFBLK)
        info.rdev = 2049;
    if (strcmp(name, "a") == 0) {
        info.uid = 1;
        info.gid = 2;
        info.mtime_s = 6;
        info.mtime_ns = 0;
    }
    memcpy(passing, name, strlen(name));
    int error = pn_tree_add(tree, parent, parent == PN_NONE ? NULL : passing, (uint32_t)strlen(name), &info, node);
    memset(passing, 'X', sizeof(passing));
    return error;
}

static int set_xattrs(struct pn_tree *tree, uint32_t node, const char *first, const char *second)
{
    char names[2][32], values[2][8];
    struct pn_xattr_input list[2];
    const char *const given[2] = {first, second};
    uint32_t count = 0;
    for (; count < 2 && given[count]; count++) {
        const char *equals = strchr(given[count], '=');
        list[count] = (struct pn_xattr_input){.name_size = (uint32_t)(equals - given[count]),
                                              .value_size = (uint32_t)strlen(equals + 1)};
        memcpy(names[count], given[count], list[count].name_size);
        memcpy(values[count], equals + 1, list[count].value_size + 1);
        list[count].name = (const uint8_t *)names[count];
        list[count].value = (const uint8_t *)values[count];
        if (strcmp(equals + 1, "label") == 0)
            list[count].value_size++; /* with its NUL, as SELinux labels have it */
    }
    int error = pn_tree_set_xattrs(tree, node, list, count);
    memset(names, 'X', sizeof(names));
    memset(values, 'X', sizeof(values));
    return error;
}

static int same_images(struct pn_tree *left, struct pn_tree *right)
{
    for (uint32_t version = 0; version < 2; version++) {
        struct pn_buffer a, b;
        struct pn_failure failure;
        CHECK(pn_composefs_write_image(left, version, 1, &a, &failure) == 0);
        CHECK(pn_composefs_write_image(right, version, 1, &b, &failure) == 0);
        CHECK(a.size == b.size && memcmp(a.data, b.data, (size_t)a.size) == 0);
        pn_buffer_free(&a);
        pn_buffer_free(&b);
    }
    return 0;
}

static int refusal_is_harmless(void)
{
    static const char text[] = "/ 0 40755 2 0 0 0 0.0 - - -\n/\x1b]\xc2\x9b\x7f\xc3\xa4/b 0 40755 2 0 0 0 0.0 - - -\n";
    struct pn_failure failure;
    struct pn_tree *tree;
    CHECK(pn_tree_from_dump((const uint8_t *)text, sizeof(text) - 1, 0, &tree, &failure) == -EINVAL);
    CHECK(strcmp(failure.code, "dump.parent-missing") == 0 && strstr(failure.message, "/?]???\xc3\xa4/b"));
    return 0;
}

int main(void)
{
    struct pn_tree *tree = pn_tree_new(0), *parsed;
    struct pn_failure failure;
    struct pn_buffer text;
    uint32_t root, link, symlink, file, directory, device, inline_file, unused;
    uint8_t digest[32];
    for (uint32_t i = 0; i < sizeof(digest); i++)
        digest[i] = (uint8_t)i;

    CHECK(tree && add(tree, PN_NONE, "", S_IFDIR | 0755, 77, &root) == 0);
    CHECK(add(tree, PN_NONE, "", S_IFDIR | 0755, 0, &unused) == -EINVAL);
    CHECK(add(tree, root, "..", S_IFDIR | 0755, 0, &unused) == -EINVAL);
    CHECK(add(tree, root, "x/y", S_IFREG | 0755, 0, &unused) == -EINVAL);
    CHECK(add(tree, root, "l", S_IFLNK | 0777, 0, &symlink) == 0);
    CHECK(add(tree, symlink, "x", S_IFREG | 0755, 0, &unused) == -EINVAL);
    CHECK(pn_tree_set_target(tree, symlink, (const uint8_t *)"xyz", 3) == 0);
    CHECK(add(tree, root, "e", S_IFREG | 0600, 2, &inline_file) == 0);
    CHECK(pn_tree_set_content(tree, inline_file, (const uint8_t *)"hi", 2) == 0);
    CHECK(set_xattrs(tree, inline_file, "user.b=1", "user.a=2") == 0);
    CHECK(pn_tree_add_link(tree, root, (const uint8_t *)"b", 1, S_IFREG, &link) == 0);
    CHECK(add(tree, root, "d", S_IFDIR | 0700, 0, &directory) == 0);
    CHECK(add(tree, root, "a", S_IFREG | 0644, 9, &file) == 0);
    CHECK(pn_tree_set_object(tree, file, digest, digest) == 0);
    CHECK(set_xattrs(tree, file, "security.selinux=label", NULL) == 0);
    CHECK(set_xattrs(tree, root, "security.selinux=label", NULL) == 0);
    CHECK(add(tree, directory, "dev", S_IFBLK | 0600, 0, &device) == 0);
    pn_tree_set_link(tree, link, file);
    memset(digest, 0xff, sizeof(digest));

    CHECK(pn_tree_to_dump(tree, &text) == -EINVAL);
    CHECK(pn_tree_finish(tree, &failure) == 0);
    CHECK(pn_tree_check_links(tree, &failure) == 0);
    CHECK(pn_tree_find(tree, root, (const uint8_t *)"d", 1) == directory);
    CHECK(pn_tree_find(tree, root, (const uint8_t *)"c", 1) == PN_NONE);
    CHECK(pn_tree_to_dump(tree, &text) == 0);
    if (text.size != sizeof(EXPECTED) - 1 || memcmp(text.data, EXPECTED, (size_t)text.size) != 0) {
        fprintf(stderr, "expected\n%sfound\n%.*s", EXPECTED, (int)text.size, (const char *)text.data);
        return 1;
    }
    CHECK(pn_tree_from_dump(text.data, text.size, PN_DUMP_STRICT, &parsed, &failure) == 0);
    int status = same_images(tree, parsed) || refusal_is_harmless();
    pn_tree_free(parsed);
    pn_buffer_free(&text);
    pn_tree_free(tree);
    return status;
}
