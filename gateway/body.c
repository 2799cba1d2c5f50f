/*
 * body.c
 *	  Bytes of requests and answers: growing buffers, gzip, chunks, problems.
 */
#include "gateway.h"

#include <stdarg.h>
#include <stdio.h>
#include <zlib.h>

bool
bytes_add(bytes *b, const void *p, size_t n)
{
	if (b->n + n + 1 > b->cap)
	{
		size_t cap = b->cap ? b->cap : 256;
		char *grown;

		while (cap < b->n + n + 1)
			cap *= 2;
		grown = realloc(b->p, cap);
		if (!grown)
			return false;
		b->p = grown;
		b->cap = cap;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return true;
}

bool
bytes_addf(bytes *b, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return bytes_add(b, text, n < (int) sizeof(text) ? (size_t) n : sizeof(text) - 1);
}

/* s as a JSON string; s is UTF-8 from PostgreSQL or our own. */
void
bytes_json(bytes *b, const char *s)
{
	bytes_add(b, "\"", 1);
	for (; *s; s++)
	{
		if (*s == '"' || *s == '\\')
			bytes_addf(b, "\\%c", *s);
		else if ((unsigned char) *s < 0x20)
			bytes_addf(b, "\\u%04x", *s);
		else
			bytes_add(b, s, 1);
	}
	bytes_add(b, "\"", 1);
}

void
bytes_free(bytes *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

void
cut_utf8(char *text, size_t size)
{
	size_t n = strlen(text),
		   start = n;

	if (n + 1 < size)
		return;
	while (start > 0 && ((unsigned char) text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start > 0 && (unsigned char) text[start - 1] >= 0xC0)
		text[start - 1] = '\0';
}

bool
body_inflate(const char *p, size_t n, size_t limit, bytes *out, bool *too_large)
{
	z_stream z = {0};
	char chunk[65536];
	int result = Z_OK;

	*too_large = false;
	/* 32: gzip or zlib, told by the header */
	if (inflateInit2(&z, 15 + 32) != Z_OK)
		return false;
	z.next_in = (Bytef *) p;
	z.avail_in = (uInt) n;
	while (result == Z_OK)
	{
		z.next_out = (Bytef *) chunk;
		z.avail_out = sizeof(chunk);
		result = inflate(&z, Z_NO_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END)
			break;
		if (out->n + sizeof(chunk) - z.avail_out > limit)
		{
			*too_large = true;
			break;
		}
		if (!bytes_add(out, chunk, sizeof(chunk) - z.avail_out))
			break;
		if (result == Z_OK && z.avail_in == 0 && z.avail_out == sizeof(chunk))
			break; /* cut off */
		/* another member may follow; anything else is not gzip */
		if (result == Z_STREAM_END && z.avail_in > 0)
			result = inflateReset(&z);
	}
	inflateEnd(&z);
	return result == Z_STREAM_END && !*too_large;
}

enum
{
	SIZE,
	SIZE_REST,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	TRAILER_LINE,
	TRAILER_LF,
	DONE
};

int
chunked_take(chunked *c, const char *p, size_t n, bytes *out)
{
	for (size_t i = 0; i < n && c->state != DONE;)
	{
		char ch = p[i];

		switch (c->state)
		{
			case SIZE:
				i++;
				if (ch >= '0' && ch <= '9')
					c->left = c->left * 16 + (size_t) (ch - '0');
				else if ((ch | 32) >= 'a' && (ch | 32) <= 'f')
					c->left = c->left * 16 + (size_t) ((ch | 32) - 'a' + 10);
				else if (ch == '\n')
					c->state = c->left ? DATA : TRAILER;
				else if (ch == '\r' || ch == ';' || ch == ' ')
					c->state = SIZE_REST;
				else
					return -1;
				if (c->left > ((size_t) 1 << 40))
					return -1;
				break;
			case SIZE_REST:
				i++;
				if (ch == '\n')
					c->state = c->left ? DATA : TRAILER;
				break;
			case DATA:
			{
				size_t take = n - i < c->left ? n - i : c->left;

				if (!bytes_add(out, p + i, take))
					return -1;
				i += take;
				c->left -= take;
				if (c->left == 0)
					c->state = DATA_CR;
				break;
			}
			case DATA_CR:
				i++;
				if (ch == '\r')
					c->state = DATA_LF;
				else if (ch == '\n')
					c->state = SIZE;
				else
					return -1;
				break;
			case DATA_LF:
				i++;
				if (ch != '\n')
					return -1;
				c->state = SIZE;
				break;
			case TRAILER:
				i++;
				c->state = ch == '\n' ? DONE : ch == '\r' ? TRAILER_LF
														  : TRAILER_LINE;
				break;
			case TRAILER_LF:
				i++;
				if (ch != '\n')
					return -1;
				c->state = DONE;
				break;
			case TRAILER_LINE:
				i++;
				if (ch == '\n')
					c->state = TRAILER;
				break;
		}
	}
	return c->state == DONE;
}

const char *
status_text(int status)
{
	switch (status)
	{
		case 200:
			return "OK";
		case 202:
			return "Accepted";
		case 204:
			return "No Content";
		case 304:
			return "Not Modified";
		case 400:
			return "Bad Request";
		case 403:
			return "Forbidden";
		case 404:
			return "Not Found";
		case 405:
			return "Method Not Allowed";
		case 409:
			return "Conflict";
		case 413:
			return "Content Too Large";
		case 415:
			return "Unsupported Media Type";
		case 421:
			return "Misdirected Request";
		case 503:
			return "Service Unavailable";
		default:
			return "Internal Server Error";
	}
}

void
problem_body(bytes *out, int status, const char *detail, const char *hint, const char *sqlstate)
{
	bytes_addf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d", status_text(status), status);
	if (detail && *detail)
	{
		bytes_addf(out, ",\"detail\":");
		bytes_json(out, detail);
	}
	if (hint && *hint)
	{
		bytes_addf(out, ",\"hint\":");
		bytes_json(out, hint);
	}
	if (sqlstate && *sqlstate)
		bytes_addf(out, ",\"sqlstate\":\"%s\"", sqlstate);
	bytes_addf(out, "}\n");
}

static void
put_varint(bytes *out, uint64_t v)
{
	do
	{
		unsigned char b = (unsigned char) ((v & 0x7F) | (v > 0x7F ? 0x80 : 0));

		bytes_add(out, &b, 1);
		v >>= 7;
	} while (v);
}

static void
put_string_field(bytes *out, int field, const char *s, size_t n)
{
	put_varint(out, (uint64_t) field << 3 | 2);
	put_varint(out, n);
	bytes_add(out, s, n);
}

/* A google.rpc.Status. */
void
otlp_status_body(bytes *out, bool proto, int grpc_code, const char *message)
{
	if (proto)
	{
		put_varint(out, 1 << 3);
		put_varint(out, (uint64_t) grpc_code);
		put_string_field(out, 2, message, strlen(message));
		return;
	}
	bytes_addf(out, "{\"code\":%d,\"message\":", grpc_code);
	bytes_json(out, message);
	bytes_addf(out, "}\n");
}

/* An ExportLogsServiceResponse; a full success has no partial_success. */
void
otlp_response_body(bytes *out, bool proto, long rejected, const char *message)
{
	if (proto)
	{
		bytes partial = {0};

		if (rejected > 0)
		{
			put_varint(&partial, 1 << 3);
			put_varint(&partial, (uint64_t) rejected);
			put_string_field(&partial, 2, message, strlen(message));
			put_string_field(out, 1, partial.p, partial.n);
			bytes_free(&partial);
		}
		return;
	}
	if (rejected == 0)
	{
		bytes_addf(out, "{}");
		return;
	}
	bytes_addf(out, "{\"partialSuccess\":{\"rejectedLogRecords\":\"%ld\",\"errorMessage\":", rejected);
	bytes_json(out, message);
	bytes_addf(out, "}}");
}
