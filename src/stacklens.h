/*
 * stacklens.h
 *	  What the parts of the extension know of one another.
 */
#ifndef STACKLENS_H
#define STACKLENS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "compat.h"
#include "core/decode/decode.h"
#include "core/match/ruleset.h"

/* Settings (stacklens.c). */
extern char *sl_database; /* NULL unless preloaded */
extern int sl_work_mem;
extern int sl_max_groups; /* of one correlation */
extern int sl_workers;	  /* evaluators of each Kafka source */

/*
 * Secrets (secret.c): "env:NAME" or "file:NAME".  False, or NULL, with the
 * error set, where a reference is none, or leads to nothing; the error never
 * holds the secret.
 */
extern char *sl_secret_env;
extern char *sl_secret_hosts;
extern char *sl_secrets_directory;
extern bool sl_secret_check(const char *reference, sl_error *err);
extern char *sl_secret_resolve(const char *reference, sl_error *err);

/* May secrets be sent to these hosts (with ports, commas between)?  stacklens.secret_hosts says so. */
extern bool sl_secret_may_go_to(const char *addresses, sl_error *err);
extern int sl_debug;

enum
{
	SL_DEBUG_OFF,
	SL_DEBUG_MATCH,
	SL_DEBUG_ALL
};

/* Core's errors and memory as the server's (error.c). */
pg_noreturn extern void sl_ereport(const sl_error *err);
extern int sl_sqlstate(const sl_error *err);

/* Is an error the fault of data (classes 22 and 54), so that less of them may do? */
extern bool sl_is_data_error(int sqlstate);

/* And back: what the server said, for a dead letter. */
extern sl_error sl_error_from(sl_arena *arena, const ErrorData *error);

/*
 * An empty arena whose exhaustion is an error of the server.  Arenas are
 * static: an error leaves them as they are, the next use resets them.
 */
extern void sl_server_arena(sl_arena *arena);

/* The enabled rules of this database, compiled (rules.c). */
typedef struct sl_rules
{
	sl_ruleset *set;
	sl_matcher *matcher;
} sl_rules;

/*
 * The rules in force; within a transaction with SPI connected.  Sessions
 * compile them when nobody has yet; a worker gets NULL then, and shall ask
 * again when the maintainer has.
 */
extern sl_rules *sl_rules_current(void);

/* Adds what rules cost a matcher since the last time to rule_stats; within a transaction. */
extern void sl_rules_store_costs(sl_rules *rules);

/* Compiles and publishes them if that wasn't done since they changed. */
extern void sl_rules_publish(void);

/* What rules mean beyond their text, from the database's tables. */
extern sl_definitions *sl_definitions_current(sl_arena *arena);

/*
 * The enabled rules with one more in place of its namesake, compiled; *tried
 * gets its number.  Where others is false, only it and its filters.
 */
extern sl_ruleset *sl_rules_with(sl_rule *rule, const sl_definitions *definitions, bool others, sl_arena *arena, size_t *tried);

/* A stored rule that is read again; an error where there is none of that name. */
extern sl_rule *sl_rule_stored(const char *name, const sl_definitions *definitions, sl_arena *arena);

/* A statement with n parameters, kept for the session's life; with SPI connected (spi.c). */
extern struct _SPI_plan *sl_prepare(const char *sql, int n, Oid *types);

/* A column of text, json or bytea of a row of the current result, in the arena; p == NULL for NULL. */
extern sl_str sl_column(sl_arena *arena, struct HeapTupleData *tuple, int number);

/* Bytes as a bytea, a rule's id as a uuid, in the current memory context. */
extern Datum sl_bytea(const char *p, size_t n);
extern Datum sl_uuid(sl_str id);

/* A search as people type it, in an arena that is reset first; an error where it is none (search.c). */
extern struct sl_query *sl_query_argument(text *query, sl_arena *arena);

/* ns since 1970 to the server's µs since 2000, and back. */
extern TimestampTz sl_timestamptz(int64 ns);

/*
 * Puts records into stacklens.logs, within SPI: of the inbox, or those that
 * the evaluator of a source has judged already.  Their ids go to ids, if that
 * isn't NULL.
 */
extern void sl_logs_store(const sl_records *records, size_t from, size_t to, const char *judged_by, Datum *ids);
extern int64 sl_nanoseconds(TimestampTz at);

/*
 * Raises an error unless workers of this database can run: the library is
 * preloaded, and stacklens.database is the current one.  what: "a Kafka
 * source", for the message.
 */
extern void sl_require_workers(const char *what);

/* Is stacklens.database the current database of a preloaded server? */
extern bool sl_has_workers(void);

/* Each module's own init, called while the library is preloaded. */
extern void sl_shared_init(void);
extern void sl_launcher_init(void);
extern void sl_utility_init(void);

#endif /* STACKLENS_H */
