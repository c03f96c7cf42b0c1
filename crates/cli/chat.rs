//! `loralab chat`: a prompt that the base and each adapter answer, one below the other.
//!
//! With a chat template the conversation goes on, each model with its own answers; without one, each line is a text that is continued to the end of its
//! line.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result};
use loralab_core::{
    device::wait,
    lab::{Generator, Request, Sampling},
};
use loralab_tokenizer::{Message, Tokenizer};

use crate::{
    adapter::{self, Speakers},
    args::ChatArguments,
    device, interrupt, source,
    terminal::{note, print},
};

/// Answers the lines of stdin until it ends.
pub fn chat(arguments: &ChatArguments) -> Result<()> {
    interrupt::end_when_asked("the conversation ends here");
    let Speakers { base, name, tokenizer, adapters } =
        adapter::load(arguments.base.as_deref(), arguments.quantize, &arguments.adapter)?;
    let threads = source::threads(arguments.threads)?;
    let machine = device::open(&arguments.device, threads, false)?;
    let make_device = |plan, base| machine.make(plan, base);
    let given: Vec<_> = [None].into_iter().chain(adapters.iter().map(Some)).collect();
    let generator = wait(Generator::new(&base, &given, 1, adapter::LONGEST_WINDOW, &make_device));
    let mut generator = generator.map_err(|error| adapter::explained(error, &name))?;
    adapter::note_left_alone(&generator);
    let folders = arguments.adapter.iter().map(|folder| folder.display().to_string());
    let mut speakers: Vec<Speaker> =
        [name].into_iter().chain(folders).map(|name| Speaker::new(name, arguments)).collect();
    if !tokenizer.has_chat_template() {
        note("The model has no chat template: each line is continued to its end, and no line knows those before it.");
    }
    let request = request(arguments, &tokenizer);
    while let Some(line) = next_line()? {
        if line.trim().is_empty() {
            continue;
        }
        let prompts = speakers.iter_mut().map(|speaker| speaker.hear(&line, &tokenizer)).collect::<Result<Vec<_>>>()?;
        let mut texts: Vec<_> = speakers.iter().map(|_| tokenizer.stream()).collect();
        let mut answers = vec![String::new(); speakers.len()];
        let goes_on = |answer: &str| tokenizer.has_chat_template() || !answer.contains('\n');
        let answered = generator.generate_each(&prompts, &request, |run, _, token| {
            answers[run] += &texts[run].push(token);
            goes_on(&answers[run])
        });
        wait(answered)?;
        for ((speaker, answer), mut text) in speakers.iter_mut().zip(answers).zip(texts) {
            let answer = answer + &text.finish();
            print(format_args!("{}: {}", speaker.name, answer.trim()))?;
            speaker.messages.push(Message::new(Message::ASSISTANT, answer.trim()));
        }
    }
    Ok(())
}

/// A model in the conversation.
struct Speaker {
    name: String,
    /// The conversation as it heard and answered it.
    messages: Vec<Message>,
}

impl Speaker {
    fn new(name: String, arguments: &ChatArguments) -> Speaker {
        Speaker { name, messages: arguments.system.iter().map(|text| Message::new("system", text)).collect() }
    }

    /// Adds the user's message. Returns the one prompt that asks for an answer.
    fn hear(&mut self, line: &str, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>> {
        if !tokenizer.has_chat_template() {
            return Ok(vec![tokenizer.encode_prompt(line)]);
        }
        self.messages.push(Message::new("user", line));
        Ok(vec![tokenizer.encode(&tokenizer.chat(&self.messages, true)?)])
    }
}

fn request(arguments: &ChatArguments, tokenizer: &Tokenizer) -> Request {
    let ChatArguments { count, temperature, top_k, top_p, seed, .. } = *arguments;
    Request { count, sampling: Sampling { temperature, top_k, top_p, seed }, ends: tokenizer.ends().to_vec() }
}

/// The next line that a person types, or of what is piped in; none at its end.
fn next_line() -> Result<Option<String>> {
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr().lock();
        write!(stderr, "> ").and_then(|()| stderr.flush())?;
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("stdin cannot be read as text")?;
    Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()).filter(|_| read > 0))
}
