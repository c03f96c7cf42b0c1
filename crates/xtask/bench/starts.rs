//! Time to compute a start of one large layer, ours and PEFT's in turns: what comes after data went through a model. For EVA that is what it does with a batch of rows.

use std::{
    borrow::Cow,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use loralab_core::{
    device::{Machine, RunSettings, wait},
    graph::{
        memory::{Data, Tensor, Weight},
        plan::{Optimizer, Shape},
        tape::{Purpose, Tape},
    },
    lab::{
        calibrate::{Calibration, Finder, Incremental, Setup},
        train::Run,
    },
    lora::init::{InputMoments, KnownLayer, Layer, Rule, Scheme, StartError, find},
    models::{Adapters, Base, llama::Config},
};
use loralab_data::Dataset;
use loralab_linalg::{Mat, Stream, normal_matrix, to_rows};

use crate::{peer::Peer, spread::Spread};

const RANK: usize = 16;
const SCALE: f32 = 2.0;
/// Rounds of a start: so many at least, and at most, where they are soon over.
const ROUNDS: [usize; 2] = [3, 25];
/// Seconds after which no more rounds than needed are begun.
const ENOUGH: f64 = 3.0;
/// Pause before each measurement, as threads of the one before may still spin.
const PAUSE: Duration = Duration::from_millis(50);
/// Rows of a batch.
const ROWS: usize = 512;

/// The base is one layer; nothing goes through a model.
const NO_DECODER: Config = Config {
    vocabulary: 1,
    width: 2,
    layers: 1,
    heads: 1,
    kv_heads: 1,
    feed_forward: 1,
    rope_theta: 1.0,
    epsilon: 1.0,
    tied: true,
    tokens: 1,
};

/// Begins the one layer of `base` by a scheme that asks a device, which is made for it.
fn asked(scheme: &'static Scheme, base: &Base, machine: &Machine) -> Result<()> {
    let [outputs, inputs] = base.tensors[0].shape;
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 1 }, true);
    let x = tape.features(inputs);
    let y = tape.lora_linear(x, Weight::Frozen(0), None, outputs, RANK, "layer");
    tape.mse(y);
    let plan = tape.compile(Purpose::Train(Optimizer::SignSgd));
    let make_device = |plan, base| machine.make(plan, base);
    let calibration = Calibration {
        setup: Setup {
            base,
            adapters: &Adapters::new(RANK, vec![]),
            sequences: 1,
            tokens: 1,
            optimizer: Optimizer::SignSgd,
            preconditioner: None,
        },
        steps: 1,
        train: &Dataset::Text(vec![]),
        make_device: &make_device,
    };
    let settings = RunSettings { scale: SCALE.into(), learning_rate_ratio: 1.0, weight_decay: 0.0, max_grad_norm: 0.0 };
    let run = Run { scheme, chosen: Default::default(), seed: 0, learning_rate: 0.0, settings };
    wait(calibration.starts(&[run], &plan))?.swap_remove(0)?;
    Ok(())
}

/// Prints the table, for a square layer of this width: on the processor all, on a GPU those that ask it for products, PEFT's on it likewise.
pub fn print(width: usize, python: &Path, machine: &Machine) -> Result<()> {
    println!("\n## Starts of a {width} × {width} layer, rank {RANK}, seconds, on {}\n", machine.describe());
    let on_gpu = matches!(machine, Machine::Gpu(_));
    let peer = Peer::starts(python, if on_gpu { "cuda" } else { "cpu" }, width, RANK);
    match &peer {
        Ok(peer) => println!("Beside {}.\n", peer.about),
        Err(why) => println!("PEFT takes no part: {why}\n"),
    }
    let mut peer = peer.ok();
    // The weights of a trained layer fall about as the root of their order; those drawn here do too.
    let draw = |name: &str| normal_matrix(&Stream::new(0, name), width, width);
    let (left, right) = (draw("left"), draw("right"));
    let fall = Mat::from_fn(width, width, |i, k| left[(i, k)] / ((k + 1) as f64).sqrt());
    let weight = fall * right.transpose();
    let inputs = InputMoments {
        rows: 4 * width,
        mean: vec![0.0; width],
        second: to_rows((weight.transpose() * &weight).as_ref()),
    };
    let rows = to_rows(weight.as_ref());
    let layer = Layer { name: "layer", inputs: width, outputs: width, rank: RANK, scale: SCALE, chosen: &[] };
    let tensor = Tensor { name: "layer.weight".to_owned(), shape: [width; 2], data: Data::F32(rows.clone().into()) };
    let base = Base { model: NO_DECODER.into(), tensors: [tensor].into() };
    let batch = to_rows(normal_matrix(&Stream::new(0, "batch"), ROWS, width).as_ref());
    let mut finder =
        wait(Finder::new(width, ROWS, find("eva")?.rule.spread() * RANK, &|plan, base| machine.make(plan, base)))?;
    println!("| scheme | loralab | PEFT | ratio |\n|---|---:|---:|---:|");
    for scheme in ["pissa", "pissa-niter-4", "olora", "eva", "corda-ipm"] {
        let found = find(scheme)?;
        if on_gpu && !matches!(found.rule, Rule::Product { .. } | Rule::Triplets { .. } | Rule::Components { .. }) {
            continue;
        }
        let mut ours = || -> Result<f64> {
            let began = Instant::now();
            match found.rule {
                Rule::Components { .. } => wait(Incremental::new(width).add(&batch, &mut finder))?,
                Rule::Activations { start, .. } => {
                    let weight = || Ok::<_, StartError>(weight.clone());
                    start(&[KnownLayer { layer, inputs: &inputs, code: None, weight: &weight }])?;
                }
                Rule::Product { .. } | Rule::Triplets { .. } => asked(found, &base, machine)?,
                _ => drop(found.start(&layer, || Some(Cow::Borrowed(&rows)), 0)?),
            }
            Ok(began.elapsed().as_secs_f64())
        };
        if on_gpu {
            // The first use of a GPU compiles what it runs.
            ours()?;
            peer.as_mut().map(|peer| peer.ask(scheme)).transpose()?;
        }
        let (mut own, mut theirs) = (vec![], vec![]);
        let [least, most] = ROUNDS;
        while own.len() < least || own.len() < most && own.iter().chain(&theirs).sum::<f64>() < ENOUGH {
            sleep(PAUSE);
            own.push(ours()?);
            if let Some(peer) = &mut peer {
                sleep(PAUSE);
                theirs.push(peer.ask(scheme)?);
            }
        }
        let own = Spread::of(own);
        if theirs.is_empty() {
            println!("| {scheme} | {own:.3} | | |");
        } else {
            let theirs = Spread::of(theirs);
            println!("| {scheme} | {own:.3} | {theirs:.3} | {:.1} |", theirs.median / own.median);
        }
    }
    Ok(())
}
