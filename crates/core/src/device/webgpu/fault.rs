//! Faults of a GPU and their messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Error of an operation on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// There is no GPU.
    #[error(
        "no GPU was found: Vulkan, Metal and DirectX 12 were asked. Install its driver (software: mesa-vulkan-drivers), or use `--device cpu`"
    )]
    NoAdapter,
    /// No GPU has the given name.
    #[error("no GPU is called `{wanted}`; found: {found}. `loralab devices` lists them")]
    NoSuchAdapter {
        /// The requested name or index.
        wanted: String,
        /// Names of the available GPUs.
        found: String,
    },
    /// The driver refused to open the GPU.
    #[error("{gpu} cannot be opened: {reason}")]
    Refused {
        /// Name of the GPU.
        gpu: String,
        /// Message of the driver.
        reason: String,
    },
    /// A buffer or a launch is larger than the GPU allows.
    #[error("{what} needs {needed}, but {gpu} allows {allowed}; {remedy}")]
    Limit {
        /// The buffer or launch that is too large.
        what: String,
        /// Required size, with its unit.
        needed: String,
        /// Largest allowed size, with its unit.
        allowed: String,
        /// Name of the GPU.
        gpu: String,
        /// A remedy, as the end of a sentence.
        remedy: &'static str,
    },
    /// An op with sizes that the shaders do not support.
    #[error("`{label}` cannot run on a GPU: {reason}. Use `--device cpu`")]
    Unsupported {
        /// The part of the model.
        label: String,
        /// The limit that is exceeded.
        reason: String,
    },
    /// The driver rejected a shader.
    #[error("the shader `{shader}` is not accepted by {gpu}: {message}")]
    Shader {
        /// Op and file.
        shader: String,
        /// Name of the GPU.
        gpu: String,
        /// Message of the compiler.
        message: String,
    },
    /// The data that arrived on the GPU differ from the data sent.
    #[error(
        "`{what}` did not arrive whole on {gpu}: its checksum there is {found:08x}, but {sent:08x} was sent. Try again"
    )]
    Upload {
        /// Name of the data.
        what: String,
        /// Name of the GPU.
        gpu: String,
        /// The checksum on the GPU.
        found: u32,
        /// The checksum on the host.
        sent: u32,
    },
    /// The GPU is out of memory.
    #[error("{gpu} has no memory left ({message}); lower `cohort`, `batch_size` or `memory`")]
    Memory {
        /// Name of the GPU.
        gpu: String,
        /// Message of the driver.
        message: String,
    },
    /// The GPU was lost: its driver was reset, it was unplugged, or the browser withdrew it.
    #[error("{gpu} was lost ({reason}); what was not yet saved has to be done again")]
    Lost {
        /// Name of the GPU.
        gpu: String,
        /// Message of the driver.
        reason: String,
    },
    /// An error in loralab, reported by the graphics library.
    #[error("{gpu} refuses a command, which is a fault of loralab: {message}")]
    Fault {
        /// Name of the GPU.
        gpu: String,
        /// Message of the library.
        message: String,
    },
}

/// The first reported fault, stored until it is checked. The graphics library reports from its own threads.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<GpuError>>>);

impl Faults {
    /// Stores `error` unless an earlier one is stored.
    pub fn report(&self, error: GpuError) {
        self.lock().get_or_insert(error);
    }

    /// The first reported fault as an error.
    pub fn check(&self) -> Result<(), GpuError> {
        self.lock().clone().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Option<GpuError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts an error of the graphics library.
pub fn meaning(gpu: &str, error: &wgpu::Error) -> GpuError {
    let gpu = gpu.to_owned();
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::Memory { gpu, message: "out of memory".to_owned() },
        other => GpuError::Fault { gpu, message: one_line(&other.to_string()) },
    }
}

/// Joins the lines of a message.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
