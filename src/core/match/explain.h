/*
 * explain.h
 *	  Why a rule is true of a record, or isn't: one line for each node.
 */
#ifndef SL_EXPLAIN_H
#define SL_EXPLAIN_H

#include "ruleset.h"

typedef struct sl_explained
{
	int depth;
	sl_str node;	 /* "selection disk", "and", "not", … */
	sl_str field;	 /* of a test; p == NULL elsewhere */
	const char *op;	 /* of a test, else NULL */
	sl_str expected; /* what it compares with */
	sl_str actual;	 /* what the record has, and what came near */
	bool result;
} sl_explained;

/* Calls each for the nodes of a detection's (or filter's) condition, from the top. */
extern void sl_explain(sl_rule *rule, const sl_record *record, sl_arena *arena,
					   void (*each)(void *arg, const sl_explained *node), void *arg);

#endif /* SL_EXPLAIN_H */
