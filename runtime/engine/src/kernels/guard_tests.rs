//! No kernel reads further than [`SLACK`] behind its job or writes outside it.
//!
//! Buffers end, or begin, at a page that nobody may touch; bytes between pixels must stay as they are.
//! Miri watches every byte of a buffer itself: there it is just as long as it may be read.

use super::super::ir::{Conv, Wide, Window};
use super::memory::Memory;
use super::packing::{InputSteps, Packer};
use super::winograd::{self, PackedWinograd};
use super::{Block, Kernels, PackedConv, PackedDepthwise, Product, Rows, SLACK, Sum, tested};

/// Larger than a page of any processor that runs this.
const PAGE: usize = if cfg!(miri) { 0 } else { 1 << 16 };
const CANARY: u8 = 0xa5;

/// Readable and writable bytes between two pages that are neither.
struct Guarded {
    map: *mut u8,
    inner: usize,
    /// The first of the bytes asked for.
    first: *mut u8,
}

impl Guarded {
    /// `bytes` that begin behind a guard page (`front`) or end before one.
    fn new(bytes: usize, front: bool) -> Guarded {
        let inner = match front {
            true if cfg!(miri) => bytes + SLACK,
            false if cfg!(miri) => bytes,
            _ => bytes.next_multiple_of(PAGE).max(PAGE),
        };
        let map = map(inner);
        // Safety: the part that is readable and writable.
        unsafe {
            std::ptr::write_bytes(map.add(PAGE), CANARY, inner);
            let first = map.add(PAGE + if front { 0 } else { inner - bytes });
            Guarded { map, inner, first }
        }
    }

    fn noise(self, bytes: usize, seed: &mut u32) -> Guarded {
        for i in 0..bytes {
            // Safety: inside the mapping.
            unsafe { self.first.add(i).write(random(seed, 256) as u8) };
        }
        self
    }

    /// All bytes between the guards.
    fn all(&self) -> &[u8] {
        // Safety: mapped, and nothing writes while the slice lives.
        unsafe { std::slice::from_raw_parts(self.map.add(PAGE), self.inner) }
    }

    /// Where the bytes asked for begin among all.
    fn start(&self) -> usize {
        self.first as usize - self.map as usize - PAGE
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Safety: the mapping of `new`.
        unsafe { unmap(self.map, self.inner) };
    }
}

/// `inner` bytes between two pages that nobody may touch.
#[cfg(not(miri))]
fn map(inner: usize) -> *mut u8 {
    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
    // Safety: a new mapping; only its two ends lose their rights.
    unsafe {
        let size = inner + 2 * PAGE;
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let map = mmap_anonymous(std::ptr::null_mut(), size, rights, MapFlags::PRIVATE).unwrap().cast::<u8>();
        mprotect(map.cast(), PAGE, MprotectFlags::empty()).unwrap();
        mprotect(map.add(PAGE + inner).cast(), PAGE, MprotectFlags::empty()).unwrap();
        map
    }
}

/// Safety: made by [`map`], and nothing points there any more.
#[cfg(not(miri))]
unsafe fn unmap(map: *mut u8, inner: usize) {
    // Safety: the caller's to vouch for.
    unsafe { rustix::mm::munmap(map.cast(), inner + 2 * PAGE).unwrap() };
}

/// Where sums may lie, and no further aligned.
#[cfg(miri)]
fn layout(inner: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(inner.max(1), align_of::<i32>()).unwrap()
}

#[cfg(miri)]
fn map(inner: usize) -> *mut u8 {
    // Safety: the layout has bytes.
    unsafe { std::alloc::alloc_zeroed(layout(inner)) }
}

#[cfg(miri)]
unsafe fn unmap(map: *mut u8, inner: usize) {
    // Safety: made by `map`.
    unsafe { std::alloc::dealloc(map, layout(inner)) };
}

fn random(seed: &mut u32, below: usize) -> usize {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*seed >> 8) as usize % below
}

