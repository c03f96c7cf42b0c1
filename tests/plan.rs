//! The buffers of a plan: handing them on changes no bit, and nothing is read that was not written.

use std::collections::{HashMap, HashSet};

use loralab_core::{
    device::Slice,
    graph::{
        memory::{Buffer, Group, InputName, MicroBatch, Values, Weight},
        ops::{Dispatch, Op},
        plan::{Plan, Shape},
        recording::Results,
        tape::{Purpose, Tape},
    },
    lab::calibrate::range,
};
use loralab_cpu::{Scratch, Store, Threads};

use crate::small::{SETTINGS, Subject, TRAIN, subjects, two_micro_batches};

#[test]
fn reuse_changes_no_bit_of_loss_or_gradient() {
    for subject in subjects(2).iter().chain([&two_micro_batches()]) {
        let reused = subject.device::<f32>(subject.tape().compile(TRAIN));
        let separate = subject.device::<f32>(subject.tape().compile_without_reuse(TRAIN));
        let (loss, gradient) = reused.gradient(0, subject.rows.input());
        assert!(loss.is_finite());
        assert!((loss, gradient) == separate.gradient(0, subject.rows.input()), "{}", subject.what);
    }
}

#[test]
fn layers_that_are_computed_again_change_no_bit_and_take_less_memory() {
    for subject in subjects(6).iter().chain([&two_micro_batches()]) {
        let plan = |recomputes: bool| {
            let mut tape = subject.tape();
            tape.recompute_layers(recomputes);
            tape.compile(TRAIN)
        };
        let (kept, again) = (plan(false), plan(true));
        let (more, columns) = (again.backward.len() - kept.backward.len(), [&kept, &again].map(Plan::columns));
        let results = [kept, again].map(|plan| subject.device::<f32>(plan).gradient(0, subject.rows.input()));
        assert!(results[0].0.is_finite() && results[0] == results[1], "{}", subject.what);
        println!("{}: {more} dispatches more, {columns:?} columns", subject.what);
        let is_layered = !["teacher", "values", "attention"].iter().any(|what| subject.what.starts_with(what));
        assert_eq!(more > 0, is_layered, "{}", subject.what);
        let is_short = subject.what.ends_with("two micro-batches");
        assert!(!is_layered || is_short || 3 * columns[1] < 2 * columns[0], "{}: {columns:?}", subject.what);
    }
}

#[test]
fn nothing_left_in_a_buffer_is_ever_read() {
    for subject in subjects(2) {
        let plan = subject.tape().compile(TRAIN);
        let poisoned = replay_poisoned(&subject, &plan);
        let device = subject.device::<f64>(plan);
        assert!(poisoned == device.gradient(0, subject.rows.input()), "{}", subject.what);
    }
}

#[test]
fn micro_batches_together_are_all_rows_of_a_run() {
    let subject = two_micro_batches();
    let plan = subject.tape().compile(TRAIN);
    let (loss, gradient) = replay_poisoned(&subject, &plan);
    let (sum, gradients) = subject.device::<f64>(plan).gradient(0, subject.rows.input());
    let near = |x: f64, y: f64| (x - y).abs() <= 1e-12 * (1.0 + y.abs());
    assert!(near(sum, loss), "the micro-batches' losses sum to {sum}, all rows at once give {loss}");
    assert!(
        gradients.iter().zip(&gradient).all(|(&sum, &whole)| near(sum, whole)),
        "the micro-batches' gradients do not add up"
    );
}

#[test]
fn every_value_is_written_before_it_is_read() {
    for subject in subjects(2) {
        let plan = subject.tape().compile_without_reuse(TRAIN);
        let mut written: HashSet<Buffer> = inputs(&plan).collect();
        for dispatch in dispatches(&plan) {
            for value in &dispatch.reads {
                assert!(written.contains(value), "{}: {} reads {value:?} too early", subject.what, name(dispatch));
            }
            for &(value, store) in &dispatch.writes {
                let first = written.insert(value);
                let (what, name) = (subject.what, name(dispatch));
                assert_eq!(first, store == Store::Set, "{what}: {name} must set {value:?} once, then add to it");
            }
        }
    }
}

