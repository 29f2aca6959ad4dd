// SPDX-License-Identifier: MIT OR GPL-2.0

//! Structures that are exactly their bytes: the kernel's vendored zerocopy in the module,
//! bytemuck in user space, behind the same three functions.

#[cfg(MODULE)]
pub use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

#[cfg(MODULE)]
pub use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// Declares structures of the contract: C layout, and derives for whatever makes them [`Plain`].
macro_rules! plain_struct {
    ($($(#[$doc:meta])* pub struct $name:ident { $($body:tt)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(
            MODULE,
            derive(
                $crate::abi::plain::FromBytes,
                $crate::abi::plain::IntoBytes,
                $crate::abi::plain::Immutable,
                $crate::abi::plain::KnownLayout, //
            )
        )]
        #[cfg_attr(not(MODULE), derive(bytemuck::Pod, bytemuck::Zeroable))]
        #[repr(C)]
        pub struct $name { $($body)* }
    )*};
}
pub(crate) use plain_struct;

/// A structure without padding of which every bit pattern is a value.
#[cfg(MODULE)]
pub trait Plain: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {}
#[cfg(MODULE)]
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy> Plain for T {}

/// A structure without padding of which every bit pattern is a value.
#[cfg(not(MODULE))]
pub trait Plain: bytemuck::Pod {}
#[cfg(not(MODULE))]
impl<T: bytemuck::Pod> Plain for T {}

/// The bytes of `value`.
#[inline]
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    #[cfg(MODULE)]
    return value.as_bytes();
    #[cfg(not(MODULE))]
    return bytemuck::bytes_of(value);
}

/// A copy of the `T` at the start of `bytes`, or `None` where they are too short.
#[inline]
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    #[cfg(MODULE)]
    return T::read_from_bytes(bytes).ok();
    #[cfg(not(MODULE))]
    return bytemuck::try_pod_read_unaligned(bytes).ok();
}

/// `bytes` as 32-bit words, or `None` where they are not aligned to 4 or not a multiple of it.
#[inline]
pub fn words_mut(bytes: &mut [u8]) -> Option<&mut [u32]> {
    #[cfg(MODULE)]
    return <[u32]>::mut_from_bytes(bytes).ok();
    #[cfg(not(MODULE))]
    return bytemuck::try_cast_slice_mut(bytes).ok();
}
