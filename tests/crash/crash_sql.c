/*
 * tests/crash/crash_sql.c -- prints the rows of one query, a line each, columns apart by tabs.
 *
 *     crash-sql DATABASE QUERY
 *
 * The judge's own eye: nothing of the product stands between it and the database.
 */
#include <sqlite3.h>
#include <stdio.h>

static int complain(sqlite3 *db, const char *what)
{
    fprintf(stderr, "crash-sql: %s: %s\n", what, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return 1;
}

static void print_row(sqlite3_stmt *row)
{
    const int n = sqlite3_column_count(row);
    for (int i = 0; i < n; i++) {
        const unsigned char *text = sqlite3_column_text(row, i);
        printf("%s%s", i == 0 ? "" : "\t", text == NULL ? "" : (const char *)text);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *query = NULL;
    if (argc != 3) {
        fprintf(stderr, "Usage: crash-sql DATABASE QUERY\n");
        return 2;
    }
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return complain(db, argv[1]);
    if (sqlite3_prepare_v2(db, argv[2], -1, &query, NULL) != SQLITE_OK)
        return complain(db, argv[2]);
    int rc = 0;
    while ((rc = sqlite3_step(query)) == SQLITE_ROW)
        print_row(query);
    (void)sqlite3_finalize(query);
    if (rc != SQLITE_DONE)
        return complain(db, argv[2]);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
