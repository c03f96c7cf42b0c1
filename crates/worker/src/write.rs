//! Continuing a text.

use loralab_core::{
    device::Machine,
    lab::{Generator, Request},
    lora::peft::Adapter,
};
use loralab_experiment::{AdapterFiles, Message};

use crate::{Host, TOKENIZER, base, words};

/// Continues `prompt` with the likeliest tokens, up to `count` of them or the end of a line.
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
    let mut generator = Generator::new(&base, &[loaded.as_ref()], 1, usize::MAX, &make_device).await.map_err(words)?;
    let mut tokens = Vec::new();
    let request = Request { count, ..Request::default() };
    let prompts = [TOKENIZER.encode_prompt(prompt)];
    let written = generator.generate(&prompts, &request, |_, _, token| {
        tokens.push(token);
        !TOKENIZER.decode_bytes(&[token]).contains(&b'\n')
    });
    written.await.map_err(words)?;
    let text = TOKENIZER.decode(&tokens).trim_end_matches('\n').to_owned();
    host.post(Message::Text { cell: adapter.map(|files| files.cell.clone()), text });
    Ok(())
}
