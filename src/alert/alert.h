/*
 * alert.h
 *	  Matches of a batch, joined by fingerprint, to alerts in tables.
 */
#ifndef SL_ALERT_H
#define SL_ALERT_H

#include "source/source.h"

/* Sample records kept of an alert. */
#define SL_SAMPLES 10

typedef struct sl_matches sl_matches;

extern sl_matches *sl_matches_new(sl_arena *arena, const sl_rules *rules);

/*
 * Counts a match of rule number rule of the set.  The record must live as
 * long as the arena.
 */
extern void sl_matches_add(sl_matches *matches, uint32_t rule, const sl_record *record);

/*
 * The same for a correlation that fired, whose group's values are given; the
 * record is the one that it fired with, or NULL.  matches: sl_matches.
 */
extern void sl_matches_add_group(void *matches, uint32_t rule, sl_str *values, const sl_record *record, int64 at);

/* A rule's groups' values as a JSON object. */
extern void sl_group_values_json(sl_buf *out, const sl_rule *rule, const sl_str *values);

/* 16 bytes that tell a rule's groups apart: SHA-256 over its id and the values. */
extern void sl_group_key(const sl_rule *rule, const sl_str *values, unsigned char *key);

/* Writes them, in order of fingerprint; within the batch's transaction. */
extern void sl_matches_store(sl_matches *matches);

/* Writes a batch's dead letters, likewise. */
extern void sl_dead_letters_store(const sl_batch *batch);

#endif /* SL_ALERT_H */
