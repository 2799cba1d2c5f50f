/*
 * ruleset.h
 *	  Many rules compiled into one form that is evaluated together.
 *
 * Equal predicates are shared.  Per field stand a hash of whole values, the
 * patterns, and sorted bounds of numbers.  A record sets the predicates that
 * are true of it; only rules that such a predicate triggers are evaluated,
 * and those that can be true without any.  So cost follows hits, not rules.
 *
 * A rule's triggers are the cheapest set of predicates of which one must be
 * true for the rule to be: one operand of an "and", all of an "or".
 */
#ifndef SL_RULESET_H
#define SL_RULESET_H

#include "../rule/rule.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef struct sl_ruleset sl_ruleset;
	typedef struct sl_matcher sl_matcher;

	/*
 * Rules are numbered in the order in which they are added.  The set keeps
 * pointers into what it was given: it lives as long as the rules' arena.
 */
	extern sl_ruleset *sl_ruleset_new(sl_arena *arena);
	extern void sl_ruleset_add(sl_ruleset *set, sl_rule *rule);
	extern void sl_ruleset_finish(sl_ruleset *set);

	extern size_t sl_ruleset_size(const sl_ruleset *set);
	extern sl_rule *sl_ruleset_rule(const sl_ruleset *set, size_t i);

	/* Working memory for one thread, made in arena for a finished set. */
	extern sl_matcher *sl_matcher_new(sl_arena *arena, const sl_ruleset *set);

	/*
 * The rules that are true of a record, by number, ascending; valid until the
 * next call.  scratch is for the call's own text.
 */
	extern size_t sl_match(sl_matcher *matcher, const sl_record *record, sl_arena *scratch,
						   const uint32_t **rules);

	/*
 * The rules that the last call looked at, in no order: what it cost, and
 * which were nearly true.
 */
	extern size_t sl_matcher_candidates(const sl_matcher *matcher, const uint32_t **rules);

#ifdef __cplusplus
}
#endif
#endif /* SL_RULESET_H */
