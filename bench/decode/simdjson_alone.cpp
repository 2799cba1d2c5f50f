/*
 * simdjson_alone.cpp
 *	  All keys and values read through simdjson's on-demand reader, and nothing
 *	  made of them: what a decoder built on it can't beat.
 */
#include "bench.h"

#include <simdjson.h>

using namespace simdjson;

static uint64_t
walk(ondemand::value v)
{
	switch (v.type())
	{
		case ondemand::json_type::object:
		{
			uint64_t sum = 0;

			for (auto field : v.get_object())
			{
				std::string_view key = field.unescaped_key();

				sum += key.size() + walk(field.value());
			}
			return sum;
		}
		case ondemand::json_type::array:
		{
			uint64_t sum = 0;

			for (auto item : v.get_array())
				sum += walk(item.value());
			return sum;
		}
		case ondemand::json_type::string:
		{
			std::string_view s = v.get_string();

			return s.size() + (s.empty() ? 0 : (unsigned char) s[0]);
		}
		case ondemand::json_type::number:
		{
			ondemand::number number = v.get_number();

			return number.is_double() ? (uint64_t) number.get_double() : (uint64_t) number.get_int64();
		}
		case ondemand::json_type::boolean:
			return bool(v.get_bool());
		default:
			return v.is_null();
	}
}

/* data is readable for SIMDJSON_PADDING bytes past n. */
extern "C" uint64_t
read_simdjson(const char *data, size_t n)
{
	static ondemand::parser parser;
	ondemand::document doc = parser.iterate(padded_string_view(data, n, n + SIMDJSON_PADDING));
	uint64_t sum = 0;

	for (auto field : doc.get_object())
	{
		std::string_view key = field.unescaped_key();

		sum += key.size() + walk(field.value());
	}
	return sum;
}
