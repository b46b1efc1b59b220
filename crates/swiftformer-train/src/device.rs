//! Where networks train: `cpu`, `cuda`, `wgpu`, `metal`, `rocm`, the last four with `:N` for a certain card.

use std::{
    panic,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use burn::tensor::{DataError, Device, Tensor};

/// Why there is no such device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No device has this name.
    #[error("`{name}` is no device: cpu, cuda, wgpu, metal or rocm, with :N for a certain card")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The kind is not part of this build.
    #[error("this program was built without {kind}; build it with: --features {kind}")]
    NotBuilt {
        /// The kind.
        kind: &'static str,
    },
    /// The machine has none, or its driver fails.
    #[error("the device {name} does not work: {why}")]
    Broken {
        /// What was asked for.
        name: String,
        /// What its driver says.
        why: String,
    },
}

/// Opens a device. `card` is the one to take of several, where the name says none.
///
/// # Errors
/// When the name is none, its kind is not part of this build, or the device does not compute.
pub fn open(name: &str, card: usize) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown { name: name.to_owned() };
    let (kind, number) = match name.split_once(':') {
        Some((kind, number)) => (kind, Some(number.parse::<usize>().map_err(|_| unknown())?)),
        None => (name, None),
    };
    let device = match kind {
        "cpu" if number.is_none() => return Ok(Device::flex()),
        "cuda" => cuda(number.unwrap_or(card))?,
        "rocm" => rocm(number.unwrap_or(card))?,
        "wgpu" => wgpu(number.or((card > 0).then_some(card)))?,
        "metal" => metal(number.or((card > 0).then_some(card)))?,
        _ => return Err(unknown()),
    };
    let broken = |why: String| DeviceError::Broken { name: name.to_owned(), why };
    match probe(&device) {
        Ok(Ok(sum)) if sum == [3.0] => Ok(device),
        Ok(found) => Err(broken(format!("the sum of three ones is {found:?}"))),
        Err(why) => Err(broken(why)),
    }
}

/// A first sum on the device, or what its driver lacks.
///
/// Drivers are loaded by the first tensor, on threads of burn's, and say by panics what they lack: the first of them is the
/// cause, those that follow it wait for a thread that is gone. They are not printed.
fn probe(device: &Device) -> Result<Result<Vec<f32>, DataError>, String> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let first = Arc::new(OnceLock::new());
    let (heard, before) = (Arc::clone(&first), panic::take_hook());
    panic::set_hook(Box::new(move |panic| {
        let _ = heard.set(panic.payload_as_str().unwrap_or("no such card or driver").to_owned());
    }));
    let device = device.clone();
    let sum = panic::catch_unwind(move || Tensor::<1>::ones([3], &device).sum().into_data().try_to_vec());
    panic::set_hook(before);
    sum.map_err(|_| first.get().cloned().unwrap_or_default())
}

#[cfg(feature = "cuda")]
fn cuda(card: usize) -> Result<Device, DeviceError> {
    Ok(Device::cuda(card))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { kind: "cuda" })
}

#[cfg(feature = "rocm")]
fn rocm(card: usize) -> Result<Device, DeviceError> {
    Ok(Device::rocm(card))
}

#[cfg(not(feature = "rocm"))]
fn rocm(_: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { kind: "rocm" })
}

#[cfg(feature = "wgpu")]
fn kind(card: Option<usize>) -> burn::tensor::DeviceKind {
    card.map_or(burn::tensor::DeviceKind::DefaultDevice, burn::tensor::DeviceKind::DiscreteGpu)
}

#[cfg(feature = "wgpu")]
fn wgpu(card: Option<usize>) -> Result<Device, DeviceError> {
    Ok(Device::wgpu(kind(card)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(_: Option<usize>) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { kind: "wgpu" })
}

#[cfg(feature = "metal")]
fn metal(card: Option<usize>) -> Result<Device, DeviceError> {
    Ok(Device::metal(kind(card)))
}

#[cfg(not(feature = "metal"))]
fn metal(_: Option<usize>) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { kind: "metal" })
}
