/*
 * fuzz_otlp_proto.c
 *	  OTLP's protobuf encoding, with protobuf-c as the oracle.
 *
 * What protobuf-c unpacks we must decode, to as many records.  A message in
 * canonical form (packed again it has the same size: no field twice, no
 * longer form of a number) must give the same body, severity, times and ids.
 *
 * Allowed differences: we refuse values nested too deep, field number 0 and
 * numbers above 2^29 - 1; a text that is invalid UTF-8 or holds a NUL we
 * mend, where protobuf-c takes it as it is.  We take more than protobuf-c in
 * two places: a known field of another wire type is an unknown field, and
 * lengths may be written in more than five bytes.  A boolean protobuf-c reads
 * from any wire type, so one that we don't see is not compared.
 */
#include "fuzz.h"
#include "logs.pb-c.h"

/* Does an unknown field anywhere bear a number that we refuse? */
static bool
odd_field(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *d = message->descriptor;

	for (unsigned i = 0; i < message->n_unknown_fields; i++)
		if (message->unknown_fields[i].tag == 0 || message->unknown_fields[i].tag > 0x1FFFFFFF)
			return true;
	for (unsigned i = 0; i < d->n_fields; i++)
	{
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const char *base = (const char *) message;
		const void *member = base + f->offset;

		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
		{
			size_t n = *(const size_t *) (base + f->quantifier_offset);

			for (size_t k = 0; k < n; k++)
				if (odd_field((*(ProtobufCMessage *const *const *) member)[k]))
					return true;
		}
		else if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		{
			if (*(const uint32_t *) (base + f->quantifier_offset) == f->id &&
				*(ProtobufCMessage *const *) member && odd_field(*(ProtobufCMessage *const *) member))
				return true;
		}
		else if (*(ProtobufCMessage *const *) member && odd_field(*(ProtobufCMessage *const *) member))
			return true;
	}
	return false;
}

static bool
same_hex(sl_str hex, ProtobufCBinaryData bytes)
{
	char text[33];

	for (size_t i = 0; i < bytes.len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes.data[i]);
	return hex.p && sl_str_is(hex, text);
}

static bool
all_zero(ProtobufCBinaryData bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.data[i])
			return false;
	return true;
}

/* What an attribute could have filled in is not compared. */
static void
compare(const sl_record *ours, const Oracle__LogRecord *theirs)
{
	const Oracle__AnyValue *body = theirs->body;
	bool mended = ours->notes & SL_NOTE_TEXT;

	if (theirs->time_unix_nano && theirs->time_unix_nano <= INT64_MAX)
		CHECK(ours->timestamp == (int64_t) theirs->time_unix_nano);
	if (theirs->observed_time_unix_nano && theirs->observed_time_unix_nano <= INT64_MAX)
		CHECK(ours->observed == (int64_t) theirs->observed_time_unix_nano);
	if (theirs->severity_number >= 1 && theirs->severity_number <= 24)
		CHECK(ours->severity == theirs->severity_number);
	if (theirs->severity_text[0] && !mended)
		CHECK(sl_str_is(ours->text[SL_LEVEL], theirs->severity_text));
	if (theirs->trace_id.len == 16 && !all_zero(theirs->trace_id))
		CHECK(same_hex(ours->text[SL_TRACE_ID], theirs->trace_id));
	if (theirs->span_id.len == 8 && !all_zero(theirs->span_id))
		CHECK(same_hex(ours->text[SL_SPAN_ID], theirs->span_id));
	if (body && body->value_case == ORACLE__ANY_VALUE__VALUE_STRING_VALUE && !mended)
		CHECK(ours->text[SL_MESSAGE].p && sl_str_is(ours->text[SL_MESSAGE], body->string_value));
	if (body && body->value_case == ORACLE__ANY_VALUE__VALUE_BOOL_VALUE && ours->text[SL_MESSAGE].p)
		CHECK(sl_str_is(ours->text[SL_MESSAGE], body->bool_value ? "true" : "false"));
	if (body && body->value_case == ORACLE__ANY_VALUE__VALUE_INT_VALUE)
	{
		char number[32];

		snprintf(number, sizeof(number), "%lld", (long long) body->int_value);
		CHECK(sl_str_is(ours->text[SL_MESSAGE], number));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	sl_arena *arena = fuzz_arena();
	sl_records records = {0};
	sl_error err;
	char *copy;
	bool done = fuzz_decode(SL_OTLP_PROTO, data, n, arena, &records, &err, &copy);
	Oracle__Request *oracle = n > 0 ? oracle__request__unpack(NULL, n, data) : NULL;

	if (done)
		check_records(arena, &records);
	if (oracle && !done)
		CHECK(odd_field(&oracle->base));
	/* records that are too deep are left out: then there is nothing to compare by number */
	else if (oracle && records.refused == 0)
	{
		bool canonical = oracle__request__get_packed_size(oracle) == n;
		size_t at = 0;

		for (size_t i = 0; i < oracle->n_resource_logs; i++)
			for (size_t j = 0; j < oracle->resource_logs[i]->n_scope_logs; j++)
			{
				const Oracle__ScopeLogs *scope = oracle->resource_logs[i]->scope_logs[j];

				for (size_t k = 0; k < scope->n_log_records; k++, at++)
				{
					CHECK(at < records.n);
					if (canonical)
						compare(&records.v[at], scope->log_records[k]);
				}
			}
		CHECK(at == records.n);
	}
	if (oracle)
		oracle__request__free_unpacked(oracle, NULL);
	free(copy);
	return 0;
}
