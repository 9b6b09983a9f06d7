//! ONNX Runtime's library: found once, kept for as long as the process lives.

use std::path::PathBuf;
use std::sync::OnceLock;

use ort::environment::Environment;

/// The environment variable that names the file of ONNX Runtime's library.
pub const VARIABLE: &str = "GONDOLA_ONNX_RUNTIME";
/// Where the system is asked for it otherwise.
const NAME: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// Why ONNX Runtime can't be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The library can't be loaded, or is too old.
    #[error(
        "cannot load ONNX Runtime from {} ({reason}); install version 1.24 or later and name its library in {VARIABLE}", .path.display()
    )]
    Library {
        /// The file, or the name that the system was asked for.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// It does not start.
    #[error("ONNX Runtime does not start: {reason}")]
    Start {
        /// What it says.
        reason: String,
    },
}

/// What sessions are made in. The first call loads the library.
pub(crate) fn environment() -> Result<&'static Environment, RuntimeError> {
    static ENVIRONMENT: OnceLock<Result<Environment, RuntimeError>> = OnceLock::new();
    ENVIRONMENT.get_or_init(start).as_ref().map_err(Clone::clone)
}

fn start() -> Result<Environment, RuntimeError> {
    let path = std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(NAME), PathBuf::from);
    let builder = ort::init_from(&path).map_err(|error| RuntimeError::Library {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let builder = builder.with_name("gondola").with_telemetry(false);
    builder.build().map_err(|error| RuntimeError::Start {
        reason: error.to_string(),
    })
}
