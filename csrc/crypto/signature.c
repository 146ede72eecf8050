/* SPDX-License-Identifier: MIT
 *
 * Public keys and signatures. The mathematics and the parsing of DER are libcrypto's; what we add is what we do not
 * accept. A key has exactly one spelling here: for a curve its name and the uncompressed point, so that explicit curve
 * parameters, with which a forged curve can be passed off as a known one, are refused whatever libcrypto thinks of
 * them; for RSA, whose encodings have no fixed beginning, the one that libcrypto itself would write.
 */
#include "libcrypto.h"
#include "powernode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { ED25519 = 1, ECDSA_P256 = 2, ECDSA_P384 = 3, RSA = 4 };             /* kinds of key */
enum { SPKI_MAX = 2048, SIGNATURE_MAX = 1024 };                            /* RSA with 8192 bits needs the most */
enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, EXPONENT_BITS_MAX = 64 }; /* the largest common one has 17 */
enum { RSA_PKCS1_PADDING = 1, RSA_PKCS1_PSS_PADDING = 6, SALT_LIKE_DIGEST = -1 }; /* openssl/rsa.h */

struct kind {
    const char *name; /* as EVP_PKEY_is_a calls it */
    uint32_t spki_size, prefix_size;
    uint8_t prefix[27];
};

static const struct kind kinds[] = {
    [ED25519] = {"ED25519", 44, 12, {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}},
    /* clang-format off */
    [ECDSA_P256] = {"EC", 91, 27, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                   0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04}},
    [ECDSA_P384] = {"EC", 120, 24, {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                    0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04}},
    /* clang-format on */
};

/* The numbers are part of the interface (powernode.h); the hash of Ed25519 is inside it. */
static const struct algorithm {
    uint32_t kind;
    const char *hash;
    int padding;
} algorithms[] = {
    [1] = {ED25519, NULL, 0},
    [2] = {ECDSA_P256, "SHA256", 0},
    [3] = {ECDSA_P384, "SHA384", 0},
    [4] = {RSA, "SHA256", RSA_PKCS1_PADDING},
    [5] = {RSA, "SHA256", RSA_PKCS1_PSS_PADDING},
    [6] = {ECDSA_P384, "SHA256", 0},
    [7] = {RSA, "SHA384", RSA_PKCS1_PADDING},
    [8] = {RSA, "SHA512", RSA_PKCS1_PADDING},
    [9] = {ECDSA_P256, "SHA384", 0},
};

/* The kind that the first bytes claim. */
static uint32_t claimed_kind(const uint8_t *spki, uint64_t size)
{
    for (uint32_t kind = ED25519; kind <= ECDSA_P384; kind++)
        if (size == kinds[kind].spki_size && memcmp(spki, kinds[kind].prefix, kinds[kind].prefix_size) == 0)
            return kind;
    return RSA;
}

/* The exponent 1 would make every message its own signature. */
static bool exponent_is_sound(const struct pn_libcrypto *lib, const EVP_PKEY *key)
{
    BIGNUM *exponent = NULL;
    if (lib->EVP_PKEY_get_bn_param(key, "e", &exponent) != 1)
        return false;
    int bits = lib->BN_num_bits(exponent);
    bool sound = bits > 1 && bits <= EXPONENT_BITS_MAX && lib->BN_is_odd(exponent);
    lib->BN_free(exponent);
    return sound;
}

static bool is_spelled_like_ours(const struct pn_libcrypto *lib, const EVP_PKEY *key, const uint8_t *spki,
                                 uint64_t size)
{
    uint8_t ours[SPKI_MAX];
    unsigned char *end = ours;
    int length = lib->i2d_PUBKEY(key, NULL);
    return length > 0 && (uint64_t)length == size && lib->i2d_PUBKEY(key, &end) == length &&
           memcmp(ours, spki, size) == 0;
}

