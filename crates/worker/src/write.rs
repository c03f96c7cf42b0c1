//! Continuing a text.

use loralab_core::{
    device::Machine,
    lab::{Generator, Sampling},
    lora::peft::Adapter,
};
use loralab_experiment::{AdapterFiles, Message};

use crate::{Host, base, words};

/// Continues `prompt` with the likeliest bytes, up to `count` of them or the end of a line.
pub(crate) async fn write(
    name: &str,
    adapter: Option<&AdapterFiles>,
    prompt: &str,
    count: usize,
    machine: &Machine,
    host: &dyn Host,
) -> Result<(), String> {
    let base = base(name, host).await?;
    let read = |files: &AdapterFiles| Adapter::from_peft(&files.config, &files.tensors.0);
    let loaded = adapter.map(read).transpose().map_err(words)?;
    let make_device = |plan, base| machine.make(plan, base);
    let mut generator = Generator::new(&base, loaded.as_ref(), usize::MAX, &make_device).await.map_err(words)?;
    let mut bytes = Vec::new();
    let sampling = Sampling { temperature: 0.0, seed: 0 };
    let written = generator.continue_text(prompt.as_bytes(), count, sampling, |byte| {
        bytes.push(byte);
        byte != b'\n'
    });
    written.await.map_err(words)?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
    host.post(Message::Text { cell: adapter.map(|files| files.cell.clone()), text });
    Ok(())
}
