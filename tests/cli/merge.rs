//! `merge`: weights with an adapter in them, in the model's own layout, that compute what base and adapter compute.

use std::{fs, sync::Arc};

use half::f16;
use loralab_checkpoint::{Bytes, Checkpoint, Format, Stored, files, read_safetensors};
use loralab_core::{
    device::{Cpu, Inputs, RunSettings},
    graph::{
        memory::InputName,
        plan::Shape,
        tape::{Purpose, Tape},
    },
    lab::train::Initial,
    lora::peft::{Adapter, Module},
    models::{Adapters, Base, Training},
};
use safetensors::SafeTensors;

use super::{
    Place,
    checkpoints::{file, gguf, nano, write_sharded},
    generate::{base, mixed},
};

/// Writes an adapter of this base whose factors are not zero.
fn start(place: &Place, base: &str, folder: &str) -> Adapter {
    place.succeed(&["init", "peft-false", "--base", base, "--rank", "3", "--alpha", "2", "--output", folder]);
    let tensors = fs::read(place.path(&format!("{folder}/adapter_model.safetensors"))).expect("the tensors");
    Adapter::from_peft(&place.read(&format!("{folder}/adapter_config.json")), &tensors).expect("an adapter")
}

/// W + s B A in f64, row-major.
fn sum(weight: &[f32], module: &Module, scale: f64) -> Vec<f64> {
    let Module { a, b, inputs, .. } = module;
    let rank = a.len() / inputs;
    let product = |row: usize, column: usize| {
        (0..rank).map(|k| f64::from(b[row * rank + k]) * f64::from(a[k * inputs + column])).sum::<f64>()
    };
    let each = weight.iter().enumerate();
    each.map(|(at, &weight)| f64::from(weight) + scale * product(at / inputs, at % inputs)).collect()
}

