/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * rtshm: what applications play into the ALSA card "RtShm", in a ring in shared memory.
 *
 * The contract between the kernel module and its consumers, ABI version 1, for C11 and C++17. The
 * Rust crate rtshm-abi says the same; its tests hold the two together.
 *
 * The region behind /dev/rtshm, with P the page size and C the capacity, a power of two:
 *
 *	offset 0        +----------------------------+
 *	                | struct rtshm_producer_page |  read-only: the kernel writes
 *	offset P        +----------------------------+
 *	                | struct rtshm_consumer_page |  read-write: the consumer writes
 *	offset 2P       +----------------------------+
 *	                | ring, C bytes of records   |  read-only: the kernel writes
 *	offset 2P + C   +----------------------------+
 *	                | the same C bytes again     |  read-only
 *	offset 2P + 2C  +----------------------------+
 *
 * Each page and the ring with its repetition is a window of its own, to be mapped MAP_SHARED by a
 * call of its own. As the ring is there twice in a row, no record is ever split.
 *
 * write_count and read_count are free-running numbers of bytes. They wrap around at 2^64, so they
 * are subtracted and never compared, and masked with C - 1 to find a place in the ring. The bytes
 * from read_count up to write_count are the consumer's, whole records without a gap; all others are
 * the kernel's, which never waits: what does not fit is told in a record of kind RTSHM_LOST.
 *
 * Everything that a consumer must know is in the one ordered stream of records. It skips kinds and
 * ignores flags that it does not know, as well as bytes of a body behind those that it knows: that
 * is how version 1 grows.
 *
 * A complete consumer, which writes the samples to standard output:
 *
 *	#include <poll.h>
 *	#include <stdio.h>
 *	#include <fcntl.h>
 *	#include <sys/ioctl.h>
 *	#include <sys/mman.h>
 *	#include "rtshm.h"
 *
 *	static void *window(int fd, int rights, size_t len, size_t offset)
 *	{
 *		return mmap(NULL, len, rights, MAP_SHARED, fd, (off_t)offset);
 *	}
 *
 *	int main(void)
 *	{
 *		int fd = open("/dev/rtshm", O_RDWR | O_CLOEXEC);
 *		struct rtshm_info info;
 *
 *		if (fd < 0 || ioctl(fd, RTSHM_IOC_INFO, &info) < 0) {
 *			perror("/dev/rtshm");
 *			return 1;
 *		}
 *		if (info.abi_version != RTSHM_ABI_VERSION) {
 *			fprintf(stderr, "/dev/rtshm: ABI version %u\n", info.abi_version);
 *			return 1;
 *		}
 *
 *		size_t page = info.page_size, capacity = (size_t)info.capacity;
 *		void *first = window(fd, PROT_READ, page, 0);
 *		void *second = window(fd, PROT_READ | PROT_WRITE, page, page);
 *		void *ring = window(fd, PROT_READ, 2 * capacity, 2 * page);
 *
 *		if (first == MAP_FAILED || second == MAP_FAILED || ring == MAP_FAILED) {
 *			perror("mmap");
 *			return 1;
 *		}
 *
 *		struct rtshm_producer_page *producer = (struct rtshm_producer_page *)first;
 *		struct rtshm_consumer_page *consumer = (struct rtshm_consumer_page *)second;
 *		struct pollfd wait = { fd, POLLIN, 0 };
 *		__u64 read_count = consumer->read_count;
 *		__u32 channels = 0;
 *
 *		for (;;) {
 *			__u64 readable = rtshm_readable(producer, read_count);
 *
 *			if (readable == 0) {
 *				if (poll(&wait, 1, -1) < 0 || !(wait.revents & POLLIN))
 *					return 1;
 *				continue;
 *			}
 *			while (readable != 0) {
 *				const struct rtshm_header *record =
 *					rtshm_record(ring, capacity, read_count);
 *				__u64 len = rtshm_record_len(record);
 *
 *				if (record->kind == RTSHM_FORMAT) {
 *					channels = rtshm_as_format(record)->channels;
 *				} else if (record->kind == RTSHM_AUDIO) {
 *					fwrite(rtshm_samples(record), 4 * channels,
 *					       rtshm_as_audio(record)->frame_count, stdout);
 *				} else if (record->kind == RTSHM_LOST) {
 *					fprintf(stderr, "frames are missing at %llu\n",
 *						(unsigned long long)record->position);
 *				}
 *				readable -= len;
 *				read_count += len;
 *				rtshm_release(consumer, read_count);
 *			}
 *		}
 *	}
 */
