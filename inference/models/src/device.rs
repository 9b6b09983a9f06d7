//! What models run on.
//!
//! A text is some ten milliseconds of a processor and hundreds of matrix products: a single one is worth a GPU. A user's towers
//! and candidates are tens of microseconds there, less than it takes to ask a GPU, and are brought to one many users at a time:
//! see [`tensors`](crate::tensors).

/// What a variant's models run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor; networks by kernels of our own.
    #[default]
    Cpu,
    /// The processor; networks in the tensors that a GPU would compute with, which are slower here: to try them without a GPU.
    CpuTensors,
    /// The first NVIDIA GPU that this process sees.
    Cuda,
}

/// Why a device can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This program can't use GPUs.
    #[error(
        "this program was built without CUDA; run the image gondola-inference-cuda, or set the variant's device to CPU"
    )]
    NotBuilt,
    /// There is no GPU, or none that can be used.
    #[error(
        "no GPU can be used; give the variant one (resources.limits with nvidia.com/gpu: 1), or set its device to CPU"
    )]
    Unusable(#[source] candle_core::Error),
}

impl Device {
    /// Whether networks run in tensors, many users at a time.
    pub fn has_tensors(self) -> bool {
        self != Self::Cpu
    }

    pub(crate) fn open(self) -> Result<candle_core::Device, DeviceError> {
        match self {
            Self::Cpu | Self::CpuTensors => Ok(candle_core::Device::Cpu),
            Self::Cuda if !candle_core::utils::cuda_is_available() => Err(DeviceError::NotBuilt),
            Self::Cuda => candle_core::Device::new_cuda(0).map_err(DeviceError::Unusable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_program_without_cuda_says_so() {
        let message = Device::Cuda.open().unwrap_err().to_string();
        assert!(message.contains("built without CUDA"), "{message}");
        assert!(Device::Cpu.open().unwrap().is_cpu());
    }
}