/// No activation, one that is short (see `ShortTable`), or one that is not.
fn table(seed: &mut u32) -> Option<Box<[u8; 256]>> {
    let power = [0, 1, 1, 2][random(seed, 4)];
    (power > 0).then(|| Box::new(std::array::from_fn(|i| (i.pow(power) * 7) as u8)))
}

/// One convolution of a random shape; `depthwise` or dense.
fn convolve(kernels: &'static Kernels, seed: u32, depthwise: bool) {
    let mut seed = seed.wrapping_mul(2_654_435_761) | 1;
    let s = &mut seed;
    // the first half of a list holds the small ones
    let of =
        |s: &mut u32, list: &[usize]| list[random(s, if cfg!(miri) { list.len().div_ceil(2) } else { list.len() })];
    let channels = of(s, &[2, 3, 4, 8, 15, 16, 17, 24, 33, 80]);
    let outputs = if depthwise { channels } else { of(s, &[1, 4, 5, 8, 12, 15, 16, 17, 24, 33, 80, 255]) };
    let kernel = [of(s, &[1, 2, 3, 5]), of(s, &[1, 3, 5])];
    let stride = [1 + random(s, 2), 1 + random(s, 2)];
    let (height, width) = (1 + random(s, 3), 1 + random(s, 14));
    let (pixel, gap) = (channels + random(s, 5), random(s, 4));
    let columns = (width - 1) * stride[1] + kernel[1];
    let row = columns * pixel;
    let per = kernel[0] * kernel[1] * if depthwise { 1 } else { channels };
    let conv = Conv {
        window: Window { kernel, stride, dilation: [1, 1], pad: [0; 4] },
        groups: if depthwise { channels } else { 1 },
        weights: (0..per * outputs).map(|_| (random(s, 255) as i32 - 127) as i8).collect(),
        bias: (0..outputs).map(|_| random(s, 2000) as i32 - 1000).collect(),
        multiplier: vec![0.002; outputs],
        pre_zero: 100,
        table: table(s),
        wide: Wide::default(),
    };
    let steps = InputSteps { column: pixel, row };
    let read = ((height - 1) * stride[0] + kernel[0] - 1) * row + (columns - 1) * pixel + channels;
    let out_pixel = outputs + gap;
    let written = ((height - 1) * width + width - 1) * out_pixel + outputs;
    let joins = kernels.joins > 0 && !depthwise && outputs > 1;
    let jobs = [(false, false), (true, false), (false, true), (true, true)];
    let packer = Packer { kernels, memory: &Memory::new(0).unwrap() };
    for (front, joined) in jobs.into_iter().take(if joins { 4 } else { 2 }) {
        let input = Guarded::new(if front { read } else { read + SLACK }, front).noise(read, s);
        let output = Guarded::new(if front { written } else { written + SLACK }, front);
        let rows = Rows {
            input: input.first,
            input_pixel: stride[1] * pixel,
            input_row: stride[0] * row,
            output: output.first,
            output_pixel: out_pixel,
            output_row: width * out_pixel,
            width,
            height,
        };
        // Safety: the buffers hold the job; reading past them is what would be caught.
        unsafe {
            if depthwise {
                (kernels.depthwise)(&PackedDepthwise::new(&conv, 9, steps, packer), &rows);
            } else if joined {
                let parts = halves(&conv, random(s, outputs - 1) + 1);
                (kernels.conv)(&PackedConv::joined(&parts.each_ref(), conv.window, 9, steps, packer), &rows);
            } else {
                (kernels.conv)(&PackedConv::new(&conv, 0, 9, steps, packer), &rows);
            }
        }
        only_channels_are_written(&output, written, [out_pixel, outputs], kernels, &conv);
        sums_stay_inside(kernels, &conv, steps, rows, front);
    }
}

/// Of the first `written` bytes, those of so many channels a pixel; no others.
fn only_channels_are_written(
    output: &Guarded,
    written: usize,
    [pixel, channels]: [usize; 2],
    kernels: &Kernels,
    conv: &Conv,
) {
    for (at, &byte) in output.all().iter().enumerate() {
        let inside = at.checked_sub(output.start()).is_some_and(|i| i < written && i % pixel < channels);
        assert!(inside || byte == CANARY, "{kernels:?}: byte {at} written, {conv:?}");
    }
}