#ifndef RTSHM_H
#define RTSHM_H

#include <assert.h>
#include <stddef.h>
#include <linux/ioctl.h>
#include <linux/types.h>

/* Version of everything in this file; a consumer refuses a region with another one. */
#define RTSHM_ABI_VERSION	1

/* Bounds of a ring's capacity, in bytes. */
#define RTSHM_CAPACITY_MIN	0x10000
#define RTSHM_CAPACITY_MAX	0x4000000

/* The speed of a clock that runs at its nominal rate: speeds are ratios to it times 2^32. */
#define RTSHM_CLOCK_NOMINAL	(1ULL << 32)

/* How far from RTSHM_CLOCK_NOMINAL a consumer can steer the clock: 1000 ppm. */
#define RTSHM_CLOCK_SPAN	(RTSHM_CLOCK_NOMINAL / 1000)

/*
 * Records start at multiples of this many bytes, so that two never share a cache line and the
 * samples of an RTSHM_AUDIO record start with one.
 */
#define RTSHM_RECORD_ALIGN	64

/* Most samples per frame. */
#define RTSHM_CHANNELS_MAX	64

/* Bytes of a record's header. */
#define RTSHM_HEADER_LEN	16

/* Bytes from the start of an RTSHM_AUDIO record to its first sample. */
#define RTSHM_AUDIO_OFFSET	64

/**
 * struct rtshm_counters - what the module has counted since it was loaded
 *
 * The kernel writes; each counter only grows, and is consistent by itself only.
 */
struct rtshm_counters {
	/** @chunks: RTSHM_AUDIO records written. */
	__aligned_u64 chunks;
	/** @frames: Frames inside them. */
	__aligned_u64 frames;
	/** @lost_frames: Frames that did not fit; RTSHM_LOST records tell which. */
	__aligned_u64 lost_frames;
	/** @lost_records: RTSHM_LOST records written. */
	__aligned_u64 lost_records;
	/** @streams: Streams started by applications. */
	__aligned_u64 streams;
	/** @xruns: Streams stopped because the application was late. */
	__aligned_u64 xruns;
	/** @faults: Consumers found faulty: their read_count was impossible. */
	__aligned_u64 faults;
	/** @wakeups: Times those who wait in poll() or epoll were woken. */
	__aligned_u64 wakeups;
};

/**
 * struct rtshm_stream - what the application plays; zero where there is no stream
 *
 * The kernel writes; each field is consistent by itself only. For display: what a consumer must
 * know in order it reads from the RTSHM_FORMAT and RTSHM_STATE records.
 */
struct rtshm_stream {
	/** @state: The last &enum rtshm_state, 0 before the first stream. */
	__u32 state;
	/** @rate: Frames per second. */
	__u32 rate;
	/** @channels: Samples per frame. */
	__u32 channels;
	/** @format: The application's sample format, an SNDRV_PCM_FORMAT_*. */
	__u32 format;
	/** @period_frames: The application's period in frames. */
	__u32 period_frames;
	/** @buffer_frames: The application's buffer in frames. */
	__u32 buffer_frames;
	/** @chunk_frames: Largest number of frames in an RTSHM_AUDIO record. */
	__u32 chunk_frames;
	/** @reserved: 0. */
	__u32 reserved;
};

/**
 * struct rtshm_producer_page - first page of the region
 *
 * The kernel writes, and never reads back what is here; read-only in user space.
 */
struct rtshm_producer_page {
	/** @abi_version: RTSHM_ABI_VERSION of the module; constant. */
	__u32 abi_version;
	/**
	 * @header_size: Size of this structure in the module, in bytes; a later version may append
	 * fields. Constant.
	 */
	__u32 header_size;
	/** @capacity: Size of the ring in bytes, a power of two of at least a page; constant. */
	__aligned_u64 capacity;
	/** @reserved0: 0. */
	__aligned_u64 reserved0[6];

	/**
	 * @write_count: Bytes ever written to the ring, free-running.
	 *
	 * The kernel stores it with release semantics after the records that it counts. User space
	 * must load it with acquire semantics (or issue a read barrier after the load) before it
	 * reads those records; rtshm_readable() does.
	 */
	__aligned_u64 write_count;
	/** @reserved1: 0; keeps what changes at each record on a cache line of its own. */
	__aligned_u64 reserved1[7];

