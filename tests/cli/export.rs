//! `export`: adapters in llama.cpp's file format, read again by the program's own reader.

use std::fs;

use loralab_checkpoint::{Bytes, GgufAdapter, read_gguf_adapter};
use loralab_core::lora::peft::Adapter;

use super::{
    Place,
    checkpoints::{gguf, nano},
};

fn exported(place: &Place, file: &str) -> GgufAdapter {
    let bytes = Bytes::from(fs::read(place.path(file)).expect("the file was written"));
    read_gguf_adapter(&bytes, &nano().1).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn an_adapter_for_llama_cpp_has_the_same_products() {
    let place = Place::new();
    // The root's scale has no α of its own in such a file, so it becomes that of the plain one.
    let flags = ["--rank", "4", "--alpha", "6", "--scaling", "rslora"];
    place.succeed(&[&["init", "peft-false", "--base", "nano", "--output", "adapter"], &flags[..]].concat());
    let tensors = fs::read(place.path("adapter/adapter_model.safetensors")).expect("the tensors");
    let adapter = Adapter::from_peft(&place.read("adapter/adapter_config.json"), &tensors).expect("an adapter");
    place.write("nano.gguf", gguf());
    let told = place.succeed(&["export", "--adapter", "adapter", "--gguf", "own.gguf"]).stdout;
    assert!(told.contains("own.gguf: 14 modules of rank 4") && told.contains("`nano`"), "{told}");
    // The model's own file says the same of it.
    place.succeed(&["export", "--adapter", "adapter", "--gguf", "other.gguf", "--model", "nano.gguf"]);
    assert_eq!(fs::read(place.path("own.gguf")).expect("a file"), fs::read(place.path("other.gguf")).expect("a file"));
    place.succeed(&["export", "--adapter", "adapter", "--gguf", "half.gguf", "--format", "f16"]);
    let [whole, half] = ["own.gguf", "half.gguf"].map(|file| exported(&place, file));
    assert_eq!((whole.modules.len(), whole.alpha), (14, 12.0));
    assert!((whole.alpha / 4.0 - adapter.scale()).abs() < 1e-6);
    for ((module, whole), half) in adapter.modules.iter().zip(&whole.modules).zip(&half.modules) {
        assert_eq!((&module.name, [4, module.inputs, module.outputs]), (&whole.name, whole.shape));
        assert!(module.a == whole.a && module.b == whole.b, "{}", module.name);
        let near = |x: &[f32], y: &[f32]| x.iter().zip(y).all(|(x, y)| (x - y).abs() <= x.abs() / 2048.0 + 1e-7);
        assert!(near(&module.a, &half.a) && near(&module.b, &half.b) && half.a != whole.a, "{}", module.name);
    }
    let sizes = ["own.gguf", "half.gguf"].map(|file| fs::metadata(place.path(file)).expect("a file").len());
    assert!(sizes[1] < sizes[0] * 6 / 10, "{sizes:?}");

    place.refuse(&["generate", "--base", "own.gguf", "--prompt", "a"], 1, &["an adapter for llama.cpp"]);
    place.refuse(&["export", "--adapter", "adapter", "--gguf", "own.gguf"], 2, &["`own.gguf` exists"]);
}

#[test]
fn what_llama_cpp_cannot_run_is_refused() {
    let place = Place::new();
    place.succeed(&["init", "peft-false", "--base", "nano", "--rank", "2", "--output", "adapter"]);
    place.succeed(&["init", "loftq-nf4", "--base", "nano", "--rank", "2", "--output", "quantised"]);
    place.write("damaged.safetensors", "{}");
    for (flags, code, words) in [
        (&["--adapter", "nowhere"][..], 1, &["no adapter folder `nowhere`"][..]),
        (&["--adapter", "quantised"], 1, &["quantised copy of `nano`"]),
        (&["--adapter", "adapter", "--model", "tiny"], 1, &["was not made for `tiny`", "--model"]),
        (&["--adapter", "adapter", "--model", "nowhere"], 1, &["no base `nowhere`"]),
        (&["--adapter", "adapter", "--model", "damaged.safetensors"], 1, &["`damaged.safetensors` cannot be used"]),
        (&["--adapter", "adapter", "--format", "q8_0"], 2, &["f32, f16"]),
    ] {
        place.refuse(&[&["export", "--gguf", "out.gguf"], flags].concat(), code, words);
    }
    place.refuse(&["export", "--adapter", "adapter"], 2, &["--gguf"]);
}
