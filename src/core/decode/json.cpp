/*
 * json.cpp
 *	  Everything that reads JSON, through simdjson's on-demand parser, behind
 *	  C headers: records (decode.h) and rule documents (node.h).
 *
 * The only C++ here, and exceptions are off: every access returns a code.
 * Strings are unescaped by ourselves and not by simdjson, for three reasons:
 * those without a backslash stay slices of the input, a lone surrogate or
 * \u0000 becomes U+FFFD instead of an error, and they outlive the parser's
 * next document.
 */
#include "decode.h"
#include "../node.h"
#include "../utf8.h"

#include <simdjson.h>

#include <cstdlib>
#include <endian.h>
#include <new>

using namespace simdjson;

namespace
{

/* One parser a thread; what a huge document made it hold is given back. */
class parser_lease
{
  public:
	parser_lease()
	{
		if (!held)
			held = new (std::nothrow) ondemand::parser;
	}
	~parser_lease()
	{
		if (held && held->capacity() > 4 * 1024 * 1024)
		{
			delete held;
			held = nullptr;
		}
	}
	ondemand::parser *operator->()
	{
		return held;
	}
	explicit operator bool() const
	{
		return held != nullptr;
	}

  private:
	static thread_local ondemand::parser *held;
};

thread_local ondemand::parser *parser_lease::held = nullptr;

constexpr size_t PADDING = SIMDJSON_PADDING;

struct context
{
	sl_arena *arena;
	sl_error *err;
	sl_records *records;
	const char *start;
	size_t n;
	bool repaired; /* the whole text had to be mended */
};

/* Puts the error at a byte of the input. */
bool
place_error(context &c, const char *at)
{
	size_t offset = at >= c.start && at <= c.start + c.n ? (size_t) (at - c.start) : c.n;
	int line = 1,
		col = 1;

	for (size_t i = 0; i < offset; i++)
	{
		if (c.start[i] == '\n')
			line++, col = 1;
		else if (((unsigned char) c.start[i] & 0xC0) != 0x80)
			col++;
	}
	sl_error_detail(c.err, "At line %d, column %d.", line, col);
	c.err->line = line;
	c.err->col = col;
	return false;
}

bool
fail_at_offset(context &c, const char *at, const char *what)
{
	sl_fail(c.err, SL_INVALID_TEXT, "invalid JSON: %s", what);
	return place_error(c, at);
}

const char *
describe(error_code code)
{
	switch (code)
	{
		case UNCLOSED_STRING:
			return "a string is not closed";
		case UNESCAPED_CHARS:
			return "a string holds a control character that is not escaped";
		case EMPTY:
			return "no value";
		case INCOMPLETE_ARRAY_OR_OBJECT:
			return "an array or object is not closed";
		case INCORRECT_TYPE:
			return "a value has the wrong type";
		case NUMBER_ERROR:
			return "malformed number";
		default:
			return "syntax error";
	}
}

bool
too_deep(context &c)
{
	return sl_fail(c.err, SL_TOO_COMPLEX, "JSON is nested deeper than %d levels", SL_MAX_DEPTH);
}

inline bool
hex4(const char *p, uint32_t &out)
{
	out = 0;
	for (int i = 0; i < 4; i++)
	{
		char ch = p[i];
		int d = ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
												: ch >= 'A' && ch <= 'F'   ? ch - 'A' + 10
																		   : -1;

		if (d < 0)
			return false;
		out = out << 4 | (uint32_t) d;
	}
	return true;
}

/* How many of the eight bytes at q are before the first quote or backslash; the padding lets them be read. */
inline size_t
plain_bytes(const char *q)
{
	uint64_t w,
		quote,
		slash,
		found;

	memcpy(&w, q, 8);
	w = le64toh(w);
	quote = w ^ 0x2222222222222222ULL;
	slash = w ^ 0x5C5C5C5C5C5C5C5CULL;
	/* the lowest that is found is one for certain */
	found = (((quote - 0x0101010101010101ULL) & ~quote) | ((slash - 0x0101010101010101ULL) & ~slash)) & 0x8080808080808080ULL;
	return found ? (size_t) __builtin_ctzll(found) / 8 : 8;
}

/* What a backslash and a letter mean; '\0' where that isn't one character. */
inline char
unescaped(char c)
{
	switch (c)
	{
		case '"':
		case '\\':
		case '/':
			return c;
		case 'b':
			return '\b';
		case 'f':
			return '\f';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 't':
			return '\t';
		default:
			return '\0';
	}
}

/* What stands after "\\u", and another such escape where it takes two; q moves behind it. */
bool
take_code_point(context &c, const char *&q, sl_buf &buf, uint32_t *notes)
{
	uint32_t cp,
		low;
	char utf8[4];

	if (!hex4(q, cp))
		return fail_at_offset(c, q, "malformed \\u escape");
	q += 4;
	if (cp >= 0xD800 && cp < 0xDC00 && q[0] == '\\' && q[1] == 'u' &&
		hex4(q + 2, low) && low >= 0xDC00 && low < 0xE000)
	{
		cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
		q += 6;
	}
	if (cp == 0 || (cp >= 0xD800 && cp < 0xE000))
	{
		cp = 0xFFFD;
		if (notes)
			*notes |= SL_NOTE_TEXT;
	}
	sl_buf_add(&buf, utf8, (size_t) sl_utf8_put(utf8, cp));
	return true;
}

/*
 * The string whose first character (after the quote) is at p.  The first
 * stage of the parser has seen its closing quote, and that it is UTF-8
 * without control characters.
 */
bool
take_string(context &c, const char *p, sl_str &out, uint32_t *notes)
{
	const char *q = p;
	size_t plain;
	sl_buf buf;

	while ((plain = plain_bytes(q)) == 8)
		q += 8;
	q += plain;
	if (*q == '"')
	{
		out = sl_str{p, (size_t) (q - p)};
		return true;
	}

	sl_buf_init(&buf, c.arena, (size_t) (q - p) + 64);
	sl_buf_add(&buf, p, (size_t) (q - p));
	for (;;)
	{
		char plainly;

		if (buf.n + 16 > buf.cap)
			sl_buf_reserve(&buf, 16);
		plain = plain_bytes(q);
		memcpy(buf.p + buf.n, q, 8);
		buf.n += plain;
		q += plain;
		if (plain == 8)
			continue;
		if (*q == '"')
			break;
		plainly = unescaped(q[1]);
		q += 2;
		if (plainly)
		{
			buf.p[buf.n++] = plainly;
			continue;
		}
		if (q[-1] != 'u')
			return fail_at_offset(c, q - 1, "unknown escape in a string");
		if (!take_code_point(c, q, buf, notes))
			return false;
	}
	buf.p[buf.n] = '\0';
	out = sl_str{buf.p, buf.n};
	return true;
}

/* JSON's grammar of a number, which on-demand leaves unchecked on overflow. */
bool
number_token(std::string_view raw, sl_str &out)
{
	size_t i = 0,
		   n = raw.size();
	auto run = [&]
	{
		size_t from = i;

		while (i < n && raw[i] >= '0' && raw[i] <= '9')
			i++;
		return i > from;
	};

	if (i < n && raw[i] == '-')
		i++;
	if (i < n && raw[i] == '0')
		i++;
	else if (!run())
		return false;
	if (i < n && raw[i] == '.')
	{
		i++;
		if (!run())
			return false;
	}
	if (i < n && (raw[i] == 'e' || raw[i] == 'E'))
	{
		i++;
		if (i < n && (raw[i] == '+' || raw[i] == '-'))
			i++;
		if (!run())
			return false;
	}
	out = sl_str{raw.data(), i};
	for (; i < n; i++)
		if (raw[i] != ' ' && raw[i] != '\t' && raw[i] != '\n' && raw[i] != '\r')
			return false;
	return true;
}

/* A number that neither 64 bits nor a double hold becomes its digits. */
bool
take_number(context &c, ondemand::value &v, sl_value &out, uint32_t *notes)
{
	std::string_view raw = v.raw_json_token();
	ondemand::number number;
	error_code code = v.get_number().get(number);
	sl_str token;

	if (!number_token(raw, token))
		return fail_at_offset(c, raw.data(), "malformed number");
	if (!code && number.is_int64())
	{
		out.type = SL_INT;
		out.u.i = number.get_int64();
		return true;
	}
	if (!code && number.is_double())
	{
		out.type = SL_DOUBLE;
		out.u.d = number.get_double();
		return true;
	}
	out.type = SL_STRING;
	out.u.s = sl_str_copy(c.arena, token.p, token.n);
	if (notes)
		*notes |= SL_NOTE_NUMBER;
	return true;
}

inline bool
null_value(ondemand::value &v)
{
	bool answer = false;

	return !v.is_null().get(answer) && answer;
}

/* Nothing but white space follows; else *at is where it stands. */
bool
at_end(ondemand::document &doc, const char *&at)
{
	return doc.current_location().get(at) != SUCCESS;
}

/*
 * Where a value goes: by its name into a record (fields == NULL), or among
 * fields, of a record or a resource.  A body has no name.
 */
struct target
{
	sl_record *record;
	sl_fields *fields;
	uint32_t *notes;
};

void
put(context &c, target &t, sl_str name, const sl_value &value)
{
	bool by_name = t.record && (!t.fields || name.n == 0);

	if (name.n == 0)
		name = SL_STR("message");
	if (by_name)
		sl_record_set(c.arena, t.record, name, value);
	else
		*sl_fields_add(c.arena, t.fields, name) = value;
}

/* String, number, boolean or null; anything else is left alone, with false. */
bool
take_scalar(context &c, ondemand::value &v, ondemand::json_type type, sl_value &out, uint32_t *notes)
{
	switch (type)
	{
		case ondemand::json_type::string:
		{
			ondemand::raw_json_string raw;

			if (v.get_raw_json_string().get(raw))
				return fail_at_offset(c, v.raw_json_token().data(), "syntax error");
			out.type = SL_STRING;
			return take_string(c, raw.raw(), out.u.s, notes);
		}
		case ondemand::json_type::number:
			return take_number(c, v, out, notes);
		case ondemand::json_type::boolean:
		{
			const char *at = v.raw_json_token().data();

			out.type = SL_BOOL;
			if (v.get_bool().get(out.u.b))
				return fail_at_offset(c, at, "syntax error");
			return true;
		}
		default:
		{
			const char *at = v.raw_json_token().data();
			bool is_null = false;

			out.type = SL_NULL;
			if (v.is_null().get(is_null) || !is_null)
				return fail_at_offset(c, at, "syntax error");
			return true;
		}
	}
}

/* Any JSON under a path: objects add to the path, arrays make elements. */
bool
walk_value(context &c, ondemand::value &v, target &t, sl_str path, bool element, int depth)
{
	ondemand::json_type type;
	error_code code = v.type().get(type);
	const char *at = v.raw_json_token().data();
	bool empty = true;

	if (code)
		return fail_at_offset(c, at, describe(code));
	if (depth > SL_MAX_DEPTH)
		return too_deep(c);
	if (type == ondemand::json_type::object)
	{
		ondemand::object object;

		if ((code = v.get_object().get(object)))
			return fail_at_offset(c, at, describe(code));
		for (auto result : object)
		{
			ondemand::field field;
			sl_str key;

			if ((code = std::move(result).get(field)))
				return fail_at_offset(c, at, describe(code));
			empty = false;
			if (!take_string(c, field.key().raw(), key, t.notes) ||
				!walk_value(c, field.value(), t, sl_join_path(c.arena, path, key), element, depth + 1))
				return false;
		}
	}
	else if (type == ondemand::json_type::array)
	{
		ondemand::array array;

		if ((code = v.get_array().get(array)))
			return fail_at_offset(c, at, describe(code));
		for (auto result : array)
		{
			ondemand::value item;

			if ((code = std::move(result).get(item)))
				return fail_at_offset(c, at, describe(code));
			empty = false;
			if (!walk_value(c, item, t, path, true, depth + 1))
				return false;
		}
	}
	else
	{
		sl_value value = {};

		value.element = element;
		if (!take_scalar(c, v, type, value, t.notes))
			return false;
		put(c, t, path, value);
		return true;
	}
	if (empty && path.n)
	{
		sl_value value = {};

		value.element = element;
		put(c, t, path, value);
	}
	return true;
}

bool
wrong_shape(context &c, const char *what)
{
	sl_fail(c.err, SL_INVALID_TEXT, "message is not an OTLP logs request in JSON: %s", what);
	sl_error_hint(c.err, "Expected {\"resourceLogs\": [{\"scopeLogs\": [{\"logRecords\": [...]}]}]}.");
	return false;
}

/* Calls body for each object of the array v. */
template <typename F>
bool
each_object(context &c, ondemand::value v, const char *what, F body)
{
	ondemand::array array;

	if (null_value(v))
		return true;
	if (v.get_array().get(array))
		return wrong_shape(c, what);
	for (auto result : array)
	{
		ondemand::object object;

		if (std::move(result).get_object().get(object))
			return wrong_shape(c, what);
		if (!body(object))
			return false;
	}
	return true;
}

/* Calls body for each key and value of an object. */
template <typename F>
bool
each_field(context &c, ondemand::object object, F body)
{
	for (auto result : object)
	{
		ondemand::field field;
		error_code code = std::move(result).get(field);
		sl_str key;

		if (code)
		{
			const char *at = c.start + c.n;

			return fail_at_offset(c, at, describe(code));
		}
		if (!take_string(c, field.key().raw(), key, nullptr))
			return false;
		if (!body(key, field.value()))
			return false;
	}
	return true;
}

/* A scalar, or INCORRECT_TYPE said in words. */
bool
scalar_of(context &c, ondemand::value v, sl_value &out, uint32_t *notes)
{
	ondemand::json_type type;

	if (v.type().get(type))
		return wrong_shape(c, "a value is malformed");
	if (type == ondemand::json_type::object || type == ondemand::json_type::array)
		return wrong_shape(c, "an object or array stands where a plain value belongs");
	return take_scalar(c, v, type, out, notes);
}

bool walk_attribute(context &c, ondemand::object object, target &t, sl_str path, bool element, int depth);

bool
walk_any_value(context &c, ondemand::object object, target &t, sl_str name, bool element, int depth)
{
	sl_value value = {};
	bool nested = false;

	if (depth > SL_MAX_DEPTH)
		return too_deep(c);
	value.element = element;
	if (!each_field(c, object, [&](sl_str key, ondemand::value v)
					{
		if (sl_str_is(key, "stringValue") || sl_str_is(key, "boolValue") ||
			sl_str_is(key, "doubleValue") || sl_str_is(key, "bytesValue"))
			return scalar_of(c, v, value, t.notes);
		if (sl_str_is(key, "intValue"))
		{
			if (!scalar_of(c, v, value, t.notes))
				return false;
			if (value.type == SL_STRING)
			{
				sl_str		copy = sl_str_copy(c.arena, value.u.s.p, value.u.s.n);
				char	   *end;

				errno = 0;
				long long	i = strtoll(copy.p, &end, 10);

				if (copy.n == 0 || *end != '\0' || errno)
					*t.notes |= SL_NOTE_NUMBER;
				else
				{
					value.type = SL_INT;
					value.u.i = i;
				}
			}
			return true;
		}
		if (sl_str_is(key, "arrayValue") || sl_str_is(key, "kvlistValue"))
		{
			bool		map = sl_str_is(key, "kvlistValue");
			ondemand::object inner;

			if (v.get_object().get(inner))
				return wrong_shape(c, "arrayValue or kvlistValue is not an object");
			return each_field(c, inner, [&](sl_str inner_key, ondemand::value values)
			{
				if (!sl_str_is(inner_key, "values"))
					return true;
				return each_object(c, values, "values is not an array of objects",
								   [&](ondemand::object item)
				{
					nested = true;
					return map ? walk_attribute(c, item, t, name, element, depth + 1)
						: walk_any_value(c, item, t, name, true, depth + 1);
				});
			});
		}
		return true; }))
		return false;
	if (!nested)
		put(c, t, name, value);
	return true;
}

bool
walk_attribute(context &c, ondemand::object object, target &t, sl_str path, bool element, int depth)
{
	ondemand::value key_value,
		value;
	ondemand::object inner;
	ondemand::raw_json_string raw;
	sl_str key;

	/* their order is the sender's, hence the unordered look-ups */
	if (object.find_field_unordered("key").get(key_value) || key_value.get_raw_json_string().get(raw))
		return wrong_shape(c, "an attribute has no key");
	if (!take_string(c, raw.raw(), key, t.notes))
		return false;
	key = sl_join_path(c.arena, path, key);
	/* an attribute without a name stands back behind the body, see put */
	if (key.n == 0)
		key = SL_STR("message");
	if (object.find_field_unordered("value").get(value) || null_value(value))
	{
		put(c, t, key, sl_value{});
		return true;
	}
	if (value.get_object().get(inner))
		return wrong_shape(c, "an attribute's value is not an object");
	return walk_any_value(c, inner, t, key, element, depth);
}

/* A time in ns, as string or number; what isn't one is noted. */
bool
take_nanos(context &c, ondemand::value v, int64_t &out, uint32_t *notes)
{
	sl_value value = {};
	sl_str text;
	char *end;
	unsigned long long ns;

	if (!scalar_of(c, v, value, notes))
		return false;
	if (value.type == SL_NULL)
		return true;
	text = sl_value_text(c.arena, &value);
	text = sl_str_copy(c.arena, text.p, text.n);
	errno = 0;
	ns = strtoull(text.p, &end, 10);
	/* strtoull would take white space and a sign */
	if (text.p[0] < '0' || text.p[0] > '9' || *end != '\0' || errno || ns > INT64_MAX)
		*notes |= SL_NOTE_TIMESTAMP;
	else
		out = (int64_t) ns;
	return true;
}

/* A trace or span id in hex of either case; what isn't one is noted. */
bool
take_id(context &c, ondemand::value v, sl_str &out, size_t digits, uint32_t *notes)
{
	sl_value value = {};
	char *id;
	bool zero = true;

	if (!scalar_of(c, v, value, notes))
		return false;
	if (value.type == SL_NULL || (value.type == SL_STRING && value.u.s.n == 0))
		return true;
	if (value.type == SL_STRING && value.u.s.n == digits)
	{
		id = (char *) sl_alloc(c.arena, digits);
		for (size_t i = 0; i < digits; i++)
		{
			char ch = value.u.s.p[i];

			if (ch >= 'A' && ch <= 'F')
				ch = (char) (ch + 32);
			if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f')))
			{
				*notes |= SL_NOTE_ID;
				return true;
			}
			zero = zero && ch == '0';
			id[i] = ch;
		}
		if (!zero)
			out = sl_str{id, digits};
		return true;
	}
	*notes |= SL_NOTE_ID;
	return true;
}

bool
walk_log_record(context &c, ondemand::object object, sl_record *record)
{
	target t = {record, &record->attributes, &record->notes};

	if (!each_field(c, object, [&](sl_str key, ondemand::value v)
					{
		sl_value	value = {};

		if (sl_str_is(key, "timeUnixNano"))
			return take_nanos(c, v, record->timestamp, &record->notes);
		if (sl_str_is(key, "observedTimeUnixNano"))
			return take_nanos(c, v, record->observed, &record->notes);
		if (sl_str_is(key, "traceId"))
			return take_id(c, v, record->text[SL_TRACE_ID], 32, &record->notes);
		if (sl_str_is(key, "spanId"))
			return take_id(c, v, record->text[SL_SPAN_ID], 16, &record->notes);
		if (sl_str_is(key, "severityNumber"))
		{
			if (!scalar_of(c, v, value, &record->notes))
				return false;
			if (value.type == SL_INT && value.u.i >= 0 && value.u.i <= 24)
				record->severity = (int) value.u.i;
			else if (value.type != SL_NULL)
				record->notes |= SL_NOTE_SEVERITY;
			return true;
		}
		if (sl_str_is(key, "severityText"))
		{
			if (!scalar_of(c, v, value, &record->notes))
				return false;
			if (value.type == SL_STRING && value.u.s.n)
				record->text[SL_LEVEL] = value.u.s;
			return true;
		}
		if (sl_str_is(key, "eventName"))
		{
			if (!scalar_of(c, v, value, &record->notes))
				return false;
			sl_record_set(c.arena, record, SL_STR("event.name"), value);
			return true;
		}
		if (sl_str_is(key, "body"))
		{
			ondemand::object body;

			if (null_value(v))
				return true;
			if (v.get_object().get(body))
				return wrong_shape(c, "a body is not an object");
			return walk_any_value(c, body, t, SL_STR(""), false, 1);
		}
		if (sl_str_is(key, "attributes"))
			return each_object(c, v, "attributes is not an array of objects",
							   [&](ondemand::object attribute)
			{
				return walk_attribute(c, attribute, t, SL_STR(""), false, 1);
			});
		return true; }))
		return false;
	sl_record_promote(c.arena, record);
	return true;
}

bool
walk_scope_logs(context &c, ondemand::object object, sl_resource *resource)
{
	size_t first = c.records->n;
	sl_value scope = {};

	if (!each_field(c, object, [&](sl_str key, ondemand::value v)
					{
		if (sl_str_is(key, "logRecords"))
			return each_object(c, v, "logRecords is not an array of objects",
							   [&](ondemand::object item)
			{
				sl_record  *record = sl_records_add(c.arena, c.records);

				record->resource = resource;
				if (c.repaired)
					record->notes |= SL_NOTE_TEXT;
				if (walk_log_record(c, item, record))
					return true;
				/* a record that is too deep is no reason to refuse the others */
				if (strcmp(c.err->sqlstate, SL_TOO_COMPLEX) != 0)
					return false;
				sl_records_refuse(c.arena, c.records, c.err);
				return true;
			});
		if (sl_str_is(key, "scope"))
		{
			ondemand::object inner;

			if (null_value(v))
				return true;
			if (v.get_object().get(inner))
				return wrong_shape(c, "scope is not an object");
			return each_field(c, inner, [&](sl_str inner_key, ondemand::value name)
			{
				return sl_str_is(inner_key, "name") ? scalar_of(c, name, scope, nullptr) : true;
			});
		}
		return true; }))
		return false;
	if (scope.type == SL_STRING && scope.u.s.n)
		for (size_t i = first; i < c.records->n; i++)
			sl_record_set(c.arena, &c.records->v[i], SL_STR("otel.scope.name"), scope);
	return true;
}

bool
walk_resource_logs(context &c, ondemand::object object)
{
	sl_resource *resource = (sl_resource *) sl_alloc0(c.arena, sizeof(sl_resource));
	size_t first = c.records->n;

	if (!each_field(c, object, [&](sl_str key, ondemand::value v)
					{
		if (sl_str_is(key, "scopeLogs"))
			return each_object(c, v, "scopeLogs is not an array of objects",
							   [&](ondemand::object scope)
			{
				return walk_scope_logs(c, scope, resource);
			});
		if (sl_str_is(key, "resource"))
		{
			ondemand::object inner;

			if (null_value(v))
				return true;
			if (v.get_object().get(inner))
				return wrong_shape(c, "resource is not an object");
			return each_field(c, inner, [&](sl_str inner_key, ondemand::value attributes)
			{
				if (!sl_str_is(inner_key, "attributes"))
					return true;
				return each_object(c, attributes, "attributes is not an array of objects",
								   [&](ondemand::object attribute)
				{
					target		t = {nullptr, &resource->fields, &resource->notes};

					return walk_attribute(c, attribute, t, SL_STR(""), false, 1);
				});
			});
		}
		return true; }))
		return false;
	sl_resource_finish(resource);
	for (size_t i = first; i < c.records->n; i++)
		sl_record_finish(c.arena, &c.records->v[i]);
	return true;
}

bool
walk_export(context &c, ondemand::object object)
{
	bool seen = false;

	if (!each_field(c, object, [&](sl_str key, ondemand::value v)
					{
		if (!sl_str_is(key, "resourceLogs"))
			return true;
		seen = true;
		return each_object(c, v, "resourceLogs is not an array of objects",
						   [&](ondemand::object item) { return walk_resource_logs(c, item); }); }))
		return false;
	return seen ? true : wrong_shape(c, "it has no resourceLogs");
}

/* One object of plain JSON: one record. */
bool
walk_plain(context &c, ondemand::object object)
{
	sl_record *record = sl_records_add(c.arena, c.records);
	target t = {record, nullptr, &record->notes};

	if (c.repaired)
		record->notes |= SL_NOTE_TEXT;
	for (auto result : object)
	{
		ondemand::field field;
		error_code code = std::move(result).get(field);
		sl_str key;

		if (code)
			return fail_at_offset(c, c.start + c.n, describe(code));
		if (!take_string(c, field.key().raw(), key, t.notes) ||
			!walk_value(c, field.value(), t, key, false, 2))
			return false;
	}
	sl_record_finish(c.arena, record);
	return true;
}

bool
not_records(context &c, const char *at)
{
	sl_fail(c.err, SL_INVALID_TEXT, "JSON is neither an object nor an array of objects");
	sl_error_hint(c.err, "Send one log record as an object, several as an array or one a line.");
	return place_error(c, at);
}

/* Does an object's first key say that it is an export request? */
bool
looks_like_otlp(const char *p, const char *end)
{
	static const char key[] = "\"resourceLogs\"";

	while (p < end && *p != '{')
		p++;
	for (p++; p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'); p++)
		;
	return end - p >= (ptrdiff_t) sizeof(key) - 1 && memcmp(p, key, sizeof(key) - 1) == 0;
}

enum class outcome
{
	done,
	failed,
	more /* another value follows the first, or seems to */
};

/* One document: text[0..n), readable for PADDING bytes more. */
outcome
walk_document(context &c, const char *text, size_t n, bool otlp, bool either)
{
	parser_lease parser;
	ondemand::document doc;
	ondemand::json_type type;
	error_code code;
	const char *first = text;
	const char *at;
	bool ok = false;

	while (first < text + n && (*first == ' ' || *first == '\t' || *first == '\n' || *first == '\r'))
		first++;
	if (!parser)
		return sl_fail(c.err, "53200", "out of memory"), outcome::failed;
	code = parser->iterate(padded_string_view(text, n, n + PADDING)).get(doc);
	if (!code)
		code = doc.type().get(type);
	if (code)
	{
		if (code == UTF8_ERROR)
			sl_fail(c.err, "22021", "invalid UTF-8");
		else if (code == MEMALLOC)
			sl_fail(c.err, "53200", "out of memory");
		else
			fail_at_offset(c, code == UNCLOSED_STRING ? text + n : first, describe(code));
		return outcome::failed;
	}
	if (type == ondemand::json_type::object)
	{
		ondemand::object object;

		if ((code = doc.get_object().get(object)))
		{
			/* the text doesn't end in "}": so it may be in its last line that the fault lies */
			fail_at_offset(c, first, describe(code));
			return outcome::more;
		}
		else if (otlp || (either && looks_like_otlp(text, text + n)))
			ok = walk_export(c, object);
		else
			ok = walk_plain(c, object);
	}
	else if (type == ondemand::json_type::array && !otlp)
	{
		ondemand::array array;

		ok = true;
		if ((code = doc.get_array().get(array)))
			ok = fail_at_offset(c, first, describe(code));
		else
			for (auto result : array)
			{
				ondemand::value item;
				ondemand::object object;

				if ((code = std::move(result).get(item)))
					ok = fail_at_offset(c, text + n, describe(code));
				else if (at = item.raw_json_token().data(), item.get_object().get(object))
					ok = not_records(c, at);
				else
					ok = walk_plain(c, object);
				if (!ok)
					break;
			}
	}
	else
		not_records(c, first);
	if (!ok)
		return outcome::failed;
	if (at_end(doc, at))
		return outcome::done;
	fail_at_offset(c, at, "something follows the value");
	return outcome::more;
}

/* Newline-delimited: a document a line; empty lines don't count. */
bool
walk_lines(context &c, const char *text, size_t n)
{
	const char *end = text + n;

	while (text < end)
	{
		const char *eol = (const char *) memchr(text, '\n', (size_t) (end - text));
		const char *stop = eol ? eol : end;
		const char *p = text;

		while (p < stop && (*p == ' ' || *p == '\t' || *p == '\r'))
			p++;
		if (p < stop)
		{
			if (*p != '{')
				return not_records(c, p);
			if (walk_document(c, p, (size_t) (stop - p), false, false) != outcome::done)
				return false;
		}
		text = stop + 1;
	}
	return true;
}

/* The input with room to read past it, and UTF-8 for sure. */
const char *
padded(context &c, const char *data, size_t n, bool repair)
{
	char *copy;

	if (repair)
	{
		sl_str mended = sl_utf8_repair(c.arena, data, n);

		data = mended.p;
		n = mended.n;
	}
	copy = (char *) sl_alloc(c.arena, n + PADDING + 8);
	memcpy(copy, data, n);
	memset(copy + n, 0, PADDING + 8);
	c.start = copy;
	c.n = n;
	c.repaired = repair;
	return copy;
}

} /* namespace */

extern "C" bool
sl_decode_json(const char *data, size_t n, bool otlp, bool either,
			   sl_arena *arena, sl_records *records, sl_error *err)
{
	context c = {arena, err, records, nullptr, 0, false};
	const sl_records before = *records;

	if (n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0)
		data += 3, n -= 3;
	for (int repair = 0; repair < 2; repair++)
	{
		const char *text = padded(c, data, n, repair);
		outcome result = walk_document(c, text, c.n, otlp, either);

		if (result == outcome::done)
			return true;
		sl_records_restore(records, &before);
		if (result == outcome::more && !otlp && walk_lines(c, text, c.n))
			return true;
		sl_records_restore(records, &before);
		if (strcmp(err->sqlstate, "22021") != 0)
			return false;
	}
	return false;
}

extern "C" bool
sl_decode_fields(const char *data, size_t n, sl_arena *arena, sl_fields *fields, sl_error *err)
{
	context c = {arena, err, nullptr, nullptr, 0, false};
	parser_lease parser;
	ondemand::document doc;
	ondemand::value root;
	uint32_t notes = 0;
	sl_fields found = *fields;
	target t = {nullptr, &found, &notes};
	const char *copy = padded(c, data, n, false);
	error_code code;

	if (!parser)
		return sl_fail(err, "53200", "out of memory");
	code = parser->iterate(padded_string_view(copy, n, n + PADDING)).get(doc);
	if (!code)
		code = doc.get_value().get(root);
	if (code)
		return fail_at_offset(c, copy + n, describe(code));
	if (!walk_value(c, root, t, sl_str{nullptr, 0}, false, 1))
		return false;
	*fields = found;
	return true;
}

namespace
{

/* Offsets to lines and columns, for callers that move forward only. */
struct place
{
	const char *at;
	int line;
	int col;

