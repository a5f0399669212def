//! V4L2's structures and numbers, generated in advance from the kernel's `linux/videodev2.h`.
//!
//! The crate of this name that the crate `v4l` depends on runs bindgen whenever it is built, and that needs libclang
//! and the target's C headers. The workspace puts this one in its place (`[patch.crates-io]`), so that lapwing builds
//! with cargo alone, for every target. One file serves them all: what differs between 32 and 64 bits stands in it as
//! `c_long`, `c_ulong` and pointers.
//!
//! `cargo xtask v4l2-bindings` makes the file anew; it needs Debian's `bindgen` and `linux-libc-dev`.
//!
//! The sizes below are the kernel's own: they are part of the numbers by which it tells its calls apart (the size of
//! `VIDIOC_DQBUF`'s structure is 88 bytes in `0xc0585611`, and 68 in `0xc0445611`), so a wrong layout does not compile.
#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals, clippy::all, clippy::pedantic)]

include!("videodev2.in");

/// Fails to compile unless the type has so many bytes on 64-bit and on 32-bit machines. On x86 of 32 bits, where numbers
/// of 64 bits are aligned to four bytes, the kernel's own sizes are others.
macro_rules! bytes {
    ($($of:ty: $on_64:expr, $on_32:expr;)*) => {
        $(#[cfg(not(target_arch = "x86"))]
        const _: () = assert!(
            ::core::mem::size_of::<$of>() == if cfg!(target_pointer_width = "64") { $on_64 } else { $on_32 }
        );)*
    };
}

bytes! {
    v4l2_capability: 104, 104;
    v4l2_fmtdesc: 64, 64;
    v4l2_frmsizeenum: 44, 44;
    v4l2_frmivalenum: 52, 52;
    v4l2_format: 208, 204;
    v4l2_pix_format: 48, 48;
    v4l2_pix_format_mplane: 192, 192;
    v4l2_streamparm: 204, 204;
    v4l2_requestbuffers: 20, 20;
    v4l2_plane: 64, 60;
    v4l2_buffer: 88, 68;
    v4l2_exportbuffer: 64, 64;
    v4l2_input: 80, 80;
    v4l2_control: 8, 8;
    v4l2_ext_control: 20, 20;
    v4l2_ext_controls: 32, 24;
    v4l2_queryctrl: 68, 68;
    v4l2_querymenu: 44, 44;
}

const _: () = {
    use ::core::mem::offset_of;
    let wide = cfg!(target_pointer_width = "64");
    assert!(offset_of!(v4l2_buffer, timestamp) == if wide { 24 } else { 20 });
    assert!(offset_of!(v4l2_buffer, sequence) == if wide { 56 } else { 44 });
    assert!(offset_of!(v4l2_buffer, m) == if wide { 64 } else { 52 });
    assert!(offset_of!(v4l2_buffer, length) == if wide { 72 } else { 56 });
    assert!(offset_of!(v4l2_format, fmt) == if wide { 8 } else { 4 });
    assert!(offset_of!(v4l2_plane, data_offset) == if wide { 16 } else { 12 });
};
