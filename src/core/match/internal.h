/*
 * internal.h
 *	  The compiled form, shared by the files of src/core/match.
 *
 * All of it hangs together by plain pointers, and image.c knows each of
 * them: what is added here is added there.
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

/* Open addressing; id + 1, 0 = free. */
typedef struct value_table
{
	uint32_t *slots;
	uint32_t mask;
	uint32_t n;
} value_table;

/* As many bytes of a beginning or end are hashed as fit in a word; what is longer is compared. */
#define AFFIX_KEY 8

typedef struct affix
{
	uint64_t key;
	uint32_t id;  /* of a predicate, + 1; 0 = free */
	uint32_t len; /* of the key */
} affix;

/*
 * Beginnings (or ends) of texts, by their first (or last) bytes: the table is
 * asked once for each length of keys that there is.
 */
typedef struct affix_table
{
	affix *slots;
	uint32_t mask;
	uint32_t n;
	uint32_t lengths; /* a bit for each */
} affix_table;

/* Four bytes of a literal, by which it is found. */
typedef struct anchor
{
	uint32_t slot;
	uint32_t gram;
	uint32_t far_gram; /* four others of its bytes */
	uint32_t pattern;
	uint16_t offset; /* of the four bytes in it */
	int16_t far;	 /* of the others, from there */
	bool is_short;	 /* by two bytes, or one (slot UINT32_MAX) */
} anchor;

/* See grams.c. */
typedef struct gram_table
{
	uint32_t bits;
	uint32_t n_long; /* literals of four bytes and more; they come first in anchors */
	uint32_t n_short;
	uint64_t *map;		   /* a bit for each slot that is somebody's */
	uint64_t *sure;		   /* by another hash, with more bits; of eight bytes where the literal has them */
	uint64_t *pairs;	   /* likewise for two bytes, where there are short ones */
	anchor *anchors;	   /* by slot */
	uint32_t *first;	   /* of each 16 slots: where their anchors begin */
	uint32_t *short_first; /* of pairs with each second byte, after n_long; then where single bytes begin */
} gram_table;

/*
 * Literals that one scan of a text looks for: their owners are true then
 * (contains), or may be (globs and regular expressions, of which it is a
 * piece that is always there).
 */
typedef struct scanner
{
	sl_str *patterns;
	ids *owners; /* predicates, by pattern */
	uint32_t n;
	uint32_t cap;
	value_table table; /* of patterns, while it is built */
	gram_table grams;
} scanner;

/* Predicates on the text of a field, folded or as it is. */
typedef struct text_index
{
	value_table equals;
	affix_table begins;
	affix_table ends;
	scanner parts;
	bool any;
} text_index;

/*
 * A field that rules ask for.  Its tables hold the predicates that trigger
 * rules; the others are only tested when a rule is looked at.
 */
typedef struct field
{
	sl_str name;
	bool resource;		  /* name is without "resource." */
	text_index text[2];	  /* folded; cased */
	ids present;		  /* triggered by any value: nothing better is known */
	ids bounds[4];		  /* lt, lte, gt, gte, by bound ascending */
	value_table networks; /* by prefix */
	uint32_t prefixes[5]; /* a bit for each length that a network has, 0 to 128 */
} field;

typedef struct expr
{
	sl_expr_kind kind;
	uint32_t first; /* operands: children[first .. first + n) */
	uint32_t n;
	uint32_t predicate;
} expr;

#define NO_ROOT UINT32_MAX

/* What testing a predicate takes, side by side with its neighbours in a rule. */
typedef struct test
{
	sl_str text;
	uint32_t field;
	uint32_t other;	   /* the field that SL_OP_FIELDREF names */
	uint16_t pairs[2]; /* that a text has in which it is found, see choose_pairs */
	uint16_t rare;	   /* where the byte of what is looked for stands that other texts have least likely */
	uint8_t op;
	bool cased;
	bool exact; /* the field's tables find it whenever it is true */
} test;

/*
 * Which pairs of neighbouring bytes a text has, by a hash: what is searched
 * for in it is mostly not there, and two bits tell.  Bit 0 is always set.
 */
#define PAIR_BITS 4096

static inline uint32_t
sl_pair_hash(const char *p)
{
	uint16_t pair;

	memcpy(&pair, p, sizeof(pair));
	return (pair * UINT32_C(0x9E3779B1)) >> 20;
}

/*
 * A rule's condition as it is evaluated: its parts one after the other, each
 * operator before its operands, so that a rule is one stretch of memory.
 */
