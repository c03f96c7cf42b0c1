//! `loralab generate`: continues a text with a base, or with a base and an adapter.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context, Result, anyhow};
use loralab_checkpoint::files::is_hub_name;
use loralab_core::{
    device::wait,
    lab::{GenerateError, Generator, Sampling, residual_of},
    lora::peft::Adapter,
};
use loralab_experiment::Base;

use crate::{
    args::GenerateArguments,
    base::{self, Loaded},
    device,
    failure::usage,
    interrupt,
    results::BASE,
    source,
    terminal::note,
};

/// Most tokens of the window: every generated token computes all of it again.
const LONGEST_WINDOW: usize = 1024;

/// Streams the continuation to stdout.
pub fn generate(arguments: &GenerateArguments) -> Result<()> {
    interrupt::end_when_asked("the text is cut off here");
    let adapter = arguments.adapter.as_deref().map(source::adapter).transpose()?;
    let beside = arguments.adapter.as_ref().map(|folder| folder.join(BASE)).filter(|path| path.is_file());
    let asked = arguments.base.as_deref();
    let Loaded { base, name: base_name, tokenizer } =
        base::load(&choose_base(asked, adapter.as_ref(), beside.as_deref())?)?;
    let threads = source::threads(arguments.threads)?;
    let machine = device::open(&arguments.device, threads, false)?;
    let make_device = |plan, base| machine.make(plan, base);
    let generator = wait(Generator::new(&base, adapter.as_ref(), LONGEST_WINDOW, &make_device));
    let mut generator = generator.map_err(|error| match error {
        GenerateError::Adapter(sentence) => {
            anyhow!("{sentence}; it was not made for the base `{base_name}`, choose another with `--base`")
        }
        error => anyhow!(error),
    })?;
    let [absent, named] = generator.left_alone();
    if absent > 0 {
        note(format_args!(
            "The adapter has no tensors for {absent} of the {named} layers that its configuration names; they are as in the base."
        ));
    }
    let prompt = match &arguments.prompt {
        Some(prompt) => prompt.clone(),
        None => standard_input()?,
    };

    let mut stdout = io::stdout().lock();
    let mut written = Ok(());
    let mut last = b'\n';
    let prompt = tokenizer.encode_prompt(&prompt);
    let sampling = Sampling { temperature: arguments.temperature, seed: arguments.seed };
    let text = generator.continue_tokens(&prompt, arguments.count, sampling, |token| {
        let bytes = tokenizer.decode_bytes(&[token]);
        written = stdout.write_all(&bytes).and_then(|()| stdout.flush());
        last = bytes.last().copied().unwrap_or(last);
        written.is_ok() && !(arguments.stop_at_newline && bytes.contains(&b'\n'))
    });
    wait(text)?;
    written?;
    if last != b'\n' {
        writeln!(stdout)?;
    }
    Ok(())
}

/// The base that `--base` names, else the adapter's. If the adapter's start was subtracted from the base, that is the file beside the adapter.
fn choose_base(asked: Option<&str>, adapter: Option<&Adapter>, beside: Option<&Path>) -> Result<Base> {
    if let Some(whole) = adapter.and_then(|adapter| residual_of(&adapter.base)) {
        return match (asked, beside) {
            (Some(asked), _) if asked == whole => Err(usage(format_args!(
                "the adapter belongs to `{whole}` less the adapter's start, not to `{whole}` itself; name the {BASE} that `loralab init` wrote with the start"
            ))),
            (Some(path), _) => Ok(Base::Path(path.to_owned())),
            (None, Some(path)) => Ok(Base::Path(path.display().to_string())),
            (None, None) => Err(usage(format_args!(
                "the adapter belongs to `{whole}` less the adapter's start, which is not here; name the {BASE} that `loralab init` wrote with the start by `--base`"
            ))),
        };
    }
    // A quantised base is made from the stored one when the adapter is added.
    let own =
        |adapter: &'_ Adapter| adapter.quantised_base.as_ref().map_or(&adapter.base, |stored| &stored.base).clone();
    let remembered = adapter.map(own).filter(|name| !name.is_empty());
    match (asked, remembered.as_deref()) {
        (None, None) | (Some("tiny"), _) | (None, Some("tiny")) => Ok(Base::Tiny),
        (Some("nano"), _) | (None, Some("nano")) => Ok(Base::Nano),
        (Some(path), _) => Ok(Base::Path(path.to_owned())),
        (None, Some(path)) if Path::new(path).exists() || is_hub_name(path) => Ok(Base::Path(path.to_owned())),
        (None, Some(name)) => Err(usage(format_args!(
            "the adapter belongs to the base `{name}`, which is not here; name its file with `--base`"
        ))),
    }
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
