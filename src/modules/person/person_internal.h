/*
 * modules/person/person_internal.h -- what the files of this room share.
 */
#pragma once

#include "base/keyring.h"
#include "modules/person/person.h"

#define PERSON_LABEL_NAME STR("person.name")

/* The label that an identifier's value is sealed under. */
Str person_label(PersonIdKind kind);

void person_hash(const Ctx *ctx, KeyUse use, Str value, uint8_t out[CRYPTO_INDEX_BYTES]);

/* ASCII letters in lower case, so that "Li" finds "li". */
Str person_fold(Ctx *ctx, Str s);

/* Hashes of the distinct pairs of neighbouring characters of a name, in the arena. */
size_t person_grams(Ctx *ctx, Str name, Str **out);

/* False when the value has fewer than four characters. */
bool person_last4_hash(Ctx *ctx, Str canonical, uint8_t out[CRYPTO_INDEX_BYTES]);
