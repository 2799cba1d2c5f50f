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
		SL_OP_EXISTS,  /* present, even if null */
		SL_OP_NOT_NULL /* present and not null */
	} sl_op;

	extern const char *const sl_op_name[];

/* A glob is text in which these two bytes, never part of UTF-8, stand for wildcards. */
#define SL_ANY_RUN '\xFE'
#define SL_ANY_ONE '\xFF'

	typedef struct sl_predicate
	{
		sl_op op;
		bool cased;
		bool keyword;  /* of any field: the whole record is searched */
		sl_str field;  /* as the rule writes it */
		sl_str text;   /* folded unless cased */
		double number; /* bound of SL_OP_LT … SL_OP_GTE */
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

	typedef struct sl_rule
	{
		sl_str name; /* Sigma's name, else its title */
		sl_str id;	 /* a UUID in lower case; p == NULL where missing */
		sl_str title;
		sl_severity severity;
		sl_str issue_code; /* stacklens.issue_code, else the name */
		sl_str message;	   /* stacklens.message; p == NULL where missing */
		sl_str *group_by;  /* stacklens.suppress.by, else service */
		size_t n_group_by;
		sl_node *labels;  /* stacklens.labels, or NULL */
		sl_str logsource; /* "category/product/service" as given, or p == NULL */
		sl_expr *condition;
		sl_node *definition; /* the rule as Sigma, short forms spelled out */
	} sl_rule;

/* Limits on one rule. */
#define SL_RULE_MAX_PREDICATES 50000
#define SL_CONDITION_MAX_DEPTH 100
#define SL_CONDITION_MAX_WEIGHT 200000 /* what its conditions come to, written out */

	/* Checks a document and reads the rule that it is. */
	extern sl_rule *sl_rule_read(sl_node *document, sl_arena *arena, sl_error *err);

	/*
 * Spreads a document into the rules that it holds: itself, the items of a
 * list, or those under the key "rules" (the short JSON form).
 */
	extern void sl_rule_documents(sl_node *document, sl_arena *arena, sl_documents *rules);

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
 * A Sigma string to what it asks: escapes taken away, wildcards classified
 * (value.c).  add_before and add_after are the modifiers' wildcards.
 */
	extern void sl_pattern_read(sl_arena *arena, sl_str written, bool add_before, bool add_after,
								bool cased, sl_predicate *out);

	/* Does a glob match the whole of s?  Both folded, or neither. */
	extern bool sl_glob(sl_str glob, sl_str s);

#ifdef __cplusplus
}
#endif
#endif /* SL_RULE_H */