	/** @counters: What the module has counted. */
	struct rtshm_counters counters;
	/** @stream: The stream as it is now. */
	struct rtshm_stream stream;

	/**
	 * @clock_ratio: The speed at which the card's clock runs, as a ratio to the nominal rate
	 * times 2^32; 0 while it stands still.
	 */
	__aligned_u64 clock_ratio;
	/** @reserved2: 0. */
	__aligned_u64 reserved2[3];
} __attribute__((aligned(64)));

/**
 * struct rtshm_consumer_page - second page of the region
 *
 * The consumer writes; the kernel reads it and never trusts it.
 */
struct rtshm_consumer_page {
	/**
	 * @read_count: Bytes ever read from the ring, free-running like write_count.
	 *
	 * User space must store it with release semantics (or issue a full barrier before the
	 * store) after its last read of the bytes that it gives back, since the kernel overwrites
	 * them; rtshm_release() does.
	 *
	 * The kernel looks at it when the ring seems full and at each poll(). It accepts a value
	 * that is not behind the last one accepted and does not pass write_count. Any other marks
	 * the consumer faulty: until it closes the device nothing more is written for it, and
	 * poll() reports an error.
	 */
	__aligned_u64 read_count;
	/** @reserved0: Leave at 0. */
	__aligned_u64 reserved0[7];

	/**
	 * @wake_bytes: Unread bytes at which poll() reports audio as readable; 0 and 1 mean any.
	 *
	 * Read by the kernel at each poll(): a plain store before the call is enough. Taken as half
	 * the capacity if larger. A record of another kind than RTSHM_AUDIO is reported at once.
	 */
	__u32 wake_bytes;
	/** @reserved1: Leave at 0. */
	__u32 reserved1;
	/**
	 * @rate_request: The speed at which the card's clock is to run, as a ratio to the nominal
	 * rate times 2^32 (RTSHM_CLOCK_NOMINAL); 0 is no request.
	 *
	 * The kernel reads it at times of its own, so it is to be stored in one piece;
	 * rtshm_request_rate() does. It is taken as at most RTSHM_CLOCK_SPAN from nominal, and
	 * obeyed while the mixer's clock source is the consumer.
	 */
	__aligned_u64 rate_request;
	/** @reserved2: Leave at 0. */
	__aligned_u64 reserved2[6];
} __attribute__((aligned(64)));

/**
 * enum rtshm_kind - what a record is
 * @RTSHM_AUDIO: A &struct rtshm_audio_chunk and its samples.
 * @RTSHM_FORMAT: A &struct rtshm_format.
 * @RTSHM_STATE: A &struct rtshm_state_change.
 * @RTSHM_LOST: A &struct rtshm_lost.
 * @RTSHM_VOLUME: A &struct rtshm_volume.
 */
enum rtshm_kind {
	RTSHM_AUDIO	= 1,
	RTSHM_FORMAT	= 2,
	RTSHM_STATE	= 3,
	RTSHM_LOST	= 4,
	RTSHM_VOLUME	= 5,
};

/*
 * In the flags of an RTSHM_FORMAT, RTSHM_STATE or RTSHM_VOLUME record that describes what is already
 * so: the consumer has just attached, or the ring was too full for what led here.
 */
#define RTSHM_RESYNC		(1 << 0)

/*
 * In the flags of an RTSHM_LOST record whose frames may belong to more than one stream; its
 * position is that of the first of them.
 */
#define RTSHM_SPANS_STREAMS	(1 << 1)

/* Bounds of the gain in an RTSHM_VOLUME record, in hundredths of a decibel. */
#define RTSHM_GAIN_MIN		(-10000)
#define RTSHM_GAIN_MAX		0

/**
 * struct rtshm_header - how every record starts
 *
 * The kernel writes, in the machine's byte order. The body follows, then padding up to a multiple
 * of RTSHM_RECORD_ALIGN, whose content is unspecified; the next record starts after
 * rtshm_record_len() bytes.
 */
struct rtshm_header {
	/** @size: Bytes of the body, without this header and without the padding. */
	__u32 size;
	/** @kind: An &enum rtshm_kind; others are to be skipped. */
	__u16 kind;
	/** @flags: RTSHM_RESYNC, RTSHM_SPANS_STREAMS; others are to be ignored. */
	__u16 flags;
	/** @position: Frames since the stream was prepared. */
	__aligned_u64 position;
};

/**
 * struct rtshm_audio_chunk - how the body of an RTSHM_AUDIO record starts
 *
 * frame_count times channels native float samples follow, interleaved, at unity whatever the mixer
 * says; rtshm_samples() points to them. They are not a flexible array member, which C++ has not.
 */