#[test]
fn no_dispatch_uses_a_buffer_twice_where_one_use_writes() {
    for subject in subjects(2) {
        for plan in [subject.tape().compile(TRAIN), subject.tape().compile_without_reuse(TRAIN)] {
            for dispatch in dispatches(&plan) {
                let mut written = HashSet::new();
                for (value, _) in &dispatch.writes {
                    let (what, name) = (subject.what, name(dispatch));
                    assert!(written.insert(value), "{what}: {name} writes {value:?} twice");
                    assert!(!dispatch.reads.contains(value), "{what}: {name} reads and writes {value:?}");
                }
            }
        }
    }
}

#[test]
fn a_buffer_is_handed_on_only_after_its_value_was_read_for_the_last_time() {
    for subject in subjects(2) {
        let (reused, separate) = (subject.tape().compile(TRAIN), subject.tape().compile_without_reuse(TRAIN));
        let home = homes(&reused, &separate);
        let lives = lives(&separate);
        for (value, buffer) in &home {
            let (room, needed) = (reused.buffers[buffer.0], separate.buffers[value.0]);
            assert!(room.columns >= needed.columns, "{}: {value:?} has no room", subject.what);
            assert_eq!(
                (room.dtype, room.rows),
                (needed.dtype, needed.rows),
                "{}: {value:?} is of a type",
                subject.what
            );
            for (other, _) in home.iter().filter(|(other, place)| *other != value && *place == buffer) {
                let (one, two) = (lives[value], lives[other]);
                let apart = one.1 < two.0 || two.1 < one.0;
                assert!(apart, "{}: {value:?} and {other:?} live in one buffer at a time", subject.what);
            }
        }
        for port in inputs(&separate).chain(separate.results.iter()) {
            let (buffer, columns) = (home[&port], separate.buffers[port.0]);
            assert_eq!(reused.buffers[buffer.0], columns, "{}: what the host sees is as wide as it is", subject.what);
        }
        let (few, many) = (reused.columns(), separate.columns());
        println!("{}: {few} columns instead of {many}", subject.what);
        assert!(few < many, "{}: reuse saves nothing", subject.what);
    }
}

/// Each dispatch reads the result of the one before and writes to another buffer, and more iterations need no more buffers.
#[test]
fn a_range_finder_goes_to_and_fro_in_the_same_buffers() {
    let plan = range(Weight::Frozen(0), [7, 5], 3, 4);
    let mut last = plan.input(InputName::Features).map(|input| input.buffer);
    for dispatch in dispatches(&plan) {
        let (read, written) = (dispatch.reads[0], dispatch.writes[0].0);
        assert!(Some(read) == last && read != written, "{} reads {read:?}", name(dispatch));
        let widths = [read, written].map(|buffer| plan.buffers[buffer.0].columns);
        assert!(dispatch.types.iter().zip(widths).all(|(kind, width)| kind.columns <= width), "{}", name(dispatch));
        last = Some(written);
    }
    assert_eq!((last, plan.forward.len()), (plan.results.prediction, 4 * (1 + 4)));
    assert_eq!(plan.buffers.len(), range(Weight::Frozen(0), [7, 5], 3, 64).buffers.len());
}

/// The observed values are the basis and the product, and nothing overwrites them.
#[test]
fn what_a_range_finder_observes_lasts() {
    let plan = range(Weight::Frozen(0), [7, 5], 3, 2);
    let written: Vec<Buffer> = plan.forward.iter().map(|dispatch| dispatch.writes[0].0).collect();
    let last = written.len() - 1;
    assert_eq!(plan.observed, [(written[last - 2], 7), (written[last - 1], 5)]);
    for (place, (value, _)) in plan.observed.iter().enumerate() {
        assert!(written[last - 1 + place..].iter().all(|later| later != value), "{value:?} is written over");
    }
}

