/*
 * internal.h
 *	  The compiled form, shared by compile.c and match.c.
 */
#ifndef SL_MATCH_INTERNAL_H
#define SL_MATCH_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, qsort_r */
#endif

#include "ruleset.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A list of numbers that grows. */
typedef struct ids
{
	uint32_t *v;
	uint32_t n;
	uint32_t cap;
} ids;

/* Whole values of one field, open addressing; id + 1, 0 = free. */
typedef struct value_table
{
	uint32_t *slots;
	uint32_t mask;
	uint32_t n;
} value_table;

typedef struct field
{
	sl_str name;
	bool resource;	 /* name is without "resource." */
	uint32_t exists; /* predicate + 1, or 0 */
	uint32_t not_null;
	value_table folded; /* SL_OP_EQUALS without regard to case */
	value_table cased;
	ids patterns; /* contains … glob, folded */
	ids cased_patterns;
	ids bounds[4]; /* lt, lte, gt, gte, by bound ascending */
} field;

typedef struct expr
{
	sl_expr_kind kind;
	uint32_t first; /* operands: children[first .. first + n) */
	uint32_t n;
	uint32_t predicate;
} expr;

struct sl_ruleset
{
	sl_arena *arena;
	sl_rule **rules;
	uint32_t *roots; /* of each rule, in exprs */
	size_t n_rules;
	size_t cap_rules;
	sl_predicate **predicates;
	uint32_t n_predicates;
	uint32_t cap_predicates;
	value_table predicate_table;
	expr *exprs;
	uint32_t n_exprs;
	uint32_t cap_exprs;
	ids children;
	field *fields;
	uint32_t n_fields;
	uint32_t cap_fields;
	value_table field_table;
	uint32_t known[SL_KNOWN_TEXTS]; /* field + 1 of each known name, or 0 */
	uint32_t timestamp;				/* likewise */
	uint32_t observed;
	uint32_t severity;
	bool any_resource;
	ids *triggers; /* by predicate: the rules it triggers */
	ids always;	   /* rules that can be true without any */
	ids keywords;  /* of the whole record, folded and cased */
};

struct sl_matcher
{
	const sl_ruleset *set;
	uint32_t epoch;
	uint32_t *set_at;  /* by predicate: the epoch in which it was true */
	uint32_t *seen_at; /* by rule: the epoch in which it was triggered */
	uint32_t *candidates;
	size_t n_candidates;
	uint32_t *matches;
};

extern void sl_ids_add(sl_arena *arena, ids *list, uint32_t id);

static inline uint64_t
sl_hash(sl_str s, uint64_t seed)
{
	return XXH3_64bits_withSeed(s.p, s.n, seed);
}

#endif /* SL_MATCH_INTERNAL_H */
