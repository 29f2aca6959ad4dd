// SPDX-License-Identifier: GPL-2.0

//! `module/grid.rs` against the definition of what it divides.

use proptest::prelude::*;
use rtshm_module_tests::grid::Grid;

/// The lengths of the chunks of the period that begins at `start`.
fn chunks(grid: &Grid, start: u64, period: u32) -> Vec<u32> {
    let mut chunks = Vec::new();
    let mut into = 0;
    while into < period {
        let left = grid.left(start + u64::from(into));
        assert_ne!(left, 0);
        chunks.push(left);
        into += left;
    }
    assert_eq!(into, period, "a chunk crosses the end of the period");
    chunks
}

/// The smallest number of chunks of at most `limit` frames that hold `period` frames.
fn fewest(period: u32, limit: u32) -> usize {
    (1..)
        .find(|n| n * u64::from(limit) >= period.into())
        .unwrap() as usize
}

fn check_chunks(chunks: &[u32], grid: &Grid, period: u32, limit: u32) {
    let size = grid.chunk_frames();
    let (last, others) = chunks.split_last().unwrap();
    assert!(size <= limit, "chunks of {size} frames");
    assert!(others.iter().all(|&chunk| chunk == size), "{chunks:?}");
    assert!(*last <= size, "{chunks:?}");
    assert_eq!(chunks.len(), fewest(period, limit), "{chunks:?}");
    // As equal as can be: with smaller ones there would be one more.
    assert!(
        (size - 1) as usize * chunks.len() < period as usize,
        "{chunks:?}"
    );
}

#[test]
fn all_small_periods_and_limits() {
    for period in 1..=130 {
        for limit in 1..=140 {
            let grid = Grid::new(period, limit);
            let first = chunks(&grid, 0, period);
            check_chunks(&first, &grid, period, limit);
            // The next period is divided like the first, and so is one after years.
            for start in [1, 2, 1_000_003].map(|nth| nth * u64::from(period)) {
                assert_eq!(chunks(&grid, start, period), first);
            }
        }
    }
}

/// From inside of a chunk what is left is what ends where the chunk does.
#[test]
fn what_is_left_inside_of_a_chunk() {
    for (period, limit) in [
        (1, 1),
        (64, 64),
        (100, 30),
        (441, 256),
        (1024, 256),
        (97, 96),
    ] {
        let grid = Grid::new(period, limit);
        let mut start = 0;
        for chunk in chunks(&grid, 0, period) {
            for into in 0..chunk {
                assert_eq!(grid.left(start + u64::from(into)), chunk - into);
            }
            start += u64::from(chunk);
        }
    }
}

#[test]
fn by_hand() {
    let lengths = |period, limit| chunks(&Grid::new(period, limit), 0, period);
    assert_eq!(lengths(1024, 256), [256; 4]);
    assert_eq!(lengths(256, 256), [256]);
    assert_eq!(lengths(200, 256), [200]);
    // 10 ms at 44.1 kHz.
    assert_eq!(lengths(441, 256), [221, 220]);
    assert_eq!(lengths(1025, 256), [205; 5]);
    assert_eq!(lengths(10, 3), [3, 3, 3, 1]);
}

/// 0 is taken as 1, and nothing panics.
#[test]
fn extremes() {
    assert_eq!(Grid::new(0, 0).left(u64::MAX), 1);
    assert_eq!(Grid::default().left(7), 1);
    assert_eq!(Grid::new(7, 0).chunk_frames(), 1);
    assert_eq!(Grid::new(0, 7).chunk_frames(), 1);
    let whole = Grid::new(u32::MAX, u32::MAX);
    assert_eq!(whole.left(0), u32::MAX);
    assert_eq!(whole.left(u64::from(u32::MAX) - 1), 1);
    // 2^64 - 1 is a multiple of 2^32 - 1.
    assert_eq!(whole.left(u64::MAX), u32::MAX);
    assert_eq!(whole.left(u64::MAX - 1), 1);
    let halves = Grid::new(u32::MAX, u32::MAX - 1);
    assert_eq!(halves.chunk_frames(), 1 << 31);
    assert_eq!(halves.left(1 << 31), (1 << 31) - 1);
}

proptest! {
    /// At random, by arithmetic instead of walking: chunk number `n` of a period is the frames
    /// `[n * size, (n + 1) * size)` of it.
    #[test]
    fn any_period_limit_and_position(
        period in 1u32..,
        limit in 1u32..,
        position in any::<u64>(),
    ) {
        let grid = Grid::new(period, limit);
        let size = u64::from(grid.chunk_frames());
        let into = position % u64::from(period);
        let end = ((into / size + 1) * size).min(period.into());
        prop_assert_eq!(u64::from(grid.left(position)), end - into);
        prop_assert!(size <= limit.into());
        // As few chunks as the limit allows: `n - 1` of them would not do.
        let count = u64::from(period).div_ceil(size);
        prop_assert!((count - 1) * u64::from(limit) < period.into());
    }

    /// As above where there are several chunks, not one or millions.
    #[test]
    fn any_card(period in 16u32..100_000, limit in 16u32..=4096) {
        let grid = Grid::new(period, limit);
        check_chunks(&chunks(&grid, 0, period), &grid, period, limit);
    }
}

/// Where all is sent ahead: the end of the period, or before that of the chunk with the last frame,
/// or of four chunks.
#[test]
fn what_is_next_where_all_is_sent() {
    // Chunks of 25 frames, four and eight in a period.
    for (period, position) in [100, 200]
        .into_iter()
        .flat_map(|p| (0..450).map(move |at| (p, at)))
    {
        let grid = Grid::new(period, 25);
        let period = u64::from(period);
        let period_end = ((position / period + 1) * period).min(position + 100);
        assert_eq!(position + grid.sent_ahead(position, None), period_end);
        for queued in 0..150 {
            let last = position + queued.max(1) - 1;
            let expected = ((last / 25 + 1) * 25).min(period_end);
            let next = position + grid.sent_ahead(position, Some(queued));
            assert_eq!(next, expected, "{queued} queued at {position}");
        }
    }
}
