/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints. They fire under the feed's lock, with interrupts off. Positions are
 * in frames since the stream was prepared, times in nanoseconds of CLOCK_MONOTONIC.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rtshm

#if !defined(_TRACE_RTSHM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_RTSHM_H

#include <linux/tracepoint.h>

/* A chunk was published: its first frame, when that is due, bytes written in all. */
TRACE_EVENT(rtshm_push,
	TP_PROTO(u32 card, u64 position, u32 frames, u64 time_stamp, u64 write_count),
	TP_ARGS(card, position, frames, time_stamp, write_count),
	TP_STRUCT__entry(
		__field(u64, position)
		__field(u64, time_stamp)
		__field(u64, write_count)
		__field(u32, card)
		__field(u32, frames)
	),
	TP_fast_assign(
		__entry->position = position;
		__entry->time_stamp = time_stamp;
		__entry->write_count = write_count;
		__entry->card = card;
		__entry->frames = frames;
	),
	TP_printk("card=%u position=%llu frames=%u time_stamp=%llu write_count=%llu",
		  __entry->card, __entry->position, __entry->frames,
		  __entry->time_stamp, __entry->write_count)
);

/* Frames did not fit. One LOST record tells what is lost in a row. */
TRACE_EVENT(rtshm_lost,
	TP_PROTO(u32 card, u64 position, u64 frames),
	TP_ARGS(card, position, frames),
	TP_STRUCT__entry(
		__field(u64, position)
		__field(u64, frames)
		__field(u32, card)
	),
	TP_fast_assign(
		__entry->position = position;
		__entry->frames = frames;
		__entry->card = card;
	),
	TP_printk("card=%u position=%llu frames=%llu",
		  __entry->card, __entry->position, __entry->frames)
);

/* The stream changed its state, whether there is a consumer or not. */
TRACE_EVENT(rtshm_state,
	TP_PROTO(u32 card, u32 state, u64 position, u64 time),
	TP_ARGS(card, state, position, time),
	TP_STRUCT__entry(
		__field(u64, position)
		__field(u64, time)
		__field(u32, card)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->position = position;
		__entry->time = time;
		__entry->card = card;
		__entry->state = state;
	),
	TP_printk("card=%u state=%s position=%llu time=%llu", __entry->card,
		  __print_symbolic(__entry->state,
				   { 1, "start" }, { 2, "pause" },
				   { 3, "resume" }, { 4, "stop" },
				   { 5, "drain" }, { 6, "xrun" },
				   { 7, "suspend" }),
		  __entry->position, __entry->time)
);

/* The card's clock changed its speed: ratio to the nominal rate times 2^32. */
TRACE_EVENT(rtshm_clock,
	TP_PROTO(u32 card, u64 ratio, u64 position),
	TP_ARGS(card, ratio, position),
	TP_STRUCT__entry(
		__field(u64, ratio)
		__field(u64, position)
		__field(u32, card)
	),
	TP_fast_assign(
		__entry->ratio = ratio;
		__entry->position = position;
		__entry->card = card;
	),
	TP_printk("card=%u ratio=%llu position=%llu",
		  __entry->card, __entry->ratio, __entry->position)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace_rtshm
#include <trace/define_trace.h>
