/*
 * otlp_proto.c
 *	  OTLP's protobuf encoding, read by walking the wire format.
 *
 * No tree is built: a cursor moves over the bytes, submessages are cursors
 * with narrower bounds, and every read is checked against its bound, so a
 * truncated or lying length is an error and never a read past the end.
 * Field numbers are those of opentelemetry-proto 1.x; unknown fields are
 * skipped, as protobuf demands.
 */
#include "decode.h"

typedef struct cursor
{
	const unsigned char *p;
	const unsigned char *end;
} cursor;

typedef struct walk
{
	sl_arena *arena;
	sl_error *err;
	const unsigned char *start;
} walk;

/* Where a key and its value go: a record's attributes or a resource's. */
typedef struct target
{
	sl_record *record; /* whose body a value without a name is; or NULL */
	sl_fields *fields;
	uint32_t *notes;
} target;

/* What a field that is missing holds; not NULL, for arithmetic's sake. */
static const unsigned char nothing[1];
static const cursor empty = {nothing, nothing};

enum
{
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5
};

static bool
bad(walk *w, const unsigned char *at, const char *what)
{
	sl_fail(w->err, SL_INVALID_TEXT, "message is not an OTLP logs request in protobuf: %s", what);
	sl_error_detail(w->err, "At byte %zu.", (size_t) (at - w->start));
	return false;
}

static inline bool
read_varint(cursor *c, uint64_t *value)
{
	uint64_t v = 0;

	if (c->p < c->end && *c->p < 0x80) /* nearly all tags and most lengths */
	{
		*value = *c->p++;
		return true;
	}
	for (int shift = 0; shift < 64; shift += 7)
	{
		unsigned char b;

		if (c->p == c->end)
			return false;
		b = *c->p++;
		v |= (uint64_t) (b & 0x7F) << shift;
		if (b < 0x80)
		{
			*value = v;
			return true;
		}
	}
	return false;
}

static inline bool
read_fixed64(cursor *c, uint64_t *value)
{
	if (c->end - c->p < 8)
		return false;
	memcpy(value, c->p, 8); /* protobuf and the CPUs we run on are little-endian */
	c->p += 8;
	return true;
}

static inline bool
read_bytes(cursor *c, cursor *inner)
{
	uint64_t n;

	if (!read_varint(c, &n) || n > (uint64_t) (c->end - c->p))
		return false;
	inner->p = c->p;
	inner->end = c->p + n;
	c->p += n;
	return true;
}

/* Reads a tag; false at a field number of 0 or a group. */
static inline bool
read_tag(cursor *c, uint32_t *field, int *wire)
{
	uint64_t tag;

	if (!read_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF)
		return false;
	*field = (uint32_t) (tag >> 3);
	*wire = (int) (tag & 7);
	return true;
}

static bool
skip(cursor *c, int wire)
{
	uint64_t ignored;
	cursor inner;

	switch (wire)
	{
		case WIRE_VARINT:
			return read_varint(c, &ignored);
		case WIRE_FIXED64:
			return read_fixed64(c, &ignored);
		case WIRE_BYTES:
			return read_bytes(c, &inner);
		case WIRE_FIXED32:
			if (c->end - c->p < 4)
				return false;
			c->p += 4;
			return true;
		default:
			return false; /* groups have left protobuf long ago */
	}
}

static inline size_t
size_of(cursor c)
{
	return (size_t) (c.end - c.p);
}

static inline sl_str
text_of(walk *w, cursor c, uint32_t *notes)
{
	return sl_take_text(w->arena, (const char *) c.p, size_of(c), notes);
}

static void
put(walk *w, target *t, sl_str name, sl_value value)
{
	if (name.n > 0)
		*sl_fields_add(w->arena, t->fields, name) = value;
	else if (t->record) /* a body that is not a map */
		sl_record_set(w->arena, t->record, SL_STR("message"), value);
	else
		*sl_fields_add(w->arena, t->fields, SL_STR("message")) = value;
}

static bool walk_key_value(walk *w, cursor c, target *t, sl_str path, bool element, int depth);

/*
 * An AnyValue under a name.  Of several members the last one counts, as
 * with every oneof; so the walk notes the member and acts at the end.
 */