struct rtshm_audio_chunk {
	/** @frame_count: Frames in this chunk. */
	__u32 frame_count;
	/** @reserved: 0. */
	__u32 reserved;
	/** @time_stamp: When the first is due at the card: CLOCK_MONOTONIC, nanoseconds. */
	__aligned_u64 time_stamp;
	/** @reserved2: 0. */
	__aligned_u64 reserved2[4];
};

/**
 * struct rtshm_format - the body of an RTSHM_FORMAT record: what the chunks after it look like
 */
struct rtshm_format {
	/** @rate: Frames per second. */
	__u32 rate;
	/** @channels: Samples per frame, 1 to RTSHM_CHANNELS_MAX. */
	__u32 channels;
	/** @format: The application's SNDRV_PCM_FORMAT_*; the chunks are float always. */
	__u32 format;
	/** @period_frames: The application's period in frames. */
	__u32 period_frames;
	/** @buffer_frames: The application's buffer in frames. */
	__u32 buffer_frames;
	/** @chunk_frames: Largest number of frames in a chunk. */
	__u32 chunk_frames;
	/** @reserved: 0. */
	__u32 reserved[2];
};

/**
 * enum rtshm_state - what happened to the stream
 * @RTSHM_STATE_START: It plays, from the record's position on.
 * @RTSHM_STATE_PAUSE: It stands still.
 * @RTSHM_STATE_RESUME: It plays again.
 * @RTSHM_STATE_STOP: It ended: all was played, or the application stopped it.
 * @RTSHM_STATE_DRAIN: The application has written its last frame; what is buffered still plays.
 * @RTSHM_STATE_XRUN: It ended because the application was late.
 * @RTSHM_STATE_SUSPEND: The machine suspends: it stands still, and plays again (RTSHM_STATE_RESUME)
 *	or ends (RTSHM_STATE_STOP).
 */
enum rtshm_state {
	RTSHM_STATE_START	= 1,
	RTSHM_STATE_PAUSE	= 2,
	RTSHM_STATE_RESUME	= 3,
	RTSHM_STATE_STOP	= 4,
	RTSHM_STATE_DRAIN	= 5,
	RTSHM_STATE_XRUN	= 6,
	RTSHM_STATE_SUSPEND	= 7,
};

/**
 * struct rtshm_state_change - the body of an RTSHM_STATE record
 */
struct rtshm_state_change {
	/** @state: An &enum rtshm_state. */
	__u32 state;
	/** @reserved: 0. */
	__u32 reserved;
	/** @time_stamp: When: CLOCK_MONOTONIC, nanoseconds. */
	__aligned_u64 time_stamp;
};

/**
 * struct rtshm_lost - the body of an RTSHM_LOST record: frames that the card consumed and that did
 * not fit
 */
struct rtshm_lost {
	/** @frames: How many, from the record's position on. */
	__aligned_u64 frames;
	/** @time_stamp: When the first was due at the card: CLOCK_MONOTONIC, nanoseconds. */
	__aligned_u64 time_stamp;
};

/**
 * struct rtshm_volume - the body of an RTSHM_VOLUME record: what the mixer says
 *
 * The samples are at unity all the same; whoever makes them heard applies it to those behind this
 * record.
 */
struct rtshm_volume {
	/**
	 * @gain: The Master Playback Volume in hundredths of a decibel, RTSHM_GAIN_MIN to
	 * RTSHM_GAIN_MAX.
	 */
	__s32 gain;
	/** @on: The Master Playback Switch: 1 is on, 0 is muted. */
	__u32 on;
	/**
	 * @time_stamp: When it became so: CLOCK_MONOTONIC, nanoseconds; 0 where it never was
	 * otherwise.
	 */
	__aligned_u64 time_stamp;
};

/**
 * struct rtshm_info - what a device is: constant while the module is loaded
 */
struct rtshm_info {
	/** @abi_version: RTSHM_ABI_VERSION of the module. */
	__u32 abi_version;
	/** @page_size: Bytes in a page of this machine: where the windows of the region start. */
	__u32 page_size;
	/** @capacity: Bytes in the ring. */
	__aligned_u64 capacity;
	/** @region_len: Bytes in the whole region. */
	__aligned_u64 region_len;
	/** @card: Index of the ALSA card, as in hw:N. */
	__u32 card;
	/** @reserved: 0. */
	__u32 reserved;
	/** @card_id: Id of the ALSA card, as in hw:ID, NUL-padded. */
	__u8 card_id[16];
	/** @module_version: Version of the module, NUL-padded. */
	__u8 module_version[16];
};

