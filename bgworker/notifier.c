/*
 * notifier.c
 *	  Numbers changes of alerts, writes the feed, and NOTIFYs.
 *
 * It alone does, so that the numbers are dense and in the order of commits,
 * and nobody else waits for a counter or for NOTIFY's lock.  Changes that an
 * operator or a new alert made go at once; "updated" once a second.
 */
#include "worker.h"

#include "executor/spi.h"

/* ms */
#define UPDATED_EVERY 1000

static int64 updated_at;

static int
step(void)
{
	int64 now = sl_now_ms();
	bool with_updated = now - updated_at >= UPDATED_EVERY;
	bool isnull;
	int64 left;

	sl_begin();
	sl_execute(with_updated ? "SELECT * FROM stacklens_internal.publish(true)"
							: "SELECT * FROM stacklens_internal.publish(false)",
			   false);
	pg_atomic_fetch_add_u64(&sl_my_slot->records,
							DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)));
	left = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	sl_commit();
	if (with_updated)
		updated_at = now;
	/* what waits for its second is due when that is over */
	if (left > 0)
		return (int) Max(1, updated_at + UPDATED_EVERY - sl_now_ms());
	return 1000;
}

void
sl_notifier_main(Datum arg)
{
	sl_worker_start(arg, SL_NOTIFIER);
	sl_worker_run(step);
}
