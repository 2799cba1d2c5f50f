/*
 * ruleset.h
 *	  Many rules compiled into one form that is evaluated together.
 *
 * Equal predicates are shared.  Per field stand a hash of whole values, hashes
 * of beginnings and ends, one scan for all that is searched for within it,
 * sorted bounds of numbers, and networks by prefix.  A record sets the
 * predicates that are true of it; only rules that such a predicate triggers
 * are evaluated, and those that can be true without any.  So cost follows
 * hits, not rules.  What is dear (regular expressions, references, times) is
 * only asked when a rule that is looked at depends on it.
 *
 * A rule's triggers are the cheapest set of predicates of which one must be
 * true for the rule to be: one operand of an "and", all of an "or".
 */
#ifndef SL_RULESET_H
#define SL_RULESET_H

#include "../rule/correlation.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef struct sl_ruleset sl_ruleset;
	typedef struct sl_matcher sl_matcher;

	/*
 * Rules are numbered in the order in which they are added.  The set keeps
 * pointers into what it was given: it lives as long as the rules' arena.
 * Finishing links the rules and compiles; report (or NULL) hears of those
 * that have to be left out.
 */
	extern sl_ruleset *sl_ruleset_new(sl_arena *arena);
	extern void sl_ruleset_add(sl_ruleset *set, sl_rule *rule);
	extern void sl_ruleset_finish(sl_ruleset *set,
								  void (*report)(void *arg, sl_rule *rule, const sl_error *err), void *arg);

	extern size_t sl_ruleset_size(const sl_ruleset *set);
	extern sl_rule *sl_ruleset_rule(const sl_ruleset *set, size_t i);

	/*
 * The correlations that a rule's matches count in: calls each with the
 * correlation's number and which of the rules that it names this one is.
 */
	extern void sl_ruleset_feeds(const sl_ruleset *set, size_t rule,
								 void (*each)(void *arg, uint32_t correlation, uint32_t nth), void *arg);

	/*
 * A finished set as bytes, for another process with the same library; and
 * back.  What is loaded has no rules' definitions and conditions.  False
 * where the bytes are another build's or damaged: compile again.
 */
	extern sl_str sl_ruleset_save(const sl_ruleset *set, sl_arena *arena);
	extern sl_ruleset *sl_ruleset_load(sl_str image, sl_arena *arena);

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

	/* What a rule has cost a matcher since its counts were cleared. */
	typedef struct sl_rule_cost
	{
		uint64_t evaluations;
		uint64_t matches;
		uint64_t limited; /* regular expressions given up at their limit: no match */
		uint64_t ns;	  /* sampled, but for regular expressions */
	} sl_rule_cost;

	/* By rule; the caller may clear them. */
	extern sl_rule_cost *sl_matcher_costs(sl_matcher *matcher);

#ifdef __cplusplus
}
#endif
#endif /* SL_RULESET_H */