/**
 * struct rtshm_status - how a device does
 */
struct rtshm_status {
	/** @state: The last &enum rtshm_state, 0 before the first stream. */
	__u32 state;
	/** @consumer_pid: Process that has the device open read-write, 0 where there is none. */
	__u32 consumer_pid;
	/** @rate: Frames per second; 0, like the next five, before the first stream. */
	__u32 rate;
	/** @channels: Samples per frame. */
	__u32 channels;
	/** @format: The application's sample format, an SNDRV_PCM_FORMAT_*. */
	__u32 format;
	/** @period_frames: The application's period in frames. */
	__u32 period_frames;
	/** @buffer_frames: The application's buffer in frames. */
	__u32 buffer_frames;
	/** @chunk_frames: Largest number of frames in a chunk. */
	__u32 chunk_frames;
	/** @write_count: Bytes ever written for this consumer. */
	__aligned_u64 write_count;
	/** @read_count: Bytes it has read, as it says itself. */
	__aligned_u64 read_count;
	/** @chunks: RTSHM_AUDIO records written; the rest is as in &struct rtshm_counters. */
	__aligned_u64 chunks;
	/** @frames: Frames inside them. */
	__aligned_u64 frames;
	/** @lost_frames: Frames that did not fit; RTSHM_LOST records tell which. */
	__aligned_u64 lost_frames;
	/** @lost_records: RTSHM_LOST records written. */
	__aligned_u64 lost_records;
	/** @streams: Streams started by applications. */
	__aligned_u64 streams;
	/** @xruns: Streams stopped because the application was late. */
	__aligned_u64 xruns;
	/** @faults: Consumers found faulty. */
	__aligned_u64 faults;
	/** @wakeups: Times those who wait in poll() or epoll were woken. */
	__aligned_u64 wakeups;
	/**
	 * @clock_ratio: The speed at which the card's clock runs, as a ratio to the nominal rate
	 * times 2^32; 0 while it stands still.
	 */
	__aligned_u64 clock_ratio;
	/** @volume_gain: The Master Playback Volume in hundredths of a decibel. */
	__s32 volume_gain;
	/** @volume_on: The Master Playback Switch: 1 is on, 0 is muted. */
	__u32 volume_on;
};

/* The ioctls only read; they work on any open file, with or without a consumer. */
#define RTSHM_IOC_MAGIC		0xD7
#define RTSHM_IOC_INFO		_IOR(RTSHM_IOC_MAGIC, 0, struct rtshm_info)
#define RTSHM_IOC_STATUS	_IOR(RTSHM_IOC_MAGIC, 1, struct rtshm_status)

static_assert(sizeof(struct rtshm_counters) == 64, "rtshm_counters");
static_assert(sizeof(struct rtshm_stream) == 32, "rtshm_stream");
static_assert(sizeof(struct rtshm_producer_page) == 256, "rtshm_producer_page");
static_assert(offsetof(struct rtshm_producer_page, write_count) == 64, "write_count");
static_assert(offsetof(struct rtshm_producer_page, counters) == 128, "counters");
static_assert(offsetof(struct rtshm_producer_page, clock_ratio) == 224, "clock_ratio");
static_assert(sizeof(struct rtshm_consumer_page) == 128, "rtshm_consumer_page");
static_assert(offsetof(struct rtshm_consumer_page, wake_bytes) == 64, "wake_bytes");
static_assert(offsetof(struct rtshm_consumer_page, rate_request) == 72, "rate_request");
static_assert(sizeof(struct rtshm_header) == RTSHM_HEADER_LEN, "rtshm_header");
static_assert(sizeof(struct rtshm_audio_chunk) == RTSHM_AUDIO_OFFSET - RTSHM_HEADER_LEN,
	      "rtshm_audio_chunk");
static_assert(sizeof(struct rtshm_format) == 32, "rtshm_format");
static_assert(sizeof(struct rtshm_state_change) == 16, "rtshm_state_change");
static_assert(sizeof(struct rtshm_lost) == 16, "rtshm_lost");
static_assert(sizeof(struct rtshm_volume) == 16, "rtshm_volume");
static_assert(sizeof(struct rtshm_info) == 64, "rtshm_info");
static_assert(sizeof(struct rtshm_status) == 128, "rtshm_status");

