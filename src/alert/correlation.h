/*
 * correlation.h
 *	  Matches of a batch to correlations: their groups' states in tables, and
 *	  what fires.
 */
#ifndef SL_ALERT_CORRELATION_H
#define SL_ALERT_CORRELATION_H

#include "alert/alert.h"

typedef struct sl_correlations sl_correlations;

/* What is done with each firing of a correlation that raises alerts; record may be NULL. */
typedef void (*sl_firing)(void *arg, uint32_t rule, sl_str *values, const sl_record *record, int64 at);

/* For one batch. */
extern sl_correlations *sl_correlations_new(sl_arena *arena, const sl_rules *rules, sl_firing firing, void *arg);

/* Notes which rules are true of a record, which must live as long as the arena. */
extern void sl_correlations_add(sl_correlations *cs, const sl_record *record, const uint32_t *found, size_t n);

/* Is there anything to do, now that the source has come to this watermark? */
extern bool sl_correlations_pending(sl_correlations *cs, int64 watermark);

/* The same watermark, without a look at what is due. */
extern void sl_correlations_now(sl_correlations *cs, int64 watermark);

/*
 * Does it: locks the states, by depth in the chain of correlations and key,
 * brings them up to date and writes them, within the batch's transaction.
 */
extern void sl_correlations_store(sl_correlations *cs);

/*
 * The same without tables, for trying rules: states stay in the arena, from
 * one call to the next.
 */
extern void sl_correlations_run(sl_correlations *cs, int64 watermark);

#endif /* SL_ALERT_CORRELATION_H */
