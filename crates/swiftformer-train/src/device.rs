//! Where networks train: `cpu`, `cuda`, `wgpu`, `metal`, `rocm`, the last four with `:N` for a certain card.

use std::panic::catch_unwind;

use burn::tensor::{Device, Tensor};

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
    // Drivers are loaded by the first tensor, and say by a panic what they lack.
    let computes = {
        let device = device.clone();
        catch_unwind(move || Tensor::<1>::ones([3], &device).sum().into_data().try_to_vec::<f32>())
    };
    let broken = |why: String| DeviceError::Broken { name: name.to_owned(), why };
    match computes {
        Ok(Ok(sum)) if sum == [3.0] => Ok(device),
        Ok(found) => Err(broken(format!("the sum of three ones is {found:?}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(broken(text.unwrap_or("no such card or driver").to_owned()))
        }
    }
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
