//! What goes wrong on a GPU, as sentences.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why something could not be done on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// There is no GPU.
    #[error(
        "no GPU was found: Vulkan, Metal and DirectX 12 were asked. Install its driver (software: mesa-vulkan-drivers), or use `--device cpu`"
    )]
    NoAdapter,
    /// There are GPUs, but none with that name.
    #[error("no GPU is called `{wanted}`; found: {found}. `loralab devices` lists them")]
    NoSuchAdapter {
        /// What was asked for.
        wanted: String,
        /// Names of what there is.
        found: String,
    },
    /// The driver refuses to open the GPU.
    #[error("{gpu} cannot be opened: {reason}")]
    Refused {
        /// Its name.
        gpu: String,
        /// What the driver says.
        reason: String,
    },
    /// A buffer or a launch is larger than the GPU allows.
    #[error("{what} needs {needed}, but {gpu} allows {allowed}; {remedy}")]
    Limit {
        /// What is too large.
        what: String,
        /// The size it needs, with its unit.
        needed: String,
        /// The largest size, with its unit.
        allowed: String,
        /// The GPU.
        gpu: String,
        /// What to do, as the end of a sentence.
        remedy: &'static str,
    },
    /// An op that no shader is made for.
    #[error("`{label}` cannot run on a GPU: {reason}. Use `--device cpu`")]
    Unsupported {
        /// The part of the model.
        label: String,
        /// What is too much.
        reason: String,
    },
    /// A shader that the driver does not accept.
    #[error("the shader `{shader}` is not accepted by {gpu}: {message}")]
    Shader {
        /// Op and file.
        shader: String,
        /// The GPU.
        gpu: String,
        /// What the compiler says.
        message: String,
    },
    /// What arrived on the GPU is not what was sent.
    #[error(
        "`{what}` did not arrive whole on {gpu}: its checksum there is {found:08x}, but {sent:08x} was sent. Try again"
    )]
    Upload {
        /// What was sent.
        what: String,
        /// The GPU.
        gpu: String,
        /// The checksum on the GPU.
        found: u32,
        /// The checksum on the host.
        sent: u32,
    },
    /// The GPU has no memory left.
    #[error("{gpu} has no memory left ({message}); lower `cohort`, `batch_size` or `memory`")]
    Memory {
        /// The GPU.
        gpu: String,
        /// What the driver says.
        message: String,
    },
    /// The GPU is gone: its driver was reset, it was unplugged, or the browser took it away.
    #[error("{gpu} was lost ({reason}); what was not yet saved has to be done again")]
    Lost {
        /// The GPU.
        gpu: String,
        /// What the driver says.
        reason: String,
    },
    /// A mistake of loralab's, found by the graphics library.
    #[error("{gpu} refuses a command, which is a fault of loralab: {message}")]
    Fault {
        /// The GPU.
        gpu: String,
        /// What the library says.
        message: String,
    },
}

/// The first thing that went wrong, kept until somebody asks. The graphics library reports on threads of its own.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<GpuError>>>);

impl Faults {
    /// Keeps `error` unless an earlier one is kept.
    pub fn report(&self, error: GpuError) {
        self.lock().get_or_insert(error);
    }

    /// The first fault, if there was one.
    pub fn check(&self) -> Result<(), GpuError> {
        self.lock().clone().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Option<GpuError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the library's error means.
pub fn meaning(gpu: &str, error: &wgpu::Error) -> GpuError {
    let gpu = gpu.to_owned();
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::Memory { gpu, message: "out of memory".to_owned() },
        other => GpuError::Fault { gpu, message: one_line(&other.to_string()) },
    }
}

/// A message of many lines as one.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