static bool
walk_any_value(walk *w, cursor c, target *t, sl_str name, bool element, int depth)
{
	const unsigned char *at = c.p;
	uint32_t member = 0;
	uint64_t number = 0;
	cursor bytes = empty;
	sl_value value = {.type = SL_NULL, .element = element};

	if (depth > SL_MAX_DEPTH)
	{
		sl_fail(w->err, SL_TOO_COMPLEX, "value of an attribute is nested deeper than %d levels", SL_MAX_DEPTH);
		return false;
	}
	while (c.p < c.end)
	{
		uint32_t field;
		int wire;

		at = c.p;
		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed value");
		if ((field == 1 || (field >= 5 && field <= 7)) && wire == WIRE_BYTES)
		{
			if (!read_bytes(&c, &bytes))
				return bad(w, at, "length runs past the end of a value");
			member = field;
		}
		else if ((field == 2 || field == 3) && wire == WIRE_VARINT)
		{
			if (!read_varint(&c, &number))
				return bad(w, at, "truncated number");
			member = field;
		}
		else if (field == 4 && wire == WIRE_FIXED64)
		{
			if (!read_fixed64(&c, &number))
				return bad(w, at, "truncated number");
			member = field;
		}
		else if (!skip(&c, wire))
			return bad(w, at, "truncated field of a value");
	}
	switch (member)
	{
		case 1:
			value.type = SL_STRING;
			value.u.s = text_of(w, bytes, t->notes);
			break;
		case 2:
			value.type = SL_BOOL;
			value.u.b = number != 0;
			break;
		case 3:
			value.type = SL_INT;
			value.u.i = (int64_t) number;
			break;
		case 4:
			value.type = SL_DOUBLE;
			memcpy(&value.u.d, &number, 8);
			break;
		case 5:
		case 6:
			if (bytes.p == bytes.end)
				break; /* an empty array or map: the name, with null */
			while (bytes.p < bytes.end)
			{
				uint32_t field;
				int wire;
				cursor inner;

				at = bytes.p;
				if (!read_tag(&bytes, &field, &wire))
					return bad(w, at, "malformed array or map");
				if (field != 1 || wire != WIRE_BYTES)
				{
					if (!skip(&bytes, wire))
						return bad(w, at, "truncated field of an array or map");
					continue;
				}
				if (!read_bytes(&bytes, &inner))
					return bad(w, at, "length runs past the end of an array or map");
				if (member == 5 ? !walk_any_value(w, inner, t, name, true, depth + 1)
								: !walk_key_value(w, inner, t, name, element, depth + 1))
					return false;
			}
			return true;
		case 7:
			value.type = SL_STRING;
			value.u.s = sl_base64(w->arena, bytes.p, size_of(bytes));
			break;
	}
	put(w, t, name, value);
	return true;
}

static bool
walk_key_value(walk *w, cursor c, target *t, sl_str path, bool element, int depth)
{
	const unsigned char *at;
	cursor key = empty,
		   value = empty;

	while (c.p < c.end)
	{
		uint32_t field;
		int wire;

		at = c.p;
		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed attribute");
		if (field == 1 && wire == WIRE_BYTES   ? !read_bytes(&c, &key)
			: field == 2 && wire == WIRE_BYTES ? !read_bytes(&c, &value)
											   : !skip(&c, wire))
			return bad(w, at, "length runs past the end of an attribute");
	}
	path = sl_join_path(w->arena, path, text_of(w, key, t->notes));
	/* an attribute without a name stands back behind the body, see put */
	if (path.n == 0)
		path = SL_STR("message");
	return walk_any_value(w, value, t, path, element, depth);
}

/* A trace or span id: so many bytes, not all zero; else none, with a note. */
static sl_str
take_id(walk *w, sl_record *record, cursor c, size_t want)
{
	if (c.p == c.end)
		return (sl_str){NULL, 0};
	if (size_of(c) != want)
	{
		record->notes |= SL_NOTE_ID;
		return (sl_str){NULL, 0};
	}
	for (const unsigned char *p = c.p; p < c.end; p++)
		if (*p)
			return sl_hex(w->arena, c.p, want);
	return (sl_str){NULL, 0};
}

static bool
walk_log_record(walk *w, cursor c, sl_record *record)
{
	target t = {.record = record, .fields = &record->attributes, .notes = &record->notes};

	while (c.p < c.end)
	{
		const unsigned char *at = c.p;
		uint32_t field;
		int wire;
		uint64_t number = 0;
		cursor inner = empty;
		bool ok;

		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed log record");
		ok = wire == WIRE_VARINT	? read_varint(&c, &number)
			 : wire == WIRE_FIXED64 ? read_fixed64(&c, &number)
			 : wire == WIRE_BYTES	? read_bytes(&c, &inner)
									: skip(&c, wire);
		if (!ok)
			return bad(w, at, "length runs past the end of a log record");
		if (field == 1 && wire == WIRE_FIXED64)
		{
			if (number > INT64_MAX)
				record->notes |= SL_NOTE_TIMESTAMP;
			else
				record->timestamp = (int64_t) number;
		}
		else if (field == 11 && wire == WIRE_FIXED64)
			record->observed = number > INT64_MAX ? 0 : (int64_t) number;
		else if (field == 2 && wire == WIRE_VARINT)
		{
			if (number > 24)
				record->notes |= SL_NOTE_SEVERITY;
			else
				record->severity = (int) number;
		}
		else if (wire != WIRE_BYTES)
			continue;
		else if (field == 3)
		{
			if (inner.p < inner.end)
				record->text[SL_LEVEL] = text_of(w, inner, &record->notes);
		}
		else if (field == 5)
		{
			if (!walk_any_value(w, inner, &t, SL_STR(""), false, 1))
				return false;
		}
		else if (field == 6)
		{
			if (!walk_key_value(w, inner, &t, SL_STR(""), false, 1))
				return false;
		}
		else if (field == 9)
			record->text[SL_TRACE_ID] = take_id(w, record, inner, 16);
		else if (field == 10)
			record->text[SL_SPAN_ID] = take_id(w, record, inner, 8);
		else if (field == 12)
			sl_record_set(w->arena, record, SL_STR("event.name"),
						  (sl_value){.type = SL_STRING, .u.s = text_of(w, inner, &record->notes)});
	}
	sl_record_promote(w->arena, record);
	return true;
}

