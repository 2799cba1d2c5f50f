/*
 * bench.h
 *	  One JSON log and one OTLP log, and the readers that are compared on them.
 *	  Each reads one message once and returns something that depends on all of
 *	  it, so that nothing is optimised away.
 */
#ifndef SL_BENCH_H
#define SL_BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

	extern uint64_t read_simdjson(const char *data, size_t n);

#ifdef __cplusplus
}
#endif
#endif /* SL_BENCH_H */
