//! What networks run on, where the command line says otherwise than the manifest.

use clap::{Args, ValueEnum};
use gondola_models::device::Device;
use strum::IntoStaticStr;

use super::manifest::VariantPlan;

/// Arguments that choose a device.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct DeviceArguments {
    /// What networks run on; default: what the manifest says of each variant.
    #[arg(long)]
    device: Option<Named>,
}

/// A device by its name.
#[derive(Clone, Copy, Debug, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
enum Named {
    /// The processor.
    Cpu,
    /// The processor, with the tensors of a GPU: slower, to try them without one.
    CpuTensors,
    /// An NVIDIA GPU.
    Cuda,
}

impl DeviceArguments {
    /// Puts the device in the place of the manifest's.
    pub(super) fn apply(self, plan: &mut VariantPlan) {
        if let Some(device) = self.device {
            plan.settings.device = match device {
                Named::Cpu => Device::Cpu,
                Named::CpuTensors => Device::CpuTensors,
                Named::Cuda => Device::Cuda,
            };
        }
    }
}

/// The name of a device that is not the processor's own kernels.
pub(super) fn name(device: Device) -> Option<&'static str> {
    match device {
        Device::Cpu => None,
        Device::CpuTensors => Some(Named::CpuTensors.into()),
        Device::Cuda => Some(Named::Cuda.into()),
    }
}
