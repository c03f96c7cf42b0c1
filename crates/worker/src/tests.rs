use std::cell::RefCell;

use loralab_core::{
    device::wait,
    lora::{init, peft::Adapter},
};
use loralab_experiment::{Accuracy, AdapterFiles, Blob, Event, Experiment, Record, RunResult, first_name};

use super::*;

/// A host that collects the messages; its clock advances a second with every message. Its answer to a message is handled at once.
struct Page<'a> {
    messages: RefCell<Vec<Message>>,
    control: &'a Control,
    reply: &'a dyn Fn(&Message) -> Option<Request>,
    own: RefCell<Option<(String, Base)>>,
}

impl Host for Page<'_> {
    fn seconds(&self) -> f64 {
        self.messages.borrow().len() as f64
    }

    fn post(&self, message: Message) {
        if let Some(request) = (self.reply)(&message) {
            assert!(self.control.accepts(&request));
        }
        self.messages.borrow_mut().push(message);
    }

    fn breathe(&self) -> Wait<()> {
        Box::pin(std::future::ready(()))
    }

    fn tiny(&self) -> Wait<Result<Vec<u8>, String>> {
        Box::pin(std::future::ready(Err("the base `tiny` can't be fetched".to_owned())))
    }

    fn store_base(&self, name: &str, base: Base) {
        self.own.replace(Some((name.to_owned(), base)));
    }

    fn stored_base(&self, name: &str) -> Option<Base> {
        self.own.borrow().as_ref().filter(|(known, _)| known == name).map(|(_, base)| base.clone())
    }
}

fn dialogue(request: Request, reply: &dyn Fn(&Message) -> Option<Request>) -> Vec<Message> {
    dialogues(vec![request], reply)
}

fn dialogues(requests: Vec<Request>, reply: &dyn Fn(&Message) -> Option<Request>) -> Vec<Message> {
    let control = Control::default();
    let page = Page { messages: RefCell::default(), control: &control, reply, own: RefCell::default() };
    for request in requests {
        wait(answer(request, &Machine::Cpu(Some(1)), &control, &page));
    }
    page.messages.into_inner()
}

fn experiment(settings: &str) -> Experiment {
    let small = "base = 'nano'\nlearning_rates = [1e-3, 4e-3]\nseeds = 1\nsteps = 4\nevaluate_every = 2\nbatch_size = 2\n\
                 validation_examples = 8\n";
    let over = Experiment::from_toml(settings).expect(settings);
    Experiment::from_toml(small).expect("it is right").merge(over)
}

fn train(settings: &str, data: Option<&str>) -> Vec<Message> {
    let data = data.map(str::to_owned);
    dialogue(Request::Train { experiment: experiment(settings), data, from: None }, &|_| None)
}

fn events(messages: &[Message]) -> Vec<Event> {
    let events = |message: &Message| match message {
        Message::Events { events } => events.clone(),
        _ => vec![],
    };
    messages.iter().flat_map(events).collect()
}

fn record(messages: &[Message]) -> Record {
    let mut record = Record::new(Accuracy::ExactMatch);
    events(messages).iter().for_each(|event| record.apply(event));
    record
}

fn adapters(messages: &[Message]) -> Vec<&AdapterFiles> {
    let files = |message: &'_ Message| matches!(message, Message::Adapter { .. });
    let messages = messages.iter().filter(|message| files(message));
    messages.filter_map(|message| if let Message::Adapter { files } = message { Some(files) } else { None }).collect()
}

#[test]
fn a_sweep_is_told_from_start_to_finish() {
    let messages = train("", None);
    let events = events(&messages);
    let count = |kind: fn(&Event) -> bool| events.iter().filter(|event| kind(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Step { .. })), 16);
    assert_eq!(count(|event| matches!(event, Event::Evaluation { .. })), 8);
    assert!(matches!(events.first(), Some(Event::Started { runs: 4, steps: 4, .. })));
    assert!(matches!(events.last(), Some(Event::Finished { complete: true, .. })));
    let (record, base) = (record(&messages), record(&messages[..3]).summary().setting.base_loss);
    let best = record.summary().schemes[0].best_loss.expect("it was evaluated");
    assert!(best < base.unwrap_or(f64::INFINITY).min(3.0), "{best}");
    // The memory is reported first.
    let Message::Memory { cohorts: 1, runs: 4, shared, per_run } = messages[0] else { panic!("{:?}", messages[0]) };
    let nano = Base::from_safetensors(NANO).expect("it is whole").bytes() as u64;
    assert!(shared > nano && (1 << 16..1 << 26).contains(&per_run), "{shared} {per_run}");
    // The adapters are complete, and belong to the runs.
    let files = adapters(&messages);
    assert_eq!(files.len(), 4);
    for files in files {
        let adapter = Adapter::from_peft(&files.config, &files.tensors.0).expect("it can be read");
        assert_eq!((adapter.base.as_str(), adapter.rank, adapter.modules.len()), ("nano", 8, 14));
    }
}

