/*
 * naive.h
 *	  Sigma detections evaluated as the specification reads: the oracle that
 *	  the differential test holds the engine against.
 */
#ifndef SL_NAIVE_H
#define SL_NAIVE_H

#include "../../src/core/node.h"

/* Is the rule that this document is true of the record?  It must be a valid one. */
extern bool naive_match(const sl_node *rule_document, const sl_record *record);

/* How often keys with a modifier were evaluated, and how often they were true. */
typedef struct naive_modifier
{
	const char *name;
	uint64_t tried;
	uint64_t held;
} naive_modifier;

extern naive_modifier naive_modifiers[];
extern const int naive_n_modifiers;

/* Encodings, for whoever makes records that encoded values are found in. */
extern sl_str naive_base64(sl_arena *arena, sl_str bytes);

/* modifier: "wide", "utf16le", "utf16be", "utf16". */
extern sl_str naive_utf16(sl_arena *arena, sl_str text, const char *modifier);

#endif /* SL_NAIVE_H */
