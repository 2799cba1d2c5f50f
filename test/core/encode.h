/*
 * encode.h
 *	  A hand encoder of protobuf's wire format, for tests.
 */
#ifndef SL_ENCODE_H
#define SL_ENCODE_H

#include "../../src/core/arena.h"

static inline void
pb_varint(sl_buf *out, uint64_t v)
{
	for (; v > 0x7F; v >>= 7)
		sl_buf_putc(out, (char) (v | 0x80));
	sl_buf_putc(out, (char) v);
}

static inline void
pb_number(sl_buf *out, int field, uint64_t v)
{
	pb_varint(out, (uint64_t) field << 3);
	pb_varint(out, v);
}

static inline void
pb_fixed64(sl_buf *out, int field, uint64_t v)
{
	pb_varint(out, (uint64_t) field << 3 | 1);
	sl_buf_add(out, (const char *) &v, 8);
}

static inline void
pb_fixed32(sl_buf *out, int field, uint32_t v)
{
	pb_varint(out, (uint64_t) field << 3 | 5);
	sl_buf_add(out, (const char *) &v, 4);
}

static inline void
pb_bytes(sl_buf *out, int field, const char *p, size_t n)
{
	pb_varint(out, (uint64_t) field << 3 | 2);
	pb_varint(out, n);
	sl_buf_add(out, p, n);
}

static inline void
pb_text(sl_buf *out, int field, const char *s)
{
	pb_bytes(out, field, s, strlen(s));
}

static inline void
pb_message(sl_buf *out, int field, const sl_buf *inner)
{
	pb_bytes(out, field, inner->p, inner->n);
}

static inline sl_buf
pb_new(sl_arena *arena)
{
	sl_buf buf;

	sl_buf_init(&buf, arena, 64);
	return buf;
}

/* OTLP: AnyValue of a text, KeyValue, and what wraps one LogRecord. */
static inline sl_buf
otlp_text(sl_arena *arena, const char *s)
{
	sl_buf value = pb_new(arena);

	pb_text(&value, 1, s);
	return value;
}

static inline sl_buf
otlp_pair(sl_arena *arena, const char *key, const sl_buf *value)
{
	sl_buf pair = pb_new(arena);

	pb_text(&pair, 1, key);
	pb_message(&pair, 2, value);
	return pair;
}

static inline sl_buf
otlp_wrap(sl_arena *arena, int field, const sl_buf *inner)
{
	sl_buf out = pb_new(arena);

	pb_message(&out, field, inner);
	return out;
}

/* A request of one record. */
static inline sl_buf
otlp_request(sl_arena *arena, const sl_buf *record)
{
	sl_buf scope = otlp_wrap(arena, 2, record);
	sl_buf resource = otlp_wrap(arena, 2, &scope);

	return otlp_wrap(arena, 1, &resource);
}

#endif /* SL_ENCODE_H */
