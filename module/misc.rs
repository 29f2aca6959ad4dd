// SPDX-License-Identifier: GPL-2.0

//! Misc devices with `poll()`, an attribute `remove` and data of their own.
//!
//! `kernel::miscdevice` has none of these. This takes its file operations as they are, adds `poll`,
//! and registers the device inside of an object that `open` and the attribute can reach.

use core::{
    marker::PhantomPinned,
    ptr,
    slice, //
};

use kernel::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    ffi,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    prelude::*,
    str::kstrtobool_bytes,
    sync::poll::PollTable,
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

use crate::compat::this_module;

/// A [`MiscDevice`] with the rest.
pub trait PollDevice: MiscDevice {
    /// What belongs to a device rather than to an open file of it.
    type Data: Send + Sync;

    /// Puts the caller on a wait queue and returns `POLL*` bits.
    fn poll(
        device: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        file: &File,
        table: &PollTable<'_>,
    ) -> u32;

    /// Root has written a true value to the attribute `remove`, in process context: what stands
    /// behind the device is to go, and only the node itself to stay.
    fn remove(data: &Self::Data) -> Result;
}

/// A registered device; dropping it takes the node away, waits for an attribute that is being
/// written, and leaves open files as they are.
///
/// # Invariants
///
/// `inner` is a registered misc device whose file operations and attributes are those of
/// [`Table`] of `T`.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Registration<T: PollDevice> {
    /// First, so that a pointer to it is one to the registration.
    #[pin]
    inner: Opaque<bindings::miscdevice>,
    data: T::Data,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: A registered device belongs to no thread.
unsafe impl<T: PollDevice> Send for Registration<T> {}
// SAFETY: `&self` gives access to the data only, which is `Sync`.
unsafe impl<T: PollDevice> Sync for Registration<T> {}

impl<T: PollDevice> Registration<T> {
    /// Registers a device `/dev/name`, for root alone until somebody changes that.
    ///
    /// # Errors
    ///
    /// `EEXIST` for a name that is taken, `ENOMEM`.
    pub fn new(name: &'static CStr, data: T::Data) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            data,
            // Last but one: a device that is registered may be opened at once.
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let mut device = MiscDeviceOptions { name }.into_raw::<T>();
                device.fops = Table::<T>::FOPS;
                device.groups = ptr::from_ref(Table::<T>::GROUPS).cast_mut().cast();
                // SAFETY: The slot is memory for the device.
                unsafe { slot.write(device) };
                // SAFETY: The device is pinned, and deregistered before its memory goes.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
            _pin: PhantomPinned,
        })
    }

    /// The data of the device that `open` is called for.
    pub fn data(misc: &MiscDeviceRegistration<T>) -> &T::Data {
        let registration = ptr::from_ref(misc).cast::<Self>();
        // SAFETY: A `MiscDeviceRegistration` is a transparent misc device. The one that `open` gets
        // for operations of `T` is the first field of a `Registration`, since nothing else
        // registers them, and it stays registered during `open`.
        unsafe { &(*registration).data }
    }
}

#[pinned_drop]
impl<T: PollDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the invariant it is registered.
        unsafe { bindings::misc_deregister(self.inner.get()) };
    }
}

struct Table<T>(core::marker::PhantomData<T>);

impl<T: PollDevice> Table<T> {
    const FOPS: &'static bindings::file_operations = &{
        let base = MiscDeviceOptions { name: c"" }.into_raw::<T>();
        // SAFETY: `into_raw` points to a table that lives for ever.
        let mut fops = unsafe { *base.fops };
        // Linux 7.2 leaves it out, and the module could go with files open.
        fops.owner = this_module().as_ptr();
        fops.poll = Some(Self::poll);
        fops
    };

    const REMOVE: &'static bindings::device_attribute = &{
        let mut remove: bindings::device_attribute = pin_init::zeroed();
        remove.attr.name = c"remove".to_bytes_with_nul().as_ptr();
        remove.attr.mode = 0o200;
        remove.__bindgen_anon_2.store = Some(Self::remove);
        remove
    };

    const ATTRIBUTES: &'static [*const bindings::attribute; 2] = &[&Self::REMOVE.attr, ptr::null()];

    const GROUP: &'static bindings::attribute_group = &{
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.__bindgen_anon_2.attrs_const = Self::ATTRIBUTES.as_ptr();
        group
    };

    const GROUPS: &'static [*const bindings::attribute_group; 2] = &[Self::GROUP, ptr::null()];

    /// # Safety
    ///
    /// Called by the kernel for a device of `T`, with `count` bytes at `bytes`.
    unsafe extern "C" fn remove(
        device: *mut bindings::device,
        _attribute: *mut bindings::device_attribute,
        bytes: *const ffi::c_char,
        count: usize,
    ) -> isize {
        // SAFETY: `misc_register` made the device, and left the misc device there: the first field
        // of a `Registration`. The kernel waits for this function before the device goes.
        let registration = unsafe { &*bindings::dev_get_drvdata(device).cast::<Registration<T>>() };
        // SAFETY: By the contract of this function.
        let bytes = unsafe { slice::from_raw_parts(bytes.cast::<u8>(), count) };
        from_result(|| {
            if !kstrtobool_bytes(bytes)? {
                return Err(EINVAL);
            }
            T::remove(&registration.data)?;
            // CAST: A page at most.
            Ok(count as isize)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel for an open file of a device of `T`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: The file is valid.
        let private = unsafe { (*file).private_data };
        // SAFETY: `open` put it there, and `release` takes it away when no call can come any more.
        let device = unsafe { <T::Ptr as ForeignOwnable>::borrow(private) };
        // SAFETY: The file is valid during this call, and this thread has no `fdget_pos` region on it.
        let file = unsafe { File::from_raw_file(file) };
        // SAFETY: The table is valid during this call.
        let table = unsafe { PollTable::from_raw(table) };
        T::poll(device, file, &table)
    }
}
