/*
 * watermark.c
 *	  How far a source has come in event time.
 */
#include "source/source.h"

#include <time.h>

int64
sl_watermark(int64 watermark, const sl_record *record, int64 now)
{
	int64 at = record->timestamp ? record->timestamp : record->observed;

	return Max(watermark, Min(at, now));
}

int64
sl_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64) t.tv_sec * 1000000000 + t.tv_nsec;
}