static bool
walk_scope_logs(walk *w, cursor c, sl_resource *resource, sl_records *records)
{
	cursor scope = empty,
		   name = empty;
	size_t first = records->n;

	while (c.p < c.end)
	{
		const unsigned char *at = c.p;
		uint32_t field;
		int wire;
		cursor inner;

		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed scope");
		if (wire != WIRE_BYTES)
		{
			if (!skip(&c, wire))
				return bad(w, at, "truncated field of a scope");
			continue;
		}
		if (!read_bytes(&c, &inner))
			return bad(w, at, "length runs past the end of a scope");
		if (field == 1)
			scope = inner;
		else if (field == 2)
		{
			sl_record *record = sl_records_add(w->arena, records);

			record->resource = resource;
			if (!walk_log_record(w, inner, record))
			{
				/* a record that is too deep is no reason to refuse the others */
				if (strcmp(w->err->sqlstate, SL_TOO_COMPLEX) != 0)
					return false;
				sl_records_refuse(w->arena, records, w->err);
			}
		}
	}
	while (scope.p < scope.end)
	{
		const unsigned char *at = scope.p;
		uint32_t field;
		int wire;

		if (!read_tag(&scope, &field, &wire))
			return bad(w, at, "malformed scope");
		if (field != 1 || wire != WIRE_BYTES)
		{
			if (!skip(&scope, wire))
				return bad(w, at, "truncated field of a scope");
			continue;
		}
		if (!read_bytes(&scope, &name))
			return bad(w, at, "length runs past the end of a scope");
	}
	if (name.p < name.end)
	{
		uint32_t notes = 0;
		sl_value value = {.type = SL_STRING, .u.s = text_of(w, name, &notes)};

		for (size_t i = first; i < records->n; i++)
		{
			records->v[i].notes |= notes;
			sl_record_set(w->arena, &records->v[i], SL_STR("otel.scope.name"), value);
		}
	}
	return true;
}

static bool
walk_resource(walk *w, cursor c, sl_resource *resource)
{
	target t = {.fields = &resource->fields, .notes = &resource->notes};

	while (c.p < c.end)
	{
		const unsigned char *at = c.p;
		uint32_t field;
		int wire;
		cursor inner;

		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed resource");
		if (field != 1 || wire != WIRE_BYTES)
		{
			if (!skip(&c, wire))
				return bad(w, at, "truncated field of a resource");
			continue;
		}
		if (!read_bytes(&c, &inner))
			return bad(w, at, "length runs past the end of a resource");
		if (!walk_key_value(w, inner, &t, SL_STR(""), false, 1))
			return false;
	}
	return true;
}

static bool
walk_resource_logs(walk *w, cursor c, sl_records *records)
{
	sl_resource *resource = sl_alloc0(w->arena, sizeof(*resource));
	size_t first = records->n;

	while (c.p < c.end)
	{
		const unsigned char *at = c.p;
		uint32_t field;
		int wire;
		cursor inner;

		if (!read_tag(&c, &field, &wire))
			return bad(w, at, "malformed resource logs");
		if (wire != WIRE_BYTES || field > 2)
		{
			if (!skip(&c, wire))
				return bad(w, at, "truncated field of resource logs");
			continue;
		}
		if (!read_bytes(&c, &inner))
			return bad(w, at, "length runs past the end of resource logs");
		if (field == 1 ? !walk_resource(w, inner, resource)
					   : !walk_scope_logs(w, inner, resource, records))
			return false;
	}
	/* the resource may come after its records: what they derive waits for it */
	sl_resource_finish(resource);
	for (size_t i = first; i < records->n; i++)
		sl_record_finish(w->arena, &records->v[i]);
	return true;
}

bool
sl_decode_otlp_proto(const char *data, size_t n, sl_arena *arena, sl_records *records, sl_error *err)
{
	walk w = {.arena = arena, .err = err, .start = (const unsigned char *) data};
	cursor c = {w.start, w.start + n};
	const sl_records before = *records;

	while (c.p < c.end)
	{
		const unsigned char *at = c.p;
		uint32_t field;
		int wire;
		cursor inner;

		if (!read_tag(&c, &field, &wire))
		{
			sl_records_restore(records, &before);
			return bad(&w, at, "malformed field");
		}
		if (field == 1 && wire == WIRE_BYTES)
		{
			if (!read_bytes(&c, &inner))
			{
				sl_records_restore(records, &before);
				return bad(&w, at, "length runs past the end of the message");
			}
			if (!walk_resource_logs(&w, inner, records))
			{
				sl_records_restore(records, &before);
				return false;
			}
		}
		else if (!skip(&c, wire))
		{
			sl_records_restore(records, &before);
			return bad(&w, at, "truncated field");
		}
	}
	return true;
}
