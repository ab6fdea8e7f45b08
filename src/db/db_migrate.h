/*
 * db/db_migrate.h -- brings a database to the schema that this program was built with, or refuses.
 *
 * Owns:     tables schema_room (which rooms are installed, with the checksum of their DDL) and
 *           schema_migration (which migrations were applied); on PostgreSQL the sequences
 *           serial_<table> that db_serial() draws from.
 * Promises: everything is checked before anything is changed.  All missing rooms come in one
 *           transaction, every migration in one of its own together with its record: a crash leaves a
 *           database that the next start goes on with.
 * Threads:  any; on PostgreSQL several processes may start at once.
 */
#pragma once

#include "db/schema.h"

/* One step of an installed room, from a file migrations/NNNN_room_what.sql.  Once released it never
 * changes. */
typedef struct SchemaMigration {
    int64_t number;   /* ascending over all rooms */
    const char *name; /* "0007_coupon_brand" */
    const char *room;
    const char *sqlite;
    const char *postgres;
    const char *leads_to; /* checksum of the room's schema afterwards, see schema_checksum() */
} SchemaMigration;

typedef struct SchemaSet {
    const SqlSchema *const *rooms; /* in the order in which their tables can be made */
    size_t room_count;
    const SchemaMigration *migrations; /* by number */
    size_t migration_count;
} SchemaSet;

enum { SCHEMA_ROOMS_MAX = 128, SCHEMA_MIGRATIONS_MAX = 1024, SCHEMA_CHECKSUM_BYTES = 17 };

/* Of both engines' DDL: the first 16 hexadecimal digits of its SHA-256, and a NUL. */
void schema_checksum(const SqlSchema *room, char out[SCHEMA_CHECKSUM_BYTES]);

/*
 * Installs missing rooms and applies pending migrations.
 * CONFLICT "schema.changed": a room's DDL differs from the installed one and no migration leads there;
 * the hint names the room and says which file is needed.  CONFLICT "schema.newer": the database holds a
 * room or a migration that this program does not know.  CONFLICT "schema.migration_changed": an applied
 * migration was edited.  INTERNAL "db.script": the database refused the SQL.
 */
MUST_USE Err schema_install_set(Database *database, Ctx *ctx, const SchemaSet *set);

/* The same without migrations. */
MUST_USE Err schema_install(Database *database, Ctx *ctx, const SqlSchema *const *rooms, size_t n);

typedef enum SchemaState {
    SCHEMA_MISSING, /* schema_install_set() would install it */
    SCHEMA_CURRENT, /* as this program wants it */
    SCHEMA_PENDING, /* migrations lead there */
    SCHEMA_CHANGED, /* needs a migration that does not exist */
} SchemaState;

typedef struct SchemaRoomStatus {
    const char *room;
    SchemaState state;
    int64_t installed_at_ms; /* 0 when missing */
} SchemaRoomStatus;

typedef struct SchemaStatus {
    int64_t version;                          /* highest applied migration, 0 = none */
    SchemaRoomStatus rooms[SCHEMA_ROOMS_MAX]; /* as in the set */
    size_t room_count;
    const SchemaMigration *pending[SCHEMA_MIGRATIONS_MAX]; /* in the order of their application */
    size_t pending_count;
} SchemaStatus;

const char *schema_state_name(SchemaState state); /* "missing", "current" ... */

/* What schema_install_set() would find, without changing anything but making its own two tables.
 * CONFLICT "schema.newer", "schema.migration_changed".  `out` is large: not on a stack. */
MUST_USE Err schema_status(Database *database, Ctx *ctx, const SchemaSet *set, SchemaStatus *out);