typedef struct step
{
	test t; /* op: SL_OP_…, or one of these: */
	uint32_t predicate;
	uint32_t size; /* steps from here to the one after its operands */
} step;

#define STEP_AND 250
#define STEP_OR 251
#define STEP_NOT 252
#define STEP_SAME 253 /* as what begins at steps[predicate]: parts of many rules stand once */

/* A rule that feeds a correlation: as which of the rules it names. */
typedef struct feed
{
	uint32_t correlation;
	uint32_t nth;
} feed;

typedef struct feeds
{
	feed *v;
	uint32_t n;
	uint32_t cap;
} feeds;

struct sl_ruleset
{
	sl_arena *arena;
	sl_rule **rules;
	step *steps;
	uint32_t n_steps;
	uint32_t cap_steps;
	uint32_t *programs; /* of each rule, in steps; or NO_ROOT */
	feeds *feeds;		/* of each rule */
	size_t n_rules;
	size_t cap_rules;
	sl_predicate **predicates;
	test *tests; /* of each predicate */
	uint32_t n_predicates;
	uint32_t cap_predicates;
	field *fields;
	uint32_t n_fields;
	uint32_t cap_fields;
	value_table field_table;
	uint32_t known[SL_KNOWN_TEXTS]; /* field + 1 of each known name, or 0 */
	uint32_t timestamp;				/* likewise */
	uint32_t observed;
	uint32_t severity;
	uint32_t anywhere; /* the field that stands for the whole record: keywords */
	bool any_resource;
	ids *triggers; /* by predicate: the rules it triggers */
	ids always;	   /* rules that can be true without any */

	/* while it is built, and for those who built it */
	expr *exprs;
	uint32_t n_exprs;
	uint32_t cap_exprs;
	ids children;
	uint32_t *roots; /* of each rule, in exprs; or NO_ROOT */
	value_table predicate_table;
	struct made *made; /* exprs by what they were made of */
	uint32_t made_mask;
	uint32_t n_made;
	uint64_t *guesses; /* by predicate: how often it may be true */
	uint32_t *owners;  /* by predicate: how many rules use it */
};

/* What was found of a value when it was looked at; see recall.c. */
#define RECALL_TEXT 160
#define RECALL_MARKS 40

typedef struct recalled
{
	uint64_t hash;
	const field *field;
	uint32_t used; /* the epoch in which it was last; 0: it holds nothing */
	uint16_t n;	   /* of the text */
	uint16_t n_folded;
	uint16_t n_marks;
	bool keywords;
	bool known;		/* it is what was asked for */
	bool is_folded; /* there is a folded text */
	bool has_pairs;
	char text[RECALL_TEXT];
	uint32_t marks[RECALL_MARKS]; /* predicates, in twos: + 1 where they are true, else they may be */
	char folded[RECALL_TEXT];
	uint64_t pairs[PAIR_BITS / 64]; /* of the folded text */
} __attribute__((aligned(64))) recalled;

typedef struct sl_recall sl_recall;

/* A value that the record has. */
typedef struct entry
{
	uint32_t next;			/* of its field; + 1 */
	uint32_t next_anywhere; /* where keywords are looked for; likewise */
	const field *field;		/* NULL: only keywords ask for it */
	bool keywords;
	const sl_value *value;
	uint64_t hash;		/* see sl_recall_ask */
	recalled *recalled; /* NULL: it isn't remembered */
	int8_t *repeats;	/* of its place in records: does it pay to remember it?  NULL: it needn't be */
	sl_str text;		/* made when first needed: p == NULL until then */
	sl_str folded;		/* likewise */
	uint64_t *pairs[2]; /* of the folded text, of it as it is: likewise */
} entry;

/*
 * Which field an attribute's name is: records of one kind have theirs in one
 * order, so that the nth of one is mostly called like the nth of the last.
 */
#define GUESSES 64

typedef struct guess
{
	char name[46];
	uint8_t n; /* its length; 0: none */
	int8_t repeats;
	const field *field;
} guess;