	void to(const char *target)
	{
		for (; at < target; at++)
		{
			if (*at == '\n')
				line++, col = 1;
			else if (((unsigned char) *at & 0xC0) != 0x80)
				col++;
		}
	}
};

bool
read_tree(context &c, place &where, ondemand::value &v, int depth, size_t &count, sl_node *&out)
{
	ondemand::json_type type;
	const char *at = v.raw_json_token().data();
	error_code code = v.type().get(type);

	where.to(at);
	if (code)
		return fail_at_offset(c, at, describe(code));
	if (depth > SL_NODE_MAX_DEPTH || ++count > SL_NODE_MAX_NODES)
		return sl_fail_at(c.err, where.line, where.col, SL_TOO_COMPLEX,
						  depth > SL_NODE_MAX_DEPTH ? "rule document is nested deeper than %d levels"
													: "rule document has more than %d values",
						  depth > SL_NODE_MAX_DEPTH ? SL_NODE_MAX_DEPTH : SL_NODE_MAX_NODES);
	if (type == ondemand::json_type::object)
	{
		ondemand::object object;

		out = sl_node_new(c.arena, SL_MAP, where.line, where.col);
		if ((code = v.get_object().get(object)))
			return fail_at_offset(c, at, describe(code));
		for (auto result : object)
		{
			ondemand::field field;
			sl_node *child;
			sl_str key;
			int line,
				col;

			if ((code = std::move(result).get(field)))
				return fail_at_offset(c, at, describe(code));
			const char *raw = field.key().raw();

			where.to(raw - 1);
			line = where.line;
			col = where.col;
			if (!take_string(c, raw, key, nullptr))
				return false;
			if (!read_tree(c, where, field.value(), depth + 1, count, child) ||
				!sl_node_add_key(c.arena, out, key, line, col, child, c.err))
				return false;
			if (key.p == raw)
				out->entries[out->n - 1].text_col = col + 1;
		}
		return true;
	}
	if (type == ondemand::json_type::array)
	{
		ondemand::array array;

		out = sl_node_new(c.arena, SL_LIST, where.line, where.col);
		if ((code = v.get_array().get(array)))
			return fail_at_offset(c, at, describe(code));
		for (auto result : array)
		{
			ondemand::value item;
			sl_node *child;

			if ((code = std::move(result).get(item)))
				return fail_at_offset(c, at, describe(code));
			if (!read_tree(c, where, item, depth + 1, count, child))
				return false;
			sl_node_add(c.arena, out, sl_str{nullptr, 0}, child->line, child->col, child);
		}
		return true;
	}
	out = sl_node_new(c.arena, SL_SCALAR, where.line, where.col);
	if (!take_scalar(c, v, type, out->value, nullptr))
		return false;
	out->text = sl_value_text(c.arena, &out->value);
	/* without escapes it is a slice of the input */
	if (out->text.p == at + 1)
		out->text_col = out->col + 1;
	return true;
}

} /* namespace */

extern "C" bool
sl_read_json(const char *text, size_t n, sl_arena *arena, sl_documents *documents, sl_error *err)
{
	context c = {arena, err, nullptr, nullptr, 0, false};
	parser_lease parser;
	ondemand::document doc;
	ondemand::value root;
	const char *copy = padded(c, text, n, false);
	const char *at;
	place where = {copy, 1, 1};
	size_t count = 0;
	sl_node *tree = nullptr;
	error_code code;

	if (!parser)
		return sl_fail(err, "53200", "out of memory");
	code = parser->iterate(padded_string_view(copy, n, n + PADDING)).get(doc);
	if (!code)
		code = doc.get_value().get(root);
	if (code)
		return fail_at_offset(c, copy + n, describe(code));
	if (!read_tree(c, where, root, 1, count, tree))
		return false;
	if (!at_end(doc, at))
		return fail_at_offset(c, at, "something follows the value");
	sl_documents_add(arena, documents, tree);
	return true;
}
