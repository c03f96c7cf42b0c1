//! The page's worker: trains a sweep on the visitor's GPU or on the CPU, and reports its progress to the page.
//!
//! The page sends [`Request`]s and receives [`Message`]s. Before every step the worker handles the messages that have arrived.
//!
//! Nothing here depends on a browser: `main.rs` transfers the messages, so the same worker can be run and tested natively.

mod check;
mod control;
mod inspect;
mod train;
mod write;

use std::{fmt::Display, future::Future, pin::Pin};

pub use control::Control;
use loralab_core::{device::Machine, models::Base};
use loralab_experiment::{Message, Request};
use loralab_tokenizer::Tokenizer;

/// The tokenizer of every base.
const TOKENIZER: &Tokenizer = &Tokenizer::Bytes;

/// The base that is compiled into the worker.
static NANO: &[u8] = include_bytes!("../../core/bases/nano.safetensors");

/// The environment of the worker.
pub trait Host {
    /// Seconds since a fixed point in time of the host's choice.
    fn seconds(&self) -> f64;

    /// Posts a message to the page.
    fn post(&self, message: Message);

    /// Lets the thread handle the messages that have arrived.
    fn breathe(&self) -> Wait<()>;

    /// The bytes of the base `tiny`, which is fetched on first use; a sentence if it can't be.
    fn tiny(&self) -> Wait<Result<Vec<u8>, String>>;

    /// Stores a base that the user loaded, in place of the one before.
    fn store_base(&self, name: &str, base: Base);

    /// The stored base, if it has this name.
    fn stored_base(&self, name: &str) -> Option<Base>;
}

/// A future of the host.
pub type Wait<T> = Pin<Box<dyn Future<Output = T>>>;

/// The first message to the page.
pub fn ready(machine: &Machine) -> Message {
    Message::Ready { device: machine.describe(), gpu: matches!(machine, Machine::Gpu(_)) }
}

/// Carries out a request, and posts the messages that answer it.
pub async fn answer(request: Request, machine: &Machine, control: &Control, host: &dyn Host) {
    let done = match request {
        Request::Train { experiment, data, from } => {
            train::train(&train::Asked { experiment, data, from }, machine, control, host).await
        }
        Request::Inspect { experiment, data } => {
            inspect::inspect(&experiment, data.as_deref(), machine, control, host).await
        }
        Request::Write { base, adapter, prompt, count } => {
            write::write(&base, adapter.as_ref(), &prompt, count, machine, host).await
        }
        Request::Base { name, file } => take_base(&name, file.0, host),
        Request::Check => check::check(machine, host).await,
        Request::Lose => {
            if let Machine::Gpu(accelerator) = machine {
                accelerator.lose();
            }
            Ok(())
        }
        Request::Pause | Request::Step | Request::Resume | Request::Stop => Ok(()),
    };
    if let Err(reason) = done {
        host.post(Message::Refused { reason });
    }
}

/// Stores the user's own base.
fn take_base(name: &str, file: Vec<u8>, host: &dyn Host) -> Result<(), String> {
    let unusable = |error: &dyn Display| format!("the base `{name}` cannot be used: {error}");
    let base = Base::from_safetensors(file).map_err(|error| unusable(&error))?;
    TOKENIZER.check(base.model.vocabulary()).map_err(|error| unusable(&error))?;
    let weights = base.model.parameters();
    host.store_base(name, base);
    host.post(Message::Base { name: name.to_owned(), weights });
    Ok(())
}

/// One of the shipped bases, or the stored one.
async fn base(name: &str, host: &dyn Host) -> Result<Base, String> {
    match name {
        "nano" => Base::from_safetensors(NANO).map_err(words),
        "tiny" => Base::from_safetensors(host.tiny().await?).map_err(words),
        other => host.stored_base(other).ok_or_else(|| {
            format!("the page has the bases `nano` and `tiny`, but not `{other}`; choose one of these, or bring its file at `base`")
        }),
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
