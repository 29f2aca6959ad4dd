// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A consumer in C11: writes what applications play into the card to standard output, as raw
 * interleaved float32, and what happens to standard error.
 *
 *	cc -std=c11 -O2 -I abi -o consumer userspace/examples/consumer.c
 *	./consumer [--once] [DEVICE] > sound.f32
 *
 * It ends at SIGINT or SIGTERM, when it has written what was played until then, and with --once at
 * the end of the first stream.  Frames that were lost are written as silence, so that what follows
 * stays where it was.  The exit status is 1 where something went wrong.
 */
#define _DEFAULT_SOURCE		/* POSIX, which C11 leaves out */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "rtshm.h"

struct consumer {
	int fd;
	const struct rtshm_producer_page *producer;
	struct rtshm_consumer_page *page;
	const void *ring;
	size_t capacity;
	__u64 read_count;
	__u32 channels;		/* 0 before the first format */
	bool once;		/* whether one stream is enough */
	bool done;		/* whether it has ended then */
};

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Opens the device, or the first that there is and that nobody reads. */
static int open_device(const char *path)
{
	char name[sizeof("/dev/rtshm7")] = "/dev/rtshm";
	int fd, error = ENOENT;

	if (path) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fail(path);
		return fd;
	}
	for (int index = 0; index < 8; index++) {
		if (index)
			snprintf(name, sizeof(name), "/dev/rtshm%d", index);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			error = errno;
	}
	errno = error;
	fail("/dev/rtshm");
	return -1;
}

static void *window(int fd, int rights, size_t len, size_t offset)
{
	void *start = mmap(NULL, len, rights, MAP_SHARED, fd, (off_t)offset);

	if (start == MAP_FAILED)
		fail("mmap");
	return start;
}

static void attach(struct consumer *consumer, const char *path)
{
	struct rtshm_info info;
	size_t page;

	consumer->fd = open_device(path);
	if (ioctl(consumer->fd, RTSHM_IOC_INFO, &info) < 0)
		fail("RTSHM_IOC_INFO");
	if (info.abi_version != RTSHM_ABI_VERSION) {
		fprintf(stderr, "the module speaks ABI version %u\n", info.abi_version);
		exit(1);
	}
	page = info.page_size;
	consumer->capacity = (size_t)info.capacity;
	consumer->producer = window(consumer->fd, PROT_READ, page, 0);
	consumer->page = window(consumer->fd, PROT_READ | PROT_WRITE, page, page);
	consumer->ring = window(consumer->fd, PROT_READ, 2 * consumer->capacity, 2 * page);
	consumer->read_count = consumer->page->read_count;
}

static void write_silence(__u64 samples)
{
	static const float silence[1024];

	while (samples) {
		size_t part = samples < 1024 ? (size_t)samples : 1024;

		fwrite(silence, sizeof(float), part, stdout);
		samples -= part;
	}
}

static void handle(struct consumer *consumer, const struct rtshm_header *record)
{
	static const char *const states[] = {
		[RTSHM_STATE_START] = "start", [RTSHM_STATE_PAUSE] = "pause",
		[RTSHM_STATE_RESUME] = "resume", [RTSHM_STATE_STOP] = "stop",
		[RTSHM_STATE_DRAIN] = "drain", [RTSHM_STATE_XRUN] = "xrun",
		[RTSHM_STATE_SUSPEND] = "suspend",
	};
	unsigned long long position = record->position;

	switch (record->kind) {
	case RTSHM_AUDIO: {
		size_t samples = (size_t)rtshm_as_audio(record)->frame_count * consumer->channels;

		fwrite(rtshm_samples(record), sizeof(float), samples, stdout);
		break;
	}
	case RTSHM_FORMAT: {
		const struct rtshm_format *format = rtshm_as_format(record);

		consumer->channels = format->channels;
		fprintf(stderr, "%llu: %u Hz, %u channels\n", position, format->rate,
			format->channels);
		break;
	}
	case RTSHM_STATE: {
		__u32 state = rtshm_as_state(record)->state;

		if (state < sizeof(states) / sizeof(*states) && states[state])
			fprintf(stderr, "%llu: %s\n", position, states[state]);
		if (state == RTSHM_STATE_STOP || state == RTSHM_STATE_XRUN)
			consumer->done = consumer->once;
		break;
	}
	case RTSHM_LOST: {
		__u64 frames = rtshm_as_lost(record)->frames;

		fprintf(stderr, "%llu: %llu frames lost\n", position, (unsigned long long)frames);
		/* Of several streams, nobody knows with how many channels each. */
		if (!(record->flags & RTSHM_SPANS_STREAMS))
			write_silence(frames * consumer->channels);
		break;
	}
	case RTSHM_VOLUME: {
		const struct rtshm_volume *volume = rtshm_as_volume(record);

		fprintf(stderr, "%llu: volume %.2f dB%s\n", position, volume->gain / 100.0,
			volume->on ? "" : ", muted");
		break;
	}
	default:
		/* A later module's. */
		break;
	}
}

/* Handles all records that there are now, in place, and gives each back. */
static void drain(struct consumer *consumer)
{
	__u64 readable = rtshm_readable(consumer->producer, consumer->read_count);

	while (readable && !consumer->done) {
		const struct rtshm_header *record =
			rtshm_record(consumer->ring, consumer->capacity, consumer->read_count);
		__u64 len = rtshm_record_len(record);

		handle(consumer, record);
		readable -= len;
		consumer->read_count += len;
		/* From here on the record is the kernel's. */
		rtshm_release(consumer->page, consumer->read_count);
	}
	if (ferror(stdout))
		fail("standard output");
}

/* Sleeps until there is something to read, a signal, or the time is over; whether it is a signal. */
static bool wait_for_records(const struct consumer *consumer, int signals, int timeout)
{
	struct pollfd fds[] = {
		{ .fd = consumer->fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	if (poll(fds, 2, timeout) < 0 && errno != EINTR)
		fail("poll");
	if (fds[0].revents & POLLERR) {
		fputs("the kernel has found this consumer faulty\n", stderr);
		exit(1);
	}
	/* With POLLIN, there still is something to read. */
	if (fds[0].revents && !(fds[0].revents & POLLIN)) {
		fputs("the card was taken away\n", stderr);
		exit(1);
	}
	return fds[1].revents != 0;
}

int main(int argc, char **argv)
{
	bool once = argc > 1 && !strcmp(argv[1], "--once");
	const char *path = argc > 1 + once ? argv[1 + once] : NULL;
	struct consumer consumer = { .once = once };
	sigset_t stop;
	int signals;

	if (argc > 2 + once || (path && *path == '-')) {
		fprintf(stderr, "Usage: %s [--once] [DEVICE] > FILE\n", argv[0]);
		return 1;
	}

	/* Signals come as something else to read. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	signals = signalfd(-1, &stop, SFD_CLOEXEC);
	if (signals < 0)
		fail("signalfd");

	attach(&consumer, path);
	for (bool told_to_stop = false; !told_to_stop && !consumer.done; ) {
		told_to_stop = wait_for_records(&consumer, signals, -1);
		drain(&consumer);
	}
	/* What the kernel has kept because the ring was full it writes when it is polled. */
	if (!consumer.done) {
		wait_for_records(&consumer, signals, 0);
		drain(&consumer);
	}
	if (fflush(stdout))
		fail("standard output");
	return 0;
}