/**
 * rtshm_readable() - bytes of records that may be read now
 * @producer: The producer page.
 * @read_count: What the consumer last released, or the page's read_count at the start.
 *
 * Acquire: what follows in program order sees the records as they were written.
 *
 * Return: A number of bytes that ends with a record; never more than the capacity.
 */
static inline __u64 rtshm_readable(const struct rtshm_producer_page *producer, __u64 read_count)
{
	return __atomic_load_n(&producer->write_count, __ATOMIC_ACQUIRE) - read_count;
}

/**
 * rtshm_record() - the record at a count
 * @ring: The ring's window.
 * @capacity: Bytes in the ring.
 * @read_count: A count at which a record starts that rtshm_readable() has reported.
 *
 * Return: Its header; all of the record lies in one piece behind it.
 */
static inline const struct rtshm_header *rtshm_record(const void *ring, __u64 capacity,
						      __u64 read_count)
{
	size_t offset = (size_t)(read_count & (capacity - 1));

	return (const struct rtshm_header *)((const unsigned char *)ring + offset);
}

/**
 * rtshm_record_len() - bytes in the ring that a record takes
 * @record: Its header.
 *
 * Return: From the start of this record to that of the next; never 0.
 */
static inline __u64 rtshm_record_len(const struct rtshm_header *record)
{
	__u64 end = (__u64)record->size + RTSHM_HEADER_LEN + (RTSHM_RECORD_ALIGN - 1);

	return end & ~(__u64)(RTSHM_RECORD_ALIGN - 1);
}

/**
 * rtshm_release() - give records back to the kernel, which overwrites them
 * @consumer: The consumer page.
 * @read_count: The count at which the first record starts that is still wanted; at most what
 *		rtshm_readable() has reported beyond the last.
 *
 * Release: what precedes in program order has read the records before they are overwritten.
 */
static inline void rtshm_release(struct rtshm_consumer_page *consumer, __u64 read_count)
{
	__atomic_store_n(&consumer->read_count, read_count, __ATOMIC_RELEASE);
}

/**
 * rtshm_request_rate() - ask the kernel to run the card's clock at another speed
 * @consumer: The consumer page.
 * @ratio: The ratio to the nominal rate times 2^32, or 0 for no request.
 */
static inline void rtshm_request_rate(struct rtshm_consumer_page *consumer, __u64 ratio)
{
	__atomic_store_n(&consumer->rate_request, ratio, __ATOMIC_RELAXED);
}

/**
 * rtshm_as_audio() - the body of an RTSHM_AUDIO record
 * @record: Its header.
 *
 * Return: The chunk, in place.
 */
static inline const struct rtshm_audio_chunk *rtshm_as_audio(const struct rtshm_header *record)
{
	return (const struct rtshm_audio_chunk *)(record + 1);
}

/**
 * rtshm_samples() - the samples of an RTSHM_AUDIO record
 * @record: Its header.
 *
 * Return: The samples, in place: frame_count times the channels of the last RTSHM_FORMAT.
 */
static inline const float *rtshm_samples(const struct rtshm_header *record)
{
	return (const float *)(rtshm_as_audio(record) + 1);
}

/**
 * rtshm_as_format() - the body of an RTSHM_FORMAT record
 * @record: Its header.
 *
 * Return: The format, in place.
 */
static inline const struct rtshm_format *rtshm_as_format(const struct rtshm_header *record)
{
	return (const struct rtshm_format *)(record + 1);
}

/**
 * rtshm_as_state() - the body of an RTSHM_STATE record
 * @record: Its header.
 *
 * Return: The change of state, in place.
 */
static inline const struct rtshm_state_change *rtshm_as_state(const struct rtshm_header *record)
{
	return (const struct rtshm_state_change *)(record + 1);
}

/**
 * rtshm_as_lost() - the body of an RTSHM_LOST record
 * @record: Its header.
 *
 * Return: The loss, in place.
 */
static inline const struct rtshm_lost *rtshm_as_lost(const struct rtshm_header *record)
{
	return (const struct rtshm_lost *)(record + 1);
}

/**
 * rtshm_as_volume() - the body of an RTSHM_VOLUME record
 * @record: Its header.
 *
 * Return: The volume, in place.
 */
static inline const struct rtshm_volume *rtshm_as_volume(const struct rtshm_header *record)
{
	return (const struct rtshm_volume *)(record + 1);
}

#endif /* RTSHM_H */