/// A plan that only observes ends with what it observes, and reads what that takes.
#[test]
fn a_plan_that_observes_goes_no_further() {
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 3 }, false);
    let x = tape.features(4);
    let y = tape.linear(x, Weight::Frozen(0), None, 6);
    tape.observe(y, "down");
    let z = tape.linear(y, Weight::Frozen(1), None, 5);
    tape.mse(z);
    let plan = tape.compile(Purpose::Observe);
    assert_eq!((plan.forward.len(), plan.backward.len()), (1, 0));
    assert_eq!(plan.observed, [(plan.forward[0].writes[0].0, 6)]);
    assert_eq!(plan.inputs.iter().map(|input| input.name).collect::<Vec<_>>(), [InputName::Features]);
    assert_eq!(plan.results, Results::default());
}

#[test]
#[should_panic(expected = "no gradient passes through")]
fn no_gradient_passes_through_orthonormal_rows() {
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 3 }, false);
    let weight = tape.parameter("w", [5, 4], Group::Matrix);
    let x = tape.features(4);
    let y = tape.linear(x, Weight::Trained(weight), None, 5);
    tape.orthonormal(y);
}

#[test]
#[should_panic(expected = "reads one value twice")]
fn an_op_that_reads_one_value_twice_is_refused_when_it_is_recorded() {
    let mut tape = Tape::new(subjects(2)[0].shape, false);
    let x = tape.features(4);
    tape.swiglu(x, x);
}

/// Loss and gradient of a plan whose buffers hold NaN wherever nothing was written.
fn replay_poisoned(subject: &Subject, plan: &Plan) -> (f64, Vec<f64>) {
    let wide = |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
    let rows = plan.shape.rows_per_run();
    let buffers: Vec<Vec<f64>> = plan.buffers.iter().map(|kind| vec![f64::NAN; rows * kind.columns]).collect();
    let mut values = Values { rows, words: vec![vec![]; buffers.len()], buffers };
    for input in &plan.inputs {
        match subject.rows.input().of(input, plan.shape).slice() {
            Slice::F32(rows) => values.buffers[input.buffer.0] = wide(rows.to_vec()),
            Slice::U32(rows) => values.words[input.buffer.0] = rows.to_vec(),
        }
    }
    let mut gradients = vec![0.0; plan.trained_len()];
    let mut micro_batch = MicroBatch {
        values: &mut values,
        trained: &wide(subject.trained(plan)),
        frozen_pairs: &wide(subject.frozen_pairs(plan)),
        gradients: &mut gradients,
        base: &subject.base,
        tables: &plan.tables,
        scale: SETTINGS.scale,
        threads: Threads::One,
        scratch: &mut Scratch::new(),
    };
    for dispatch in dispatches(plan) {
        Op::run(dispatch, &mut micro_batch);
    }
    let loss =
        plan.results.loss.map_or(f64::NAN, |buffer| values.read(buffer, 1).iter().fold(0.0, |sum, loss| sum + loss));
    (loss, gradients)
}

fn dispatches(plan: &Plan) -> impl Iterator<Item = &Dispatch> {
    plan.forward.iter().chain(&plan.backward)
}

/// The buffer of every value; `separate` is the same plan before values were given buffers.
fn homes(reused: &Plan, separate: &Plan) -> HashMap<Buffer, Buffer> {
    let mut home = HashMap::new();
    for (placed, dispatch) in dispatches(reused).zip(dispatches(separate)) {
        for (buffer, value) in placed.uses().zip(dispatch.uses()) {
            assert_eq!(*home.entry(value).or_insert(buffer), buffer, "{value:?} moved");
        }
    }
    home
}

/// First and last dispatch that use a value; values of the host are used from before the first to after the last.
fn lives(separate: &Plan) -> HashMap<Buffer, (usize, usize)> {
    let mut lives: HashMap<Buffer, (usize, usize)> =
        inputs(separate).chain(separate.results.iter()).map(|port| (port, (0, usize::MAX))).collect();
    for (time, dispatch) in dispatches(separate).enumerate() {
        for value in dispatch.uses() {
            let life = lives.entry(value).or_insert((time, time));
            life.1 = life.1.max(time);
        }
    }
    lives
}

/// Values that the host writes.
fn inputs(plan: &Plan) -> impl Iterator<Item = Buffer> + '_ {
    plan.inputs.iter().map(|input| input.buffer)
}

fn name(dispatch: &Dispatch) -> String {
    format!("{} {}/{}", dispatch.label, dispatch.op.name(), dispatch.pass.name())
}
