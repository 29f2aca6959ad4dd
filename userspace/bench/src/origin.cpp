// SPDX-License-Identifier: MIT OR GPL-2.0
//
// The ring that rtshm's goes back to, as its description has it: chunks with a size
// in front, in a ring of bytes that wraps, copied in and copied out.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace {

struct ControlBlock {
	uint32_t abiVersion;
	uint32_t capacity;
	std::atomic<uint64_t> writeCount;
	std::atomic<uint64_t> readCount;
};

struct AudioChunk {
	uint32_t frameCount;
	uint64_t timeStamp;
	float audio[];

	static size_t calculateSize(uint32_t frameCount)
	{
		return sizeof(AudioChunk) + sizeof(float) * 2 * frameCount;
	}
};

void copyIn(uint8_t *ring, uint32_t capacity, uint64_t at, const void *from, size_t len)
{
	const size_t offset = at & (capacity - 1);
	const size_t first = len < capacity - offset ? len : capacity - offset;
	std::memcpy(ring + offset, from, first);
	std::memcpy(ring, static_cast<const uint8_t *>(from) + first, len - first);
}

void copyOut(const uint8_t *ring, uint32_t capacity, uint64_t at, void *to, size_t len)
{
	const size_t offset = at & (capacity - 1);
	const size_t first = len < capacity - offset ? len : capacity - offset;
	std::memcpy(to, ring + offset, first);
	std::memcpy(static_cast<uint8_t *>(to) + first, ring, len - first);
}

} // namespace

extern "C" {

// How many bytes a ring of `capacity` bytes takes, and a chunk.
size_t origin_ring_size(uint32_t capacity)
{
	return sizeof(ControlBlock) + capacity;
}

size_t origin_chunk_size(uint32_t frames)
{
	return AudioChunk::calculateSize(frames);
}

void origin_init(void *memory, uint32_t capacity)
{
	ControlBlock *control = new (memory) ControlBlock;
	control->abiVersion = 1;
	control->capacity = capacity;
	control->writeCount.store(0);
	control->readCount.store(0);
}

float *origin_samples(void *chunk)
{
	return static_cast<AudioChunk *>(chunk)->audio;
}

bool origin_push(void *memory, void *chunk, uint32_t frames, uint64_t time_stamp)
{
	AudioChunk &pushed = *static_cast<AudioChunk *>(chunk);
	pushed.frameCount = frames;
	pushed.timeStamp = time_stamp;

	ControlBlock &control = *static_cast<ControlBlock *>(memory);
	uint8_t *ring = reinterpret_cast<uint8_t *>(&control + 1);
	const uint64_t write = control.writeCount.load(std::memory_order_relaxed);
	const uint64_t read = control.readCount.load(std::memory_order_acquire);
	const uint32_t size = static_cast<uint32_t>(AudioChunk::calculateSize(frames));

	if (control.capacity - (write - read) < sizeof(size) + size)
		return false;
	copyIn(ring, control.capacity, write, &size, sizeof(size));
	copyIn(ring, control.capacity, write + sizeof(size), chunk, size);
	control.writeCount.store(write + sizeof(size) + size, std::memory_order_release);
	return true;
}

bool origin_pop(void *memory, void *chunk)
{
	ControlBlock &control = *static_cast<ControlBlock *>(memory);
	const uint8_t *ring = reinterpret_cast<uint8_t *>(&control + 1);
	const uint64_t read = control.readCount.load(std::memory_order_relaxed);
	const uint64_t write = control.writeCount.load(std::memory_order_acquire);
	uint32_t size;

	if (write == read)
		return false;
	copyOut(ring, control.capacity, read, &size, sizeof(size));
	copyOut(ring, control.capacity, read + sizeof(size), chunk, size);
	control.readCount.store(read + sizeof(size) + size, std::memory_order_release);
	return true;
}

}