/// Some tiles of a convolution of three by three taps.
fn tiles(kernels: &'static Kernels, seed: u32) {
    let Some(loops) = &kernels.winograd else { return };
    let mut seed = seed.wrapping_mul(2_654_435_761) | 1;
    let s = &mut seed;
    let most = if cfg!(miri) { 9 } else { 90 };
    let (mut channels, outputs) = (1 + random(s, most), 1 + random(s, most));
    let (height, width) = (1 + random(s, 9), 1 + random(s, 9));
    if random(s, 2) == 0 {
        channels = channels.next_multiple_of(8);
    }
    if !(loops.gains)(channels, outputs, [height, width]) {
        return;
    }
    let (pixel, gap) = (channels + random(s, 5), random(s, 4));
    let row = (width + 2) * pixel;
    let conv = Conv {
        window: Window { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad: [0; 4] },
        groups: 1,
        weights: (0..9 * channels * outputs).map(|_| (random(s, 255) as i32 - 127) as i8).collect(),
        bias: vec![5; outputs],
        multiplier: vec![0.002; outputs],
        pre_zero: 100,
        table: table(s),
        wide: Wide::default(),
    };
    let packer = Packer { kernels, memory: &Memory::new(0).unwrap() };
    let packed = PackedWinograd::new(&conv, 9, loops, packer).unwrap();
    let read = (height + 1) * row + (width + 1) * pixel + channels;
    let out_pixel = outputs + gap;
    let written = (height * width - 1) * out_pixel + outputs;
    for front in [false, true] {
        let input = Guarded::new(if front { read } else { read + SLACK }, front).noise(read, s);
        let output = Guarded::new(if front { written } else { written + SLACK }, front);
        let scratch = Guarded::new(PackedWinograd::scratch_bytes(channels, outputs, loops), front);
        let rows = Rows {
            input: input.first,
            input_pixel: pixel,
            input_row: row,
            output: output.first,
            output_pixel: out_pixel,
            output_row: width * out_pixel,
            width,
            height,
        };
        let count = winograd::tiles([height, width]);
        // Safety: the buffers hold the job; reading past them is what would be caught.
        unsafe { packed.run(rows, random(s, count)..count, scratch.first) };
        only_channels_are_written(&output, written, [out_pixel, outputs], kernels, &conv);
    }
}

#[test]
fn tiles_stay_inside() {
    for kernels in tested() {
        for seed in 0..if cfg!(miri) { 5 } else { 60 } {
            tiles(kernels, seed);
        }
    }
}

/// The first `outputs` of a dense convolution, and the others.
fn halves(conv: &Conv, outputs: usize) -> [Conv; 2] {
    let part = |range: std::ops::Range<usize>| Conv {
        weights: conv.weights[range.start * conv.products()..range.end * conv.products()].iter().copied().collect(),
        bias: conv.bias[range.clone()].to_vec(),
        multiplier: conv.multiplier[range].to_vec(),
        ..conv.clone()
    };
    [part(0..outputs), part(outputs..conv.bias.len())]
}

/// The same job as sums, in as many bytes as they need.
fn sums_stay_inside(kernels: &'static Kernels, conv: &Conv, steps: InputSteps, rows: Rows, front: bool) {
    let (depthwise, packer) = (conv.groups > 1, Packer { kernels, memory: &Memory::new(0).unwrap() });
    let packed = (PackedDepthwise::new(conv, 9, steps, packer), PackedConv::new(conv, 0, 9, steps, packer));
    let padded = if depthwise { packed.0.bias.len() } else { packed.1.bias.len() };
    let pixel = padded * size_of::<i32>();
    let bytes = rows.height * rows.width * pixel;
    let output = Guarded::new(bytes, front);
    let rows = Rows { output: output.first, output_pixel: pixel, output_row: rows.width * pixel, ..rows };
    // Safety: as in `convolve`.
    unsafe {
        if depthwise {
            (kernels.depthwise_sums)(&packed.0, &rows);
        } else {
            (kernels.conv_sums)(&packed.1, &rows);
        }
    }
    let range = output.start()..output.start() + bytes;
    let outside = |(at, byte): (usize, &u8)| !range.contains(&at) && *byte != CANARY;
    assert!(!output.all().iter().enumerate().any(outside), "{kernels:?}: sums outside, {conv:?}");
}