/// The logits of a base with an adapter, or without one, for eight tokens.
fn logits(base: &Base, adapter: Option<&Adapter>) -> Vec<f32> {
    let target_modules = base.model.linears().into_iter().map(|linear| linear.name).collect();
    let adapters = Adapters::new(adapter.map_or(1, |adapter| adapter.rank), target_modules);
    let mut tape = Tape::new(Shape { runs: 1, sequences: 1, tokens: 8 }, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    let plan = Arc::new(tape.compile(Purpose::Predict));
    let mut device = Cpu::<f32>::new(plan.clone(), base.tensors.clone(), Some(1));
    let initial = adapter.map(|adapter| Initial::of_adapter(&plan, adapter, 0));
    let zeros = vec![0.0; plan.trained_len()];
    let trained = initial.as_ref().map_or(&zeros[..], Initial::trained);
    let scale = adapter.map_or(1.0, Adapter::scale);
    device.load(0, trained, &[], RunSettings { scale, ..RunSettings::PLAIN });
    let vocabulary = base.model.vocabulary() as u32;
    let tokens: Vec<u32> = (0..8).map(|token| (token * 37 + 5) % vocabulary).collect();
    let (zeros, weights, positions) = (vec![0_u32; 8], vec![0.0_f32; 8], (0..8).collect::<Vec<u32>>());
    let inputs = Inputs::new()
        .with(InputName::Tokens, &tokens)
        .with(InputName::Targets, &zeros)
        .with(InputName::Weights, &weights)
        .with(InputName::Positions, &positions);
    device.predict(&[inputs]).remove(0)
}

/// The largest difference of two lists of logits, relative to the largest logit.
fn apart(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let largest = one.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    one.iter().zip(other).fold(0.0_f32, |most, (x, y)| most.max((x - y).abs())) / largest
}

fn opened(place: &Place, folder: &str) -> (Checkpoint, Base) {
    let checkpoint = files::open(&place.path(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let base = Base::from_checkpoint(&checkpoint).unwrap_or_else(|error| panic!("{folder}: {error}"));
    (checkpoint, base)
}

#[test]
fn a_model_in_f32_is_the_sum_and_has_the_same_logits() {
    let place = Place::new();
    // Smaller weights than the helper's, so that attention is not saturated.
    place.write(
        "base.safetensors",
        base(|name, row, column| if name.ends_with("norm.weight") { 1.0 } else { 0.3 * mixed(name, row, column) }),
    );
    let adapter = start(&place, "base.safetensors", "adapter");
    let told = place.succeed(&["merge", "--model", "base.safetensors", "--adapter", "adapter", "--output", "out"]);
    assert!(told.stdout.contains("out: base.safetensors with 7 modules of `adapter`"), "{}", told.stdout);
    let (_, merged) = opened(&place, "out");
    let whole = Base::from_safetensors(fs::read(place.path("base.safetensors")).expect("a file")).expect("a base");
    let mut changed = 0;
    for (before, after) in whole.tensors.iter().zip(merged.tensors.iter()) {
        let module = adapter.modules.iter().find(|module| before.name == format!("{}.weight", module.name));
        let Some(module) = module else {
            assert_eq!(before, after);
            continue;
        };
        changed += 1;
        let expected: Vec<f32> =
            sum(&before.data.to_f32(), module, adapter.scale()).iter().map(|&x| x as f32).collect();
        assert!(*after.data.to_f32() == expected[..] && before.data.to_f32() != after.data.to_f32(), "{}", before.name);
    }
    assert_eq!(changed, 7);
    let apart = apart(&logits(&whole, Some(&adapter)), &logits(&merged, None));
    assert!(apart < 2e-6, "logits are {apart:e} apart");
    // The folder is a base of its own, and no second output.
    assert!(place.succeed(&["generate", "--base", "out", "--prompt", "a", "--count", "3"]).stderr.is_empty());
    let again = ["merge", "--model", "base.safetensors", "--adapter", "adapter", "--output", "out"];
    place.refuse(&again, 2, &["`out` exists and is not empty"]);
}

#[test]
fn shards_index_and_tokenizer_stay_as_they_were() {
    let place = Place::new();
    let (tensors, config) = nano();
    write_sharded(&place, "model", &config, &tensors);
    let beside = ["generation_config.json", "notes.txt", "pytorch_model.bin", "model.gguf"];
    beside.iter().for_each(|name| place.write(&format!("model/{name}"), format!("{{\"what\": \"{name}\"}}")));
    fs::create_dir(place.path("model/onnx")).expect("a folder");
    let adapter = start(&place, "model", "adapter");
    let told = place.succeed(&["merge", "--model", "model", "--adapter", "adapter", "--output", "out"]).stderr;
    assert!(
        told.contains("Not copied, since the adapter is not in them: model.gguf, onnx, pytorch_model.bin."),
        "{told}"
    );
    let names = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort_unstable();
        names
    };
    let left = ["model.gguf", "onnx", "pytorch_model.bin"];
    let expected: Vec<String> = names("model").into_iter().filter(|name| !left.contains(&&**name)).collect();
    assert_eq!(names("out"), expected);
    for name in ["config.json", "model.safetensors.index.json", "generation_config.json", "notes.txt"] {
        assert_eq!(place.read(&format!("out/{name}")), place.read(&format!("model/{name}")), "{name}");
    }
    for part in 1..=2 {
        let name = format!("model-{part:05}-of-00002.safetensors");
        let read = |folder: &str| {
            let bytes = Bytes::from(fs::read(place.path(&format!("{folder}/{name}"))).expect("a shard"));
            let mut tensors = read_safetensors(&bytes).expect("a whole file").tensors;
            tensors.sort_by(|one, other| one.name.cmp(&other.name));
            tensors
        };
        let (before, after) = (read("model"), read("out"));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((&before.name, &before.shape, &after.format), (&after.name, &after.shape, &Format::F16));
            let module = adapter.modules.iter().find(|module| before.name == format!("{}.weight", module.name));
            let Some(module) = module else {
                assert_eq!(before, after);
                continue;
            };
            let expected = sum(&before.to_f32().expect("floats"), module, adapter.scale());
            for (x, found) in expected.iter().zip(after.elements::<f16>().iter()) {
                let distance = |bits: u16| (f16::from_bits(bits).to_f64() - x).abs();
                let bits = found.to_bits();
                let nearer = [bits.wrapping_sub(1), bits.wrapping_add(1)]
                    .into_iter()
                    .find(|&other| distance(other) < distance(bits));
                assert_eq!(nearer, None, "{}: {found} is not the nearest to {x}", before.name);
            }
        }
    }
    // Rounded to f16, the sums are no longer exact.
    let ((_, whole), (_, merged)) = (opened(&place, "model"), opened(&place, "out"));
    assert!(whole.tensors.iter().all(|tensor| tensor.name != "lm_head.weight"), "nano is tied");
    let apart = apart(&logits(&whole, Some(&adapter)), &logits(&merged, None));
    assert!(apart < 5e-3, "logits are {apart:e} apart");
}

/// GPT-2, whose files hold the transposed matrices, with the adapter that PEFT made.
#[test]
fn transposed_weights_get_the_transposed_sum() {
    let place = Place::new();
    let fixture = include_bytes!("../fixtures/models/gpt2.safetensors");
    let fixture = SafeTensors::deserialize(fixture).expect("the fixture is whole");
    place.write("gpt2.safetensors", fixture.tensor("base").expect("the fixture has a base").data());
    let whole = Base::from_safetensors(fs::read(place.path("gpt2.safetensors")).expect("a file")).expect("a base");
    let floats = |name: &str| -> Vec<f32> {
        let bytes = fixture.tensor(name).expect("the fixture has it").data();
        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let module = |linear: &loralab_core::models::Linear| Module {
        name: linear.name.clone(),
        inputs: linear.inputs,
        outputs: linear.outputs,
        a: floats(&format!("adapter.{}.lora_A.weight", linear.name)),
        b: floats(&format!("adapter.{}.lora_B.weight", linear.name)),
        factor: 1.0,
        frozen: None,
    };
    let modules: Vec<Module> = whole.model.linears().iter().map(module).collect();
    let rank = modules[0].a.len() / modules[0].inputs;
    let adapter = Adapter {
        base: "gpt2.safetensors".to_owned(),
        quantised_base: None,
        saved: vec![],
        rank,
        alpha: 8.0,
        use_rslora: false,
        dropout: 0.0,
        target_modules: whole.model.targets(),
        modules,
    };
    let files = adapter.to_peft().expect("a sound adapter");
    fs::create_dir(place.path("adapter")).expect("a folder");
    place.write("adapter/adapter_config.json", files.config_json);
    place.write("adapter/adapter_model.safetensors", files.safetensors);
    place.succeed(&["merge", "--base", "gpt2.safetensors", "--adapter", "adapter", "--output", "out"]);
    let (checkpoint, merged) = opened(&place, "out");
    let stored = |tensor: &Stored| (tensor.name.clone(), tensor.shape.clone());
    let before = read_safetensors(&fs::read(place.path("gpt2.safetensors")).expect("a file").into()).expect("a file");
    let shapes = |tensors: &[Stored]| {
        let mut shapes: Vec<_> = tensors.iter().map(stored).collect();
        shapes.sort();
        shapes
    };
    assert_eq!(shapes(&before.tensors), shapes(&checkpoint.tensors));
    let [unmerged, merged, base] = [logits(&whole, Some(&adapter)), logits(&merged, None), logits(&whole, None)];
    let (near, far) = (apart(&unmerged, &merged), apart(&unmerged, &base));
    // The weights are stored in bf16, to which the sums are rounded: 2⁻⁹ of each, in two layers.
    assert!(near < 2e-2 && far > 0.5, "logits are {near:e} apart, and the base's {far:e}");
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let place = Place::new();
    let (tensors, config) = nano();
    place.write("nano.gguf", gguf());
    place.write("base.safetensors", base(mixed));
    place.write("unsized.safetensors", file(&tensors));
    place.succeed(&["init", "peft-false", "--base", "nano", "--rank", "2", "--output", "adapter"]);
    place.succeed(&["init", "loftq-nf4", "--base", "nano", "--rank", "2", "--output", "quantised"]);
    fs::create_dir(place.path("whole")).expect("a folder");
    place.write("whole/config.json", config);
    let huge = tensors.iter().map(|tensor| match tensor.name.contains("up_proj") {
        true => Stored::of_f32(tensor.name.clone(), tensor.shape.clone(), &vec![0.0; tensor.shape.iter().product()]),
        false => tensor.clone(),
    });
    place.write("whole/model.safetensors", file(&huge.collect::<Vec<_>>()));
    let mut config = place.json("adapter/adapter_config.json");
    config["lora_alpha"] = serde_json::json!(1e30);
    fs::create_dir(place.path("diverged")).expect("a folder");
    place.write("diverged/adapter_config.json", config.to_string());
    let tensors = fs::read(place.path("adapter/adapter_model.safetensors")).expect("the tensors");
    place.write("diverged/adapter_model.safetensors", tensors);
    for (model, adapter, words) in [
        ("nano.gguf", "adapter", &["GGUF"][..]),
        ("base.safetensors", "adapter", &["cannot be merged into `base.safetensors`", "choose the model"]),
        ("unsized.safetensors", "adapter", &["config.json must lie beside it"]),
        ("nowhere", "adapter", &["no base `nowhere`"]),
        ("nano", "nowhere", &["no adapter folder `nowhere`"]),
        ("nano", "quantised", &["quantised copy of `nano`"]),
        // The first weight that is not finite ends it, with half a file written, of which nothing is left.
        ("whole", "diverged", &["that F16 cannot"]),
    ] {
        place.refuse(&["merge", "--model", model, "--adapter", adapter, "--output", "out"], 1, words);
    }
    place.refuse(&["merge", "--model", "nano", "--adapter", "adapter", "--output", "adapter"], 2, &["not empty"]);
    place.refuse(&["merge", "--model", "nano", "--adapter", "adapter"], 2, &["--output"]);
}
