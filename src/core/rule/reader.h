/*
 * reader.h
 *	  What the parts of the rule reader share; private to src/core/rule.
 */
#ifndef SL_RULE_READER_H
#define SL_RULE_READER_H

#include "rule.h"

typedef struct sl_reader
{
	sl_arena *arena;
	sl_error *err;
	const sl_definitions *definitions; /* or NULL */
	size_t predicates;				   /* made so far */
} sl_reader;

/* False, with the error placed at an entry's key; the key fills one %.*s. */
extern bool sl_fail_entry(sl_reader *r, const sl_entry *entry, const char *sqlstate, const char *message);

/* A scalar's text is meant, whatever YAML takes it for: 1.10 stays 1.10. */
extern sl_str sl_text_of(sl_node *node);

/* Text under a key of a map; where it is missing *out stays as it is. */
extern bool sl_read_text(sl_reader *r, const sl_node *map, const char *key, size_t limit, sl_str *out);

/* "90s", "5m", "1h", "7d" to ns; where the key is missing *ns stays. */
extern bool sl_read_timespan(sl_reader *r, const sl_node *map, const char *key, int64_t *ns);

/* Refuses keys that aren't among known (ended by NULL). */
extern bool sl_refuse_unknown(sl_reader *r, const sl_node *map, const char *where, const char *const *known);

/*
 * A list of texts under a key, or one text; what: "rules", for messages.
 * Refused: empty, longer than max, the same twice.
 */
extern bool sl_read_texts(sl_reader *r, const sl_entry *entry, size_t max, sl_str **out, size_t *n);

/* Selections and a condition: "detection", "filter" (detection.c). */
extern sl_expr *sl_detection_read(sl_reader *r, const sl_entry *detection, const char *const *other_keys);

/* One selection, named by its entry. */
extern sl_expr *sl_selection_read(sl_reader *r, const sl_entry *entry, const sl_node *node);

/* The key "correlation" (correlation.c). */
extern bool sl_correlation_read(sl_reader *r, const sl_entry *entry, sl_rule *rule);

/* The keys of "stacklens" that belong to correlations. */
extern bool sl_correlation_read_ours(sl_reader *r, const sl_node *map, sl_rule *rule);

/* The tests that a log source stands for, ANDed into the rule (definitions.c). */
extern void sl_logsource_apply(sl_reader *r, sl_str category, sl_str product, sl_str service, sl_rule *rule);

/* The condition's grammar (condition.c); selections is the detection map. */
typedef struct sl_selections
{
	sl_str *names;
	sl_expr **exprs;
	size_t n;
	size_t weight; /* of all that the rule's conditions name so far */
} sl_selections;

extern sl_expr *sl_condition_read(const sl_node *node, sl_selections *selections,
								  sl_arena *arena, sl_error *err);

extern sl_expr *sl_expr_new(sl_arena *arena, sl_expr_kind kind);
extern void sl_expr_add(sl_arena *arena, sl_expr *parent, sl_expr *child);

/*
 * Sigma's strings (value.c).  A glob is what a written text asks: escapes
 * taken away, wildcards as SL_ANY_RUN and SL_ANY_ONE.
 */
extern sl_str sl_glob_read(sl_arena *arena, sl_str written);
extern bool sl_glob_has_wildcards(sl_str glob);

/* The glob with "*" put before and after it, unless it is there. */
extern sl_str sl_glob_widen(sl_arena *arena, sl_str glob, bool before, bool after);

/* Which operator a glob is, and of which text, folded unless cased. */
extern void sl_glob_classify(sl_arena *arena, sl_str glob, bool cased, sl_predicate *out);

/* Encodings (encode.c): what a text becomes. */
extern void sl_encode_base64_offsets(sl_arena *arena, sl_str s, sl_str out[3]);
extern sl_str sl_encode_utf16(sl_arena *arena, sl_str s, bool big_endian, bool mark);

/*
 * Every way to write the dashes that begin a flag; gives their number, and
 * at most max of them in *out (allocated).
 */
extern size_t sl_windash(sl_arena *arena, sl_str glob, size_t max, sl_str **out);

#endif /* SL_RULE_READER_H */