#[test]
fn convolutions_stay_inside() {
    for kernels in tested() {
        for seed in 0..if cfg!(miri) { 10 } else { 60 } {
            convolve(kernels, seed, false);
            convolve(kernels, seed, true);
        }
    }
}

#[test]
fn loops_over_bytes_stay_inside() {
    let mut seed = 5;
    for kernels in tested() {
        for count in (0..70).chain([127, 128, 129]).step_by(if cfg!(miri) { 17 } else { 1 }) {
            for front in [false, true] {
                let slack = if front { 0 } else { SLACK };
                let [a, b] = [0; 2].map(|_| Guarded::new(count + slack, front).noise(count, &mut seed));
                let run = |what: &str, kernel: &dyn Fn(*mut u8)| {
                    let output = Guarded::new(count, front);
                    kernel(output.first);
                    let range = output.start()..output.start() + count;
                    let outside = |(at, byte): (usize, &u8)| !range.contains(&at) && *byte != CANARY;
                    assert!(!output.all().iter().enumerate().any(outside), "{kernels:?} {what} {count}");
                };
                let table = std::array::from_fn(|i| i as u8);
                let sum = Sum { multipliers: [0.5, 0.25], zeros: [1, 2, 3] };
                let product = Product { multiplier: 0.01, zeros: [1, 2, 3] };
                let block = Block { pixels: [1, 1], steps: [0, 0] };
                let (a, b) = (a.first, b.first);
                // Safety: the buffers hold `count` bytes; reading past them is what would be caught.
                unsafe {
                    run("table", &|to| (kernels.table)(&table, a, to, count));
                    run("max", &|to| (kernels.max)(a, to, count));
                    run("add", &|to| (kernels.add)(&sum, a, b, to, count));
                    run("mul", &|to| (kernels.mul)(&product, a, b, to, count));
                    run("mean", &|to| (kernels.mean)(&block, a, to, count));
                }
            }
        }
    }
}

#[test]
fn channels_are_gathered_from_where_they_lie() {
    let mut seed = 11;
    let s = &mut seed;
    for kernels in tested() {
        for case in 0..200 {
            let outputs = 1 + random(s, 70);
            let reach = [outputs, 64, 65, 200, 3000][random(s, 5)];
            let sources: Vec<usize> = (0..outputs).map(|_| random(s, reach)).collect();
            let (width, height, step, gap) = (1 + random(s, 5), 1 + random(s, 3), 1 + random(s, 90), random(s, 4));
            let (input_row, pixel) = (width * step, outputs + gap);
            let read = (height * width - 1) * step + sources.iter().max().map_or(0, |m| m + 1);
            let written = (height * width - 1) * pixel + outputs;
            let front = case % 2 == 0;
            let input = Guarded::new(if front { read } else { read + SLACK }, front).noise(read, s);
            let output = Guarded::new(written, front);
            let rows = Rows {
                input: input.first,
                input_pixel: step,
                input_row,
                output: output.first,
                output_pixel: pixel,
                output_row: width * pixel,
                width,
                height,
            };
            // Safety: the buffers hold the job; reading past them is what would be caught.
            unsafe { (kernels.gather)(&sources, &rows) };
            for (at, &byte) in output.all().iter().enumerate() {
                let inside = at.checked_sub(output.start()).filter(|i| *i < written && i % pixel < outputs);
                let wanted =
                    inside.map_or(CANARY, |i| input.all()[input.start() + i / pixel * step + sources[i % pixel]]);
                assert_eq!(byte, wanted, "{kernels:?}: byte {at} of {sources:?}");
            }
        }
    }
}
