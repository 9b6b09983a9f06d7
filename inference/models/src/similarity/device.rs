//! What a text encoder runs on.
//!
//! A text is some ten milliseconds of a processor and hundreds of matrix products: the one part of an answer that a GPU is
//! quicker at. Retrieval and scorers take tens of microseconds on a processor, less than it takes to ask a GPU.

/// What a text encoder runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU that this process sees.
    Cuda,
}

/// Why a device can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This program can't use GPUs.
    #[error(
        "this program was built without CUDA; run the image gondola-inference-cuda, or set the variant's device to Cpu"
    )]
    NotBuilt,
    /// There is no GPU, or none that can be used.
    #[error(
        "no GPU can be used; give the variant one (resources.limits with nvidia.com/gpu: 1), or set its device to Cpu"
    )]
    Unusable(#[source] candle_core::Error),
}

impl Device {
    pub(super) fn open(self) -> Result<candle_core::Device, DeviceError> {
        match self {
            Self::Cpu => Ok(candle_core::Device::Cpu),
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
