// SPDX-License-Identifier: MIT OR GPL-2.0
//
// A consumer in C++17: writes what applications play into the card to standard output, as raw
// interleaved float32, and what happens to standard error.
//
//	c++ -std=c++17 -O2 -I abi -o consumer userspace/examples/consumer.cc
//	./consumer [--once] [DEVICE] > sound.f32
//
// It ends at SIGINT or SIGTERM, when it has written what was played until then, and with --once at
// the end of the first stream. Frames that were lost are written as silence, so that what follows
// stays where it was. The exit status is 1 where something went wrong.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "rtshm.h"

namespace {

std::system_error failure(const std::string &what)
{
	return {errno, std::generic_category(), what};
}

// An open file, or why it is not.
class File {
public:
	File(int fd, const std::string &name) : fd_(fd)
	{
		if (fd_ < 0)
			throw failure(name);
	}
	File(File &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	~File()
	{
		if (fd_ >= 0)
			close(fd_);
	}

	int fd() const { return fd_; }

private:
	int fd_;
};

// An open device.
class Device {
public:
	explicit Device(const std::string &path)
		: file_(open(path.c_str(), O_RDWR | O_CLOEXEC), path)
	{
	}

	// The first that there is and that nobody reads.
	static Device first()
	{
		for (int index = 0; index < 8; index++) {
			try {
				return Device("/dev/rtshm" + (index ? std::to_string(index) : ""));
			} catch (const std::system_error &error) {
				if (error.code() != std::errc::no_such_file_or_directory &&
				    error.code() != std::errc::device_or_resource_busy)
					throw;
			}
		}
		throw std::runtime_error("no /dev/rtshm that nobody reads");
	}

	int fd() const { return file_.fd(); }

	rtshm_info info() const
	{
		rtshm_info info;

		if (ioctl(fd(), RTSHM_IOC_INFO, &info) < 0)
			throw failure("RTSHM_IOC_INFO");
		if (info.abi_version != RTSHM_ABI_VERSION)
			throw std::runtime_error("the module speaks ABI version " +
						 std::to_string(info.abi_version));
		return info;
	}

private:
	File file_;
};

// A window of the region, mapped.
class Window {
public:
	Window(const Device &device, int rights, std::size_t len, std::size_t offset)
		: start_(mmap(nullptr, len, rights, MAP_SHARED, device.fd(),
			      static_cast<off_t>(offset))),
		  len_(len)
	{
		if (start_ == MAP_FAILED)
			throw failure("mmap");
	}
	Window(const Window &) = delete;
	Window &operator=(const Window &) = delete;
	~Window() { munmap(start_, len_); }

	void *start() const { return start_; }

private:
	void *start_;
	std::size_t len_;
};

class Consumer {
public:
	explicit Consumer(Device device) : Consumer(device.info(), std::move(device)) {}

	// Sleeps until there is something to pop or to read from other, or the time is over; returns
	// whether it is the other.
	bool wait(const File &other, int timeout) const
	{
		pollfd fds[] = {{device_.fd(), POLLIN, 0}, {other.fd(), POLLIN, 0}};

		if (poll(fds, 2, timeout) < 0 && errno != EINTR)
			throw failure("poll");
		if (fds[0].revents & POLLERR)
			throw std::runtime_error("the kernel has found this consumer faulty");
		// With POLLIN, there still is something to pop.
		if (fds[0].revents && !(fds[0].revents & POLLIN))
			throw std::runtime_error("the card was taken away");
		return fds[1].revents != 0;
	}

	// Calls handle(record) with each record that there is now, in place, and gives it back, until
	// it returns false.
	template <typename Handle> void pop(Handle handle)
	{
		__u64 readable = rtshm_readable(producer(), read_count_);

		for (bool more = true; readable && more;) {
			const rtshm_header *record =
				rtshm_record(ring_.start(), capacity_, read_count_);
			__u64 len = rtshm_record_len(record);

			more = handle(*record);
			readable -= len;
			read_count_ += len;
			// From here on the record is the kernel's.
			rtshm_release(page(), read_count_);
		}
	}

private:
	Consumer(const rtshm_info &info, Device &&device)
		: device_(std::move(device)), capacity_(info.capacity),
		  first_(device_, PROT_READ, info.page_size, 0),
		  second_(device_, PROT_READ | PROT_WRITE, info.page_size, info.page_size),
		  ring_(device_, PROT_READ, 2 * info.capacity, 2 * std::size_t{info.page_size}),
		  read_count_(page()->read_count)
	{
	}