static bool rsa_is_sound(const struct pn_libcrypto *lib, const EVP_PKEY *key)
{
    int bits = lib->EVP_PKEY_get_bits(key);
    return lib->EVP_PKEY_is_a(key, "RSA") == 1 && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX &&
           exponent_is_sound(lib, key);
}

static int read_key(const struct pn_libcrypto *lib, const uint8_t *spki, uint64_t size, EVP_PKEY **key, uint32_t *kind)
{
    const unsigned char *end = spki;
    if (size == 0 || size > SPKI_MAX)
        return -EINVAL;
    *kind = claimed_kind(spki, size);
    *key = lib->d2i_PUBKEY(NULL, &end, (long)size);
    if (!*key)
        return -EINVAL;
    bool sound = *kind == RSA ? rsa_is_sound(lib, *key) : lib->EVP_PKEY_is_a(*key, kinds[*kind].name) == 1;
    if (sound && is_spelled_like_ours(lib, *key, spki, size))
        return 0;
    lib->EVP_PKEY_free(*key);
    return -EINVAL;
}

static int verify(const struct pn_libcrypto *lib, const struct algorithm *algorithm, EVP_PKEY *key,
                  const uint8_t *message, size_t message_size, const uint8_t *signature, size_t signature_size)
{
    EVP_PKEY_CTX *key_context; /* belongs to the context */
    EVP_MD_CTX *context = lib->EVP_MD_CTX_new();
    int error = 0;
    if (!context)
        return -ENOMEM;
    if (lib->EVP_DigestVerifyInit_ex(context, &key_context, algorithm->hash, NULL, NULL, key, NULL) != 1 ||
        (algorithm->padding && lib->EVP_PKEY_CTX_set_rsa_padding(key_context, algorithm->padding) != 1) ||
        (algorithm->padding == RSA_PKCS1_PSS_PADDING &&
         lib->EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, SALT_LIKE_DIGEST) != 1))
        error = -ENOSYS;
    else if (lib->EVP_DigestVerify(context, signature, signature_size, message, message_size) != 1)
        error = -EBADMSG; /* 0 and the negative answers alike: what is not proven is refused */
    lib->EVP_MD_CTX_free(context);
    return error;
}

int32_t pn_public_key(const uint8_t *spki, uint64_t spki_size, uint32_t *kind_and_bits)
{
    const struct pn_libcrypto *lib = pn_libcrypto();
    EVP_PKEY *key;
    if (!lib)
        return -ENOSYS;
    lib->ERR_set_mark(); /* the caller's thread may have errors of its own in the queue: leave those */
    int error = read_key(lib, spki, spki_size, &key, &kind_and_bits[0]);
    if (!error) {
        kind_and_bits[1] = (uint32_t)lib->EVP_PKEY_get_bits(key);
        lib->EVP_PKEY_free(key);
    }
    lib->ERR_pop_to_mark();
    return error;
}

int32_t pn_signature_verify(uint32_t algorithm, const uint8_t *spki, uint64_t spki_size, const uint8_t *message,
                            uint64_t message_size, const uint8_t *signature, uint64_t signature_size)
{
    const struct pn_libcrypto *lib = pn_libcrypto();
    EVP_PKEY *key;
    uint32_t kind;
    if (algorithm == 0 || algorithm >= sizeof(algorithms) / sizeof(algorithms[0]) || message_size > SIZE_MAX)
        return -EINVAL;
    if (!lib)
        return -ENOSYS;
    lib->ERR_set_mark();
    int error = read_key(lib, spki, spki_size, &key, &kind);
    if (!error) {
        if (kind != algorithms[algorithm].kind)
            error = -EINVAL;
        else if (signature_size == 0 || signature_size > SIGNATURE_MAX)
            error = -EBADMSG;
        else
            error = verify(lib, &algorithms[algorithm], key, message, (size_t)message_size, signature,
                           (size_t)signature_size);
        lib->EVP_PKEY_free(key);
    }
    lib->ERR_pop_to_mark();
    return error;
}
