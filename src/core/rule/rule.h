/*
 * rule.h
 *	  A Sigma rule, read and checked: predicates joined by a condition.
 *
 * What stands here is independent of any rule set; src/core/match joins many
 * rules into one that is evaluated together.
 */
#ifndef SL_RULE_H
#define SL_RULE_H

#include "../node.h"

#ifdef __cplusplus
extern "C"
{
#endif

	/* What one predicate asks of one field. */
	typedef enum sl_op
	{
		SL_OP_EQUALS, /* the whole value */
		SL_OP_CONTAINS,
		SL_OP_STARTSWITH,
		SL_OP_ENDSWITH,
		SL_OP_GLOB, /* any other use of wildcards */
		SL_OP_LT,
		SL_OP_LTE,
		SL_OP_GT,
		SL_OP_GTE,
		SL_OP_EXISTS,	/* present, even if null */
		SL_OP_NOT_NULL, /* present and not null */
		SL_OP_REGEX,	/* PCRE2 finds it in the value */
		SL_OP_CIDR,		/* the value is an address within a network */
		SL_OP_FIELDREF, /* compares with another field of the record */
		SL_OP_TIME_PART /* compares a part of the time that the value is */
	} sl_op;

	extern const char *const sl_op_name[];

/* A glob is text in which these two bytes, never part of UTF-8, stand for wildcards. */
#define SL_ANY_RUN '\xFE'
#define SL_ANY_ONE '\xFF'

	typedef enum sl_time_part
	{
		SL_MINUTE,
		SL_HOUR,
		SL_DAY,
		SL_WEEK, /* of ISO 8601 */
		SL_MONTH,
		SL_YEAR
	} sl_time_part;

	extern const char *const sl_time_part_name[];

/* Flags of SL_OP_REGEX. */
#define SL_REGEX_IGNORE_CASE 1
#define SL_REGEX_MULTILINE 2
#define SL_REGEX_DOTALL 4

	typedef struct sl_address
	{
		uint8_t bytes[16]; /* of IPv6; IPv4 as ::ffff:a.b.c.d */
	} sl_address;

	typedef struct sl_predicate
	{
		sl_op op;
		bool cased;
		bool keyword;	   /* of any field: the whole record is searched */
		uint8_t how;	   /* SL_OP_FIELDREF, _TIME_PART: the comparison, an sl_op;
						   * SL_OP_REGEX: flags; SL_OP_CIDR: bits of the prefix */
		sl_time_part part; /* SL_OP_TIME_PART */
		sl_str field;	   /* as the rule writes it */
		sl_str text;	   /* folded unless cased; the expression; the other field */
		double number;	   /* bound of SL_OP_LT … SL_OP_GTE, value of a time's part */
		sl_address network;
	} sl_predicate;

	typedef enum sl_expr_kind
	{
		SL_EXPR_PREDICATE,
		SL_EXPR_AND,
		SL_EXPR_OR,
		SL_EXPR_NOT
	} sl_expr_kind;

	/* Selections are shared by the conditions that name them: this is a graph. */
	typedef struct sl_expr sl_expr;
	struct sl_expr
	{
		sl_expr_kind kind;
		sl_str name; /* "selection disk", where it is one */
		sl_predicate *predicate;
		sl_expr **children;
		size_t n;
		size_t cap;
		size_t weight; /* nodes below and with it, shared ones counted each time */
	};

	typedef enum sl_severity
	{
		SL_INFORMATIONAL,
		SL_LOW,
		SL_MEDIUM,
		SL_HIGH,
		SL_CRITICAL
	} sl_severity;

	extern const char *const sl_severity_name[];
	extern bool sl_severity_from_name(sl_str name, sl_severity *severity);

	/*
 * What rules mean beyond their own text: log sources and placeholders, which
 * the user may extend (definitions.c).
 */
	typedef struct sl_definitions sl_definitions;

	extern sl_definitions *sl_definitions_new(sl_arena *arena);

	/* The rows that are built in. */
	extern void sl_definitions_add_builtin(sl_definitions *definitions);

	/*
 * A row of the log source table: rules whose log source has each of its
 * columns (p == NULL: any) are narrowed by a selection, given as JSON.
 */
	extern bool sl_definitions_add_logsource(sl_definitions *definitions, sl_str category,
											 sl_str product, sl_str service, sl_str detection, sl_error *err);

	/* Values (a scalar or a list of them) that a placeholder stands for. */
	extern bool sl_definitions_add_placeholder(sl_definitions *definitions, sl_str name,
											   const sl_node *values, sl_error *err);

	/* The values of a placeholder, a scalar or a list; NULL where it isn't defined. */
	extern const sl_node *sl_definitions_placeholder(const sl_definitions *definitions, sl_str name);

	typedef enum sl_rule_kind
	{
		SL_DETECTION,
		SL_CORRELATION,
		SL_FILTER
	} sl_rule_kind;

	extern const char *const sl_rule_kind_name[];

	typedef struct sl_correlation sl_correlation; /* correlation.h */

	typedef struct sl_rule
	{
		sl_rule_kind kind;
		sl_str name; /* Sigma's name, else its title */
		sl_str id;	 /* a UUID in lower case; p == NULL where missing */
		sl_str title;
		sl_severity severity;
		sl_str issue_code;	   /* stacklens.issue_code, else the name */
		sl_str message;		   /* stacklens.message; p == NULL where missing */
		int64_t resolve_after; /* ns without a match after which its alerts resolve; 0: never */
		sl_str *group_by;	   /* stacklens.suppress.by, else service */
		size_t n_group_by;
		sl_str labels;			/* stacklens.labels, as a JSON object */
		sl_str logsource;		/* "category/product/service" as given, or p == NULL */
		bool logsource_unknown; /* no row says what it means */
		sl_expr *condition;		/* with the log source's; of a filter, its own */
		sl_str *targets;		/* of a filter: ids or names of rules */
		size_t n_targets;
		sl_correlation *correlation;

		/* as the set's owner knows it; the reader leaves them empty */
		sl_str stored_name;

		/* by linking */
		uint32_t *target_index; /* of a filter: its targets in the set */
		bool broken;			/* names rules that aren't there: left out */
		bool alerts;			/* raises alerts of its own */
		sl_node *definition;	/* the rule as Sigma, short forms spelled out */
	} sl_rule;

/* Limits on one rule. */
#define SL_RULE_MAX_PREDICATES 50000
#define SL_FILTER_MAX_RULES 10000
#define SL_CONDITION_MAX_DEPTH 100
#define SL_CONDITION_MAX_WEIGHT 200000 /* what its conditions come to, written out */

	/*
 * Checks a document and reads the rule that it is.  Without definitions no
 * log source means anything and no placeholder is defined.
 */
	extern sl_rule *sl_rule_read(sl_node *document, const sl_definitions *definitions,
								 sl_arena *arena, sl_error *err);

	/*
 * Spreads a document into the rules that it holds: itself, the items of a
 * list, or those under the key "rules" (the short JSON form).
 */
	extern void sl_rule_documents(sl_node *document, sl_arena *arena, sl_documents *rules);

	/* Is this a rule's id, or one of its names? */
	extern bool sl_rule_is_called(const sl_rule *rule, sl_str name);

	/*
 * Finds what correlations and filters name, among n rules; reports what is
 * wrong with a rule and marks it broken.
 */
	extern void sl_rules_link(sl_rule **rules, size_t n, sl_arena *arena,
							  void (*report)(void *arg, sl_rule *rule, const sl_error *err), void *arg);

	/* Does a glob match the whole of s?  Both folded, or neither. */
	extern bool sl_glob(sl_str glob, sl_str s);
	extern sl_str sl_fold_glob(sl_arena *arena, sl_str glob);

	/* An address from its text; "10.0.0.0/8" to a network (bits: of 128). */
	extern bool sl_address_read(sl_str s, sl_address *address);
	extern bool sl_network_read(sl_str s, sl_address *network, int *bits);

	/* One part of a time in UTC. */
	extern int sl_time_part_of(int64_t ns, sl_time_part part);

	/*
 * Regular expressions (regex.c).  NULL with the error set, whose message is
 * the engine's, where one doesn't compile; *offset gets where in it.  The
 * expression must stay where it is.  Scratch is for one thread, NULL when
 * there is no memory.
 */
	typedef struct sl_regex sl_regex;
	typedef struct sl_regex_scratch sl_regex_scratch;

	extern sl_regex *sl_regex_new(sl_str expression, unsigned flags, sl_error *err, size_t *offset);
	extern void sl_regex_free(sl_regex *regex);
	extern sl_regex_scratch *sl_regex_scratch_new(void);
	extern void sl_regex_scratch_free(sl_regex_scratch *scratch);

	typedef enum sl_regex_result
	{
		SL_REGEX_ABSENT,
		SL_REGEX_FOUND,
		SL_REGEX_GIVEN_UP /* it would take too much work: out of proportion to the text */
	} sl_regex_result;

	/* Is it found in a text, which is valid UTF-8? */
	extern sl_regex_result sl_regex_search(sl_regex *regex, sl_regex_scratch *scratch, sl_str text);

	/*
 * Literals of which one, folded, stands in every folded text in which the
 * expression is found; at most SL_REGEX_LITERALS.  0: none are known.
 */
#define SL_REGEX_LITERALS 16
	extern size_t sl_regex_literals(sl_arena *arena, sl_str expression, sl_str *out);

	/* What a predicate expects, in words: "\"x\"", "hour gte 22". */
	extern void sl_predicate_describe(sl_buf *out, const sl_predicate *predicate);

#ifdef __cplusplus
}
#endif
#endif /* SL_RULE_H */