#[test]
fn the_memory_that_is_told_counts_the_diagnostics() {
    let count = |settings: &str| match train(settings, None)[0] {
        Message::Memory { shared, per_run, .. } => (shared, per_run),
        ref other => panic!("{other:?}"),
    };
    let [plain, looked] = [0, 1].map(|every| count(&format!("steps = 1\ndiagnose_every = {every}")));
    // The probe has one sequence where a step has two.
    // Its adapters and rows of 12 bytes; twice the 256 logits and 14 · 8 features of its 64 rows, and a gradient; and 8 numbers for each of 9472.
    let of_looks = 4 * 9472 + 12 * 64 + 8 * 64 * (256 + 14 * 8) + 4 * 9472 + 8 * 4 * 9472;
    assert_eq!(looked.1 - plain.1, of_looks, "{plain:?} {looked:?}");
    assert!(looked.0 > plain.0 && looked.0 <= 2 * plain.0, "{plain:?} {looked:?}");
}

#[test]
fn starts_are_told_without_training_and_make_way_for_it() {
    let settings = "schemes = ['init-a', 'pissa', 'eva']\nlearning_rates = [1e-3, 4e-3]\nrank = 4";
    let request = || Request::Inspect { experiment: experiment(settings), data: None };
    let messages = dialogue(request(), &|_| None);
    let starts: Vec<_> = messages
        .iter()
        .map(|message| match message {
            Message::Start { start, left } => (start, *left),
            other => panic!("{other:?}"),
        })
        .collect();
    let count: Vec<_> = starts.iter().map(|(start, left)| (start.scheme.as_str(), start.layers.len(), *left)).collect();
    assert_eq!(count, [("init-a", 14, 2), ("pissa", 14, 1), ("eva", 14, 0)]);
    let [(a, _), (pissa, _), (eva, _)] = starts[..] else { panic!("there are three") };
    assert!(a.is_base() && pissa.is_base() && eva.is_base());
    assert_eq!((a.drawn(), pissa.drawn(), a.tokens, pissa.tokens), ("A", "s·BA", 0, 0));
    assert!(eva.tokens > 0 && a.layers.iter().all(|layer| layer.spectrum.len() == 4));
    // The spectrum agrees with the norm: ‖sBA‖² is the sum of squares. PiSSA's values are the largest of the weight's own.
    for layer in &pissa.layers {
        let all = layer.spectrum.iter().map(|value| value * value).sum::<f64>().sqrt();
        let norm = pissa.scale * layer.a * layer.b;
        assert!((norm / 2.0..norm).contains(&all), "{all} {norm}");
        assert!((layer.product * layer.product - layer.energy).abs() < 1e-4 * layer.energy, "{layer:?}");
        assert!(layer.spectrum.windows(2).all(|pair| pair[0] >= pair[1]), "{layer:?}");
    }
    // A training requested in between takes precedence, and the remaining starts are not computed.
    let control = Control::default();
    assert!(control.begin());
    let page = Page { messages: RefCell::default(), control: &control, reply: &|_| None, own: RefCell::default() };
    wait(answer(request(), &Machine::Cpu(Some(1)), &control, &page));
    assert_eq!(page.messages.into_inner(), []);
    let refused = dialogue(
        Request::Inspect { experiment: experiment("rank = 3\nschemes = ['orthogonal']"), data: None },
        &|_| None,
    );
    assert!(matches!(&refused[..], [Message::Refused { reason }] if reason.contains("rank")), "{refused:?}");
}

