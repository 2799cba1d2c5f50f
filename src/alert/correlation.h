/*
 * correlation.h
 *	  Matches of a batch to correlations: their groups' states in tables, and
 *	  what fires.
 */
#ifndef SL_ALERT_CORRELATION_H
#define SL_ALERT_CORRELATION_H

#include "alert/alert.h"

typedef struct sl_correlations sl_correlations;

/* For one batch; what fires is added to matches. */
extern sl_correlations *sl_correlations_new(sl_arena *arena, const sl_rules *rules, sl_matches *matches);

/* Notes which rules are true of a record, which must live as long as the arena. */
extern void sl_correlations_add(sl_correlations *cs, const sl_record *record, const uint32_t *found, size_t n);

/* Is there anything to do, now that the source has come to this watermark? */
extern bool sl_correlations_pending(sl_correlations *cs, int64 watermark);

/*
 * Does it: locks the states, by depth in the chain of correlations and key,
 * brings them up to date and writes them, within the batch's transaction.
 */
extern void sl_correlations_store(sl_correlations *cs);

#endif /* SL_ALERT_CORRELATION_H */
