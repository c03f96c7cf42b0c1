//! `loralab generate`: continues a text with a base, or with a base and an adapter.

use std::io::{self, Read, Write};

use anyhow::{Context, Result, anyhow};
use loralab_core::{
    device::wait,
    lab::{Generator, Request, Sampling},
};

use crate::{
    adapter::{self, Speakers},
    args::GenerateArguments,
    device, interrupt, source,
};

/// Streams the continuation to stdout.
pub fn generate(arguments: &GenerateArguments) -> Result<()> {
    interrupt::end_when_asked("the text is cut off here");
    let folders: Vec<_> = arguments.adapter.iter().cloned().collect();
    let Speakers { base, name, tokenizer, adapters } =
        adapter::load(arguments.base.as_deref(), arguments.quantize, &folders)?;
    let threads = source::threads(arguments.threads)?;
    let machine = device::open(&arguments.device, threads, false)?;
    let make_device = |plan, base| machine.make(plan, base);
    let given = [adapters.first()];
    let generator = wait(Generator::new(&base, &given, 1, adapter::LONGEST_WINDOW, &make_device));
    let mut generator = generator.map_err(|error| adapter::explained(error, &name))?;
    adapter::note_left_alone(&generator);
    let prompt = match &arguments.prompt {
        Some(prompt) => prompt.clone(),
        None => standard_input()?,
    };

    let mut stdout = io::stdout().lock();
    let mut written = Ok(());
    let mut ends_line = true;
    let request = Request {
        count: arguments.count,
        sampling: Sampling {
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            seed: arguments.seed,
        },
        ends: tokenizer.ends().to_vec(),
    };
    let mut text = tokenizer.stream();
    let mut say = |words: &str| {
        written = stdout.write_all(words.as_bytes()).and_then(|()| stdout.flush());
        ends_line = words.chars().next_back().map_or(ends_line, |last| last == '\n');
        written.is_ok()
    };
    let prompts = [tokenizer.encode_prompt(&prompt)];
    let generated = generator.generate(&prompts, &request, |_, _, token| {
        let words = text.push(token);
        match words.find('\n').filter(|_| arguments.stop_at_newline) {
            Some(end) => {
                say(&words[..=end]);
                false
            }
            None => say(&words),
        }
    });
    wait(generated)?;
    say(&text.finish());
    written?;
    if !ends_line {
        writeln!(stdout)?;
    }
    Ok(())
}

/// All of stdin, without a final newline.
fn standard_input() -> Result<String> {
    let mut prompt = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut prompt)
        .context("the prompt cannot be read from stdin; give it with `--prompt`")?;
    let mut prompt = String::from_utf8(prompt).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        anyhow!("byte {offset} of stdin is not part of a UTF-8 text, but a prompt is one; give it with `--prompt`")
    })?;
    if prompt.ends_with('\n') {
        prompt.pop();
    }
    Ok(prompt)
}
