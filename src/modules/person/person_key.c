/*
 * modules/person/person_key.c -- canonical identifiers and the hashes that find them.
 */
#include "modules/person/person_internal.h"

#include "base/keyring.h"
#include "base/phone.h"
#include "modules/setting/setting.h"

void person_hash(const Ctx *ctx, KeyUse use, Str value, uint8_t out[CRYPTO_INDEX_BYTES])
{
    CHECK(ctx->keys != NULL);
    crypto_blind_index(keyring_key(ctx->keys, use), value, out);
}

/* One namespace per kind: a card "13800138000" is not that phone. */
static void hash_identifier(Ctx *ctx, PersonKey *k)
{
    const Str named = arena_printf(ctx->arena, "%d:%.*s", (int)k->kind, STR_ARG(k->canonical));
    person_hash(ctx, KEY_PHONE_INDEX, named, k->hash);
}

Err person_key_phone(Ctx *ctx, Str raw, PersonKey *out)
{
    CHECK(ctx->settings != NULL);
    Phone phone;
    const PhoneFault fault = phone_parse(raw, ctx->settings->region, &phone);
    if (fault != PHONE_FAULT_NONE)
        return fail_field(ctx, "/phone", "person.phone", "the phone number %s",
                          phone_fault_text(fault));
    *out =
        (PersonKey){.kind = PERSON_PHONE, .canonical = arena_copy(ctx->arena, str_of(phone.text))};
    hash_identifier(ctx, out);
    return ERR_OK;
}

Err person_key(Ctx *ctx, PersonIdKind kind, Str raw, PersonKey *out)
{
    if (kind == PERSON_PHONE)
        return person_key_phone(ctx, raw, out);
    const Str value = str_trim(raw);
    bool fine = value.len > 0 && value.len <= PERSON_ID_BYTES_MAX;
    for (size_t i = 0; fine && i < value.len; i++)
        fine = value.ptr[i] > ' ' && value.ptr[i] < 0x7f;
    if (!fine)
        return fail_field(ctx, "/identifier", "person.identifier",
                          "1 to %d visible characters without spaces", PERSON_ID_BYTES_MAX);
    *out = (PersonKey){.kind = kind, .canonical = arena_copy(ctx->arena, value)};
    hash_identifier(ctx, out);
    return ERR_OK;
}

/* Bytes of the UTF-8 character at `i`; the text is valid. */
static size_t char_bytes(Str s, size_t i)
{
    const unsigned char c = (unsigned char)s.ptr[i];
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

Str person_fold(Ctx *ctx, Str s)
{
    char *copy = arena_bytes(ctx->arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] + 32) : s.ptr[i];
    return (Str){copy, s.len};
}

size_t person_grams(Ctx *ctx, Str name, Str **out)
{
    const Str folded = person_fold(ctx, str_trim(name));
    *out = ARENA_ARRAY(ctx->arena, Str, PERSON_NAME_BYTES_MAX);
    size_t n = 0;
    for (size_t i = 0; i < folded.len;) {
        const size_t first = char_bytes(folded, i);
        if (i + first >= folded.len)
            break;
        const size_t both = first + char_bytes(folded, i + first);
        uint8_t *hash = (uint8_t *)arena_bytes(ctx->arena, CRYPTO_INDEX_BYTES);
        person_hash(ctx, KEY_NAME_INDEX, str_slice(folded, i, i + both), hash);
        const Str gram = {(const char *)hash, CRYPTO_INDEX_BYTES};
        bool seen = false;
        for (size_t k = 0; k < n && !seen; k++)
            seen = str_eq((*out)[k], gram);
        if (!seen && n < PERSON_NAME_BYTES_MAX)
            (*out)[n++] = gram;
        i += first;
    }
    return n;
}

bool person_last4_hash(Ctx *ctx, Str canonical, uint8_t out[CRYPTO_INDEX_BYTES])
{
    if (canonical.len < 4)
        return false;
    person_hash(ctx, KEY_LAST_FOUR, str_slice(canonical, canonical.len - 4, canonical.len), out);
    return true;
}
