/*
 * correlation.h
 *	  Rules over time, as they are written.  What they do with events stands
 *	  in src/core/correlate.
 */
#ifndef SL_CORRELATION_H
#define SL_CORRELATION_H

#include "rule.h"

#ifdef __cplusplus
extern "C"
{
#endif

	typedef enum sl_correlation_type
	{
		SL_EVENT_COUNT,
		SL_VALUE_COUNT,
		SL_TEMPORAL,
		SL_TEMPORAL_ORDERED,
		SL_VALUE_SUM,
		SL_VALUE_AVG,
		SL_VALUE_PERCENTILE,
		SL_VALUE_MEDIAN,
		/* StackLens's own */
		SL_ABSENCE,
		SL_SPIKE,
		SL_NEW_VALUE,
		SL_VALUE_CHANGE,
		SL_RATIO
	} sl_correlation_type;

	extern const char *const sl_correlation_type_name[];

	/* "gte: 100" */
	typedef struct sl_bound
	{
		enum
		{
			SL_BOUND_GT,
			SL_BOUND_GTE,
			SL_BOUND_LT,
			SL_BOUND_LTE,
			SL_BOUND_EQ,
			SL_BOUND_NEQ
		} op;
		double number;
	} sl_bound;

	typedef struct sl_alias
	{
		sl_str name;
		sl_str rule; /* as the document names it */
		sl_str field;
	} sl_alias;

	typedef enum sl_direction
	{
		SL_UP,
		SL_DOWN,
		SL_BOTH
	} sl_direction;

#define SL_CORRELATION_MAX_RULES 64
#define SL_CORRELATION_MAX_FIELDS 16
#define SL_CORRELATION_MAX_DEPTH 32

	struct sl_correlation
	{
		sl_correlation_type type;
		sl_str *rules; /* ids or names, as the document has them */
		size_t n_rules;
		sl_str *group_by; /* fields or aliases; none: all events are one group */
		size_t n_group_by;
		sl_alias *aliases;
		size_t n_aliases;
		sl_str *fields; /* whose values are counted, summed, compared */
		size_t n_fields;
		sl_bound bounds[2];
		size_t n_bounds;
		int64_t timespan; /* ns */
		int64_t lateness; /* ns: how far behind a record may be and still count */
		int64_t history;  /* new_value: how long a value stays known; absence: a group that isn't seen; ns */
		double percentile;
		double min;			  /* absence */
		double height;		  /* spike: times up or down */
		double min_reference; /* spike: fewer in the window before never fire */
		sl_direction direction;
		bool slide;	   /* go on after firing, instead of starting over */
		bool generate; /* the rules named raise alerts of their own, too */

		unsigned char key[16]; /* a hash of the definition: what states are kept under */

		/* by linking (sl_rules_link): where the rules stand in their set */
		uint32_t *rule_index;
		uint32_t depth;		  /* 1 where all of them are detections */
		sl_str *group_fields; /* n_rules * n_group_by: aliases resolved */
	};

#ifdef __cplusplus
}
#endif
#endif /* SL_CORRELATION_H */