#[test]
fn a_sweep_goes_on_from_a_snapshot_as_if_it_had_never_been_interrupted() {
    // Two cohorts; a run of the second diverges before the second is interrupted.
    let settings = "steps = 12\nlearning_rates = [1e-3, 1e38]\ncohort = 2\ndiagnose_every = 6\nevaluate_every = 3";
    let request = |from| Request::Train { experiment: experiment(settings), data: None, from };
    // Only messages advance the clock, so a message at every step makes the snapshots frequent.
    let whole = dialogue(request(None), &|message| match message {
        Message::Events { events } if matches!(events[0], Event::Started { .. }) => Some(Request::Pause),
        Message::Paused { .. } => Some(Request::Step),
        _ => None,
    });
    let snapshots: Vec<usize> =
        (0..whole.len()).filter(|&place| matches!(whole[place], Message::Snapshot { .. })).collect();
    assert!(snapshots.len() > 4, "{}", snapshots.len());
    let count = |messages: &[Message]| -> Vec<String> {
        let line = |event: Event| match event {
            // Wall times differ between the two trainings.
            Event::RunFinished { result } => format!("{:?}", RunResult { seconds: 0.0, ..result }),
            Event::CohortFinished { cohort, .. } => format!("{cohort} is done"),
            Event::Finished { complete, .. } => format!("{complete}"),
            other => format!("{other:?}"),
        };
        events(messages).into_iter().map(line).collect()
    };
    for place in [snapshots[0], snapshots[snapshots.len() / 2], snapshots[snapshots.len() - 1]] {
        let Message::Snapshot { step, file } = &whole[place] else { panic!("it is one") };
        assert!((0..=12).contains(step), "{step}");
        let resumed = dialogue(request(Some(file.clone())), &|_| None);
        assert_eq!(count(&resumed), count(&whole[place..]));
        assert_eq!(adapters(&resumed), adapters(&whole[place..]));
    }
    // A snapshot of another experiment is refused.
    let Message::Snapshot { file, .. } = &whole[snapshots[0]] else { panic!("it is one") };
    let other = |settings: &str, file: &Blob| {
        let request = Request::Train { experiment: experiment(settings), data: None, from: Some(file.clone()) };
        match dialogue(request, &|_| None).pop() {
            Some(Message::Refused { reason }) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(other("steps = 12\nlearning_rates = [2e-3, 1e38]\ncohort = 2", file).contains("begin anew"));
    assert!(other(&format!("{settings}\nrank = 4"), file).contains("begin anew"));
    assert!(other(settings, &Blob(vec![0; 3])).contains("is not whole"));
}

#[test]
fn a_run_that_diverges_is_shown_as_that() {
    let messages = train("learning_rates = [1e-3, 1e38]", None);
    for scheme in record(&messages).summary().schemes {
        assert_eq!((scheme.learning_rates[0].diverged, scheme.learning_rates[1].diverged), (0, 1));
    }
    assert_eq!(adapters(&messages).len(), 2);
}

#[test]
fn a_training_waits_steps_and_ends_when_it_is_told_to() {
    let request = || Request::Train { experiment: experiment("steps = 50"), data: None, from: None };
    let messages = dialogue(request(), &|message| match message {
        Message::Events { events } if matches!(events[0], Event::Started { .. }) => Some(Request::Pause),
        // Pauses before the first step, does three steps, and stops.
        Message::Paused { step: 3 } => Some(Request::Stop),
        Message::Paused { .. } => Some(Request::Step),
        _ => None,
    });
    let paused = |message: &Message| if let Message::Paused { step } = message { Some(*step) } else { None };
    assert_eq!(messages.iter().filter_map(paused).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(record(&messages).complete, Some(false));
    assert_eq!(record(&messages).curves()[0].training.len(), 3);
    // A request to a training that has ended does not affect the next.
    let control = Control::default();
    assert!(control.accepts(&Request::Pause) && !control.accepts(&Request::Check));
    assert!(control.begin() && !control.waits() && !control.begin());
}

#[test]
fn texts_of_ones_own_are_trained() {
    let text = "the cat sat on the mat and the dog sat on the log. ".repeat(30);
    let last = record(&train("data = 'mine.txt'", Some(&text))).summary();
    assert!(last.schemes[0].best_loss.is_some_and(|loss| loss < 10.0));
    let line = |n: usize| format!("{{\"prompt\": \"{n}+1=\", \"completion\": \"{}\"}}\n", n + 1);
    let lines: String = (0..40).map(line).collect();
    assert_eq!(record(&train("data = 'mine.jsonl'", Some(&lines))).complete, Some(true));
}

#[test]
fn all_schemes_are_those_that_there_are() {
    let messages = train("schemes = ['all']\nlearning_rates = [1e-3]\nsteps = 1\nbatch_size = 1", None);
    let record = record(&messages);
    let names: Vec<_> = record.results().iter().map(|run| run.cell.scheme.as_str()).collect();
    let known = init::ALL.iter().map(|scheme| scheme.name).filter(|name| first_name(name).is_none());
    let known: Vec<_> = known.collect();
    assert!(known.len() > 10 && known.iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!((record.complete, names.len()), (Some(true), known.len()));
}

#[test]
fn a_base_of_ones_own_is_trained_on_and_writes() {
    let bring = |file: &[u8]| Request::Base { name: "my.safetensors".to_owned(), file: Blob(file.to_vec()) };
    let train = |base: &str| {
        let base = format!("base = '{base}'");
        Request::Train { experiment: experiment(&base), data: None, from: None }
    };
    let messages = dialogues(vec![bring(NANO), train("my.safetensors")], &|_| None);
    assert!(matches!(&messages[0], Message::Base { name, weights: 30_000..40_000 } if name == "my.safetensors"));
    // The same weights under another name give the same training.
    let losses = |messages: &[Message]| record(messages).summary().schemes[0].learning_rates[0].losses.clone();
    assert_eq!(losses(&messages), losses(&dialogue(train("nano"), &|_| None)));
    assert_eq!(adapters(&messages).len(), 4);

    let mut foreign = Base::from_safetensors(NANO).expect("it is whole");
    let config = foreign.model.to_json().replace("\"vocab_size\":256", "\"vocab_size\":300");
    foreign.model = loralab_core::models::Model::from_json(&config).expect("another vocabulary");
    let width = foreign.tensors[0].shape[1];
    let mut tensors = foreign.tensors.to_vec();
    tensors[0].shape[0] = 300;
    tensors[0].data = loralab_core::graph::memory::Data::F32(vec![0.0; 300 * width].into());
    foreign.tensors = tensors.into();
    let foreign = foreign.to_safetensors().expect("it is a file");
    for (file, said) in
        [(&b"what"[..], "not a whole safetensors file"), (&NANO[..5000], "whole"), (&foreign, "vocabulary of 300")]
    {
        let messages = dialogue(bring(file), &|_| None);
        let [Message::Refused { reason }] = &messages[..] else { panic!("{messages:?}") };
        assert!(reason.starts_with("the base `my.safetensors`") && reason.contains(said), "{reason}");
    }
}

#[test]
fn base_and_adapter_each_write_their_own() {
    let messages = train("learning_rates = [8e-3]\nschemes = ['init-a']\nsteps = 40\nbatch_size = 8", None);
    let adapter = adapters(&messages)[0].clone();
    let write = |adapter: Option<AdapterFiles>| {
        let request =
            Request::Write { base: "nano".to_owned(), adapter, prompt: "Emma left the inn.>".to_owned(), count: 30 };
        match &dialogue(request, &|_| None)[..] {
            [Message::Text { cell, text }] => (cell.clone(), text.clone()),
            other => panic!("{other:?}"),
        }
    };
    let (nobody, of_base) = write(None);
    let (cell, of_adapter) = write(Some(adapter.clone()));
    assert_eq!((nobody, cell), (None, Some(adapter.cell)));
    assert!(!of_base.is_empty() && of_base != of_adapter, "{of_base:?} {of_adapter:?}");
}

#[test]
fn what_cannot_be_done_is_refused_in_a_sentence() {
    for (settings, data, said) in [
        ("base = 'my.safetensors'", None, "the bases `nano` and `tiny`"),
        ("base = 'tiny'", None, "can't be fetched"),
        ("data = 'a.txt'", None, "reads `a.txt`, which is not in the page"),
        ("data = 'a.txt'", Some("short"), "a.txt: "),
        ("data = 'a.jsonl'", Some("{}"), "a.jsonl: "),
        ("data = 'a.json'", Some("[1, 2]"), "a.json: record 1: a number is no record"),
        ("tokens = 8", None, "`tokens` is 8, too few for the task translation"),
        ("rank = 0", None, "`rank` is 0"),
        ("memory = 1000", None, "memory"),
    ] {
        let messages = train(settings, data);
        let [Message::Refused { reason }] = &messages[..] else { panic!("{messages:?}") };
        assert!(reason.contains(said), "{reason}");
    }
    let checked = dialogue(Request::Check, &|_| None);
    assert!(matches!(&checked[..], [Message::Refused { reason }] if reason.contains("nothing to check")));
}
