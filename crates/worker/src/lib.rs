//! The page's worker: trains a sweep, on the visitor's GPU or on the CPU, and tells the page about it as it goes.
//!
//! The page asks in [`Ask`]s and is answered in [`Message`]s. A sweep takes a turn before every step, in which what is asked is heard.
//!
//! Nothing here knows a browser: `main.rs` brings the messages to and fro, so the same worker can be run and tested natively.

mod check;
mod control;
mod inspect;
mod train;
mod write;

use std::{fmt::Display, future::Future, pin::Pin};

pub use control::Control;
use loralab_core::{device::Machine, lora::init, models::Base};
use loralab_experiment::{Ask, Message, SchemeInfo};
use loralab_tokenizer::Tokenizer;

/// What every base reads its texts with.
const TOKENIZER: &Tokenizer = &Tokenizer::Bytes;

/// The base that comes with the worker: small enough to be sent with it.
static NANO: &[u8] = include_bytes!("../../core/bases/nano.safetensors");

/// Where the worker runs.
pub trait Host {
    /// Seconds since some moment of its own.
    fn seconds(&self) -> f64;

    /// Hands a message on.
    fn post(&self, message: Message);

    /// Lets the thread hear what is asked of it.
    fn breathe(&self) -> Wait<()>;

    /// The bytes of the base `tiny`, which is fetched when it is first wanted; a sentence if it can't be.
    fn tiny(&self) -> Wait<Result<Vec<u8>, String>>;

    /// Keeps a base that a person brought, in the place of the one before.
    fn keep_base(&self, name: &str, base: Base);

    /// The base that was kept, if that is its name.
    fn kept_base(&self, name: &str) -> Option<Base>;
}

/// Something that is waited for.
pub type Wait<T> = Pin<Box<dyn Future<Output = T>>>;

/// What the page is told first.
pub fn ready(machine: &Machine) -> Message {
    let info = |scheme: &&init::Scheme| SchemeInfo {
        name: scheme.name.to_owned(),
        about: scheme.about.to_owned(),
        source: scheme.source.to_owned(),
    };
    let gpu = matches!(machine, Machine::Gpu(_));
    Message::Ready { device: machine.describe(), gpu, schemes: init::ALL.iter().map(info).collect() }
}

/// Does what was asked, and posts everything that comes of it.
pub async fn answer(ask: Ask, machine: &Machine, control: &Control, host: &dyn Host) {
    let done = match ask {
        Ask::Train { experiment, data, from } => {
            train::train(&train::Asked { experiment, data, from }, machine, control, host).await
        }
        Ask::Inspect { experiment, data } => {
            inspect::inspect(&experiment, data.as_deref(), machine, control, host).await
        }
        Ask::Write { base, adapter, prompt, count } => {
            write::write(&base, adapter.as_ref(), &prompt, count, machine, host).await
        }
        Ask::Base { name, file } => take_base(&name, &file.0, host),
        Ask::Check => check::check(machine, host).await,
        Ask::Lose => {
            if let Machine::Gpu(accelerator) = machine {
                accelerator.lose();
            }
            Ok(())
        }
        Ask::Pause | Ask::Step | Ask::Resume | Ask::Stop => Ok(()),
    };
    if let Err(reason) = done {
        host.post(Message::Refused { reason });
    }
}

/// Takes a person's own base.
fn take_base(name: &str, file: &[u8], host: &dyn Host) -> Result<(), String> {
    let unusable = |error: &dyn Display| format!("the base `{name}` cannot be used: {error}");
    let base = Base::from_safetensors(file).map_err(|error| unusable(&error))?;
    TOKENIZER.check(base.model.vocabulary()).map_err(|error| unusable(&error))?;
    let weights = base.model.parameters();
    host.keep_base(name, base);
    host.post(Message::Base { name: name.to_owned(), weights });
    Ok(())
}

/// One of the shipped bases, or the one that was brought.
async fn base(name: &str, host: &dyn Host) -> Result<Base, String> {
    match name {
        "nano" => Base::from_safetensors(NANO).map_err(words),
        "tiny" => Base::from_safetensors(&host.tiny().await?).map_err(words),
        other => host.kept_base(other).ok_or_else(|| {
            format!("the page has the bases `nano` and `tiny`, but not `{other}`; choose one of these, or bring its file at `base`")
        }),
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