	const rtshm_producer_page *producer() const
	{
		return static_cast<const rtshm_producer_page *>(first_.start());
	}

	rtshm_consumer_page *page() const
	{
		return static_cast<rtshm_consumer_page *>(second_.start());
	}

	Device device_;
	__u64 capacity_;
	Window first_, second_, ring_;
	__u64 read_count_;
};

// What becomes of the records.
class Recorder {
public:
	explicit Recorder(bool once) : once_(once) {}

	bool is_done() const { return done_; }

	// Returns whether there is more to come.
	bool take(const rtshm_header &record)
	{
		unsigned long long position = record.position;

		switch (record.kind) {
		case RTSHM_AUDIO:
			write(rtshm_samples(&record),
			      std::size_t{rtshm_as_audio(&record)->frame_count} * channels_);
			break;
		case RTSHM_FORMAT: {
			const rtshm_format &format = *rtshm_as_format(&record);

			channels_ = format.channels;
			std::fprintf(stderr, "%llu: %u Hz, %u channels\n", position, format.rate,
				     format.channels);
			break;
		}
		case RTSHM_STATE: {
			__u32 state = rtshm_as_state(&record)->state;

			std::fprintf(stderr, "%llu: %s\n", position, name(state));
			if (state == RTSHM_STATE_STOP || state == RTSHM_STATE_XRUN)
				done_ = once_;
			break;
		}
		case RTSHM_LOST: {
			unsigned long long frames = rtshm_as_lost(&record)->frames;

			std::fprintf(stderr, "%llu: %llu frames lost\n", position, frames);
			// Of several streams, nobody knows with how many channels each.
			if (!(record.flags & RTSHM_SPANS_STREAMS))
				write_silence(frames);
			break;
		}
		case RTSHM_VOLUME: {
			const rtshm_volume &volume = *rtshm_as_volume(&record);

			std::fprintf(stderr, "%llu: volume %.2f dB%s\n", position,
				     volume.gain / 100.0, volume.on ? "" : ", muted");
			break;
		}
		default:
			// A later module's.
			break;
		}
		return !done_;
	}

	void flush() const
	{
		if (std::fflush(stdout))
			throw failure("standard output");
	}

private:
	static const char *name(__u32 state)
	{
		switch (state) {
		case RTSHM_STATE_START: return "start";
		case RTSHM_STATE_PAUSE: return "pause";
		case RTSHM_STATE_RESUME: return "resume";
		case RTSHM_STATE_STOP: return "stop";
		case RTSHM_STATE_DRAIN: return "drain";
		case RTSHM_STATE_XRUN: return "xrun";
		case RTSHM_STATE_SUSPEND: return "suspend";
		default: return "a state of a later module";
		}
	}

	static void write(const float *samples, std::size_t count)
	{
		if (std::fwrite(samples, sizeof(float), count, stdout) != count)
			throw failure("standard output");
	}

	void write_silence(unsigned long long frames) const
	{
		const std::vector<float> frame(channels_);

		for (; frames; frames--)
			write(frame.data(), frame.size());
	}

	bool once_;
	bool done_ = false;
	// 0 before the first format.
	__u32 channels_ = 0;
};

// Signals as something to read.
File signals_to_stop()
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, nullptr);
	return {signalfd(-1, &stop, SFD_CLOEXEC), "signalfd"};
}

void run(Consumer &consumer, bool once)
{
	const File signals = signals_to_stop();
	Recorder recorder(once);
	auto take = [&](const rtshm_header &record) { return recorder.take(record); };

	for (bool told_to_stop = false; !told_to_stop && !recorder.is_done();) {
		told_to_stop = consumer.wait(signals, -1);
		consumer.pop(take);
	}
	if (!recorder.is_done()) {
		// What the kernel has kept because the ring was full it writes when it is polled.
		consumer.wait(signals, 0);
		consumer.pop(take);
	}
	recorder.flush();
}

} // namespace

int main(int argc, char **argv)
{
	const std::vector<std::string_view> arguments(argv + 1, argv + argc);
	const bool once = !arguments.empty() && arguments[0] == "--once";

	if (arguments.size() > 1u + once ||
	    (arguments.size() > once && arguments[once].rfind('-', 0) == 0)) {
		std::fprintf(stderr, "Usage: %s [--once] [DEVICE] > FILE\n", argv[0]);
		return 1;
	}
	try {
		Consumer consumer(arguments.size() > once ? Device(std::string(arguments[once])) :
							    Device::first());
		run(consumer, once);
	} catch (const std::exception &error) {
		std::fprintf(stderr, "%s\n", error.what());
		return 1;
	}
	return 0;
}