struct sl_matcher
{
	const sl_ruleset *set;
	sl_arena *scratch; /* of the current call */
	uint32_t epoch;
	uint32_t *tested;		/* by predicate: 2 * the epoch in which that was, + 1 if it was true */
	uint32_t *field_at;		/* by field: the epoch in which it had values */
	uint32_t *first;		/* by field: their first entry + 1 */
	guess guesses[GUESSES]; /* by an attribute's place in its record */
	int8_t repeats[SL_KNOWN_TEXTS];
	sl_recall *recall;				/* NULL: none yet, or no memory for it */
	recalled *noting;				/* the value looked at is to be remembered here */
	sl_value known[SL_KNOWN_TEXTS]; /* what stands apart in a record, as values */
	sl_value severity;
	entry *entries;
	uint32_t n_entries;
	uint32_t cap_entries;
	uint32_t *seen_at; /* by rule: the epoch in which it was triggered */
	uint32_t *candidates;
	size_t n_candidates;
	uint32_t *matches;
	sl_regex **regexes; /* by predicate: compiled when first needed */
	sl_regex_scratch *search;
	uint32_t current; /* the rule that is looked at */
	sl_rule_cost *costs;
};

extern void sl_ids_add(sl_arena *arena, ids *list, uint32_t id);

extern bool sl_same_predicate(const sl_predicate *a, const sl_predicate *b);

/* Was a predicate true of the record of the last call? */
extern bool sl_matcher_predicate(sl_matcher *m, uint32_t id);

/* Does a text equal, contain, begin or end with another, or match it as a glob?  Both folded, or neither. */
extern bool sl_text_relates(sl_op how, sl_str text, sl_str other);

/* The number of what an expression was compiled to, in the process that compiled it. */
extern uint32_t sl_ruleset_expr(const sl_ruleset *set, const sl_expr *from);

/* Sigma's name of a field of a Windows event that was XML; p == NULL for others. */
extern sl_str sl_event_field_name(sl_arena *arena, sl_str name);

/* Is a folded text part of what nearly every text holds? */
extern bool sl_is_commonplace(sl_str text);

/* How often a pair of bytes, or one, is likely met, to compare with others. */
extern uint64_t sl_pair_cost(const char *p);
extern uint64_t sl_byte_cost(char c);

/* grams.c: a literal of a scanner's was found, by its number; one may be told more than once. */
typedef void (*found_fn)(void *arg, const scanner *s, uint32_t pattern);

extern void sl_scanner_add(sl_arena *arena, scanner *s, sl_str pattern, uint32_t owner);
extern void sl_scanner_finish(sl_arena *arena, scanner *s);
extern void sl_scanner_join(scanner *a, const scanner *b); /* both finished: they will be scanned for together */

/* Those of one, or of two that were joined (the other may be NULL). */
extern void sl_scan(const scanner *a, const scanner *b, sl_str text, found_fn found, void *arg);

/* recall.c */
extern sl_recall *sl_recall_new(void); /* for free(); NULL: no memory */
extern uint64_t sl_recall_ask(const sl_recall *recall, const field *f, bool keywords, sl_str text);
extern recalled *sl_recall_find(sl_recall *recall, uint64_t hash, const field *f, bool keywords, sl_str text, uint32_t epoch);
extern void sl_recall_mark(recalled *r, uint32_t predicate, bool exact);
extern void sl_recall_keep(recalled *r, sl_str text, sl_str folded, uint32_t epoch);

static inline uint64_t
sl_hash(sl_str s, uint64_t seed)
{
	return XXH3_64bits_withSeed(s.p, s.n, seed);
}

/* The first (or last) len bytes of a text that has as many, len from 1 to AFFIX_KEY. */
static inline uint64_t
sl_affix_key(sl_str text, size_t len, bool end)
{
	size_t n = text.n < AFFIX_KEY ? text.n : AFFIX_KEY;
	uint64_t w = 0;

	memcpy(&w, end ? text.p + text.n - n : text.p, n);
	/* the first byte is the lowest */
	return end ? w >> 8 * (n - len) : w & UINT64_MAX >> 8 * (AFFIX_KEY - len);
}

static inline uint32_t
sl_affix_slot(uint64_t key, size_t len)
{
	return (uint32_t) ((key + len) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static inline uint64_t
sl_network_hash(const sl_address *address, int bits)
{
	return XXH3_64bits_withSeed(address->bytes, 16, (uint64_t) bits);
}

/* The address with all but the first bits cleared. */
static inline sl_address
sl_network_of(const sl_address *address, int bits)
{
	sl_address network = *address;

	for (int i = bits / 8; i < 16; i++)
		network.bytes[i] &= (uint8_t) (i > bits / 8 || bits % 8 == 0 ? 0 : 0xFF << (8 - bits % 8));
	return network;
}

#endif /* SL_MATCH_INTERNAL_H */
