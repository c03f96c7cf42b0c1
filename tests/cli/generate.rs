//! `generate`: which byte follows, and what is said where none can.

use loralab_core::{
    graph::memory::{Data, Tensor},
    lora::peft::Adapter,
    models::{Base, Model, llama::Config},
};

use super::Place;

/// A decoder of one layer that is 8 wide and reads bytes, with the weights that `weight` says of a tensor's name, row and column.
pub fn base(weight: impl Fn(&str, usize, usize) -> f32) -> Vec<u8> {
    let config = Config {
        vocabulary: 256,
        width: 8,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        feed_forward: 8,
        rope_theta: 1e4,
        epsilon: 1e-6,
        tied: true,
        tokens: 16,
    };
    let tensor = |(name, shape): (String, [usize; 2])| {
        let values = (0..shape[0] * shape[1]).map(|place| weight(&name, place / shape[1], place % shape[1]));
        let data = Data::F32(values.collect());
        Tensor { name, shape, data }
    };
    let model = Model::from(config);
    let tensors = model.tensors().into_iter().map(tensor).collect();
    Base { model, tensors }.to_safetensors().expect("tensors of their shapes").into()
}

/// Numbers without a pattern, from −1 to 1.
pub fn mixed(name: &str, row: usize, column: usize) -> f32 {
    if name.ends_with("norm.weight") {
        return 1.0;
    }
    ((name.len() * 31 + row * 17 + column * 29 + row * column * 7) as f32 * 12.9898).sin()
}

/// Layers that add nothing, so that a byte's logits are its own row times every row.
fn embedding(name: &str, row: usize, column: usize) -> f32 {
    match (name, u8::try_from(row)) {
        ("model.embed_tokens.weight", Ok(b'a' | b'q' | b'z')) => [4.0, 3.0, 2.0, 1.0][column % 4],
        ("model.embed_tokens.weight", _) => 0.125 * mixed(name, row, column),
        _ if name.ends_with("norm.weight") => 1.0,
        _ => 0.0,
    }
}

#[test]
fn of_equal_logits_the_first_is_taken() {
    let place = Place::new();
    place.write("tie.safetensors", base(embedding));
    let flags = ["generate", "--base", "tie.safetensors", "--prompt", "q", "--count", "3"];
    assert_eq!(place.succeed(&flags).stdout, "aaa\n");
}

#[test]
fn logits_that_are_not_finite_are_an_error_that_names_the_first_tensor() {
    let place = Place::new();
    let huge = |name: &str, row, column| match name.contains("up_proj") {
        true => 3e38,
        false => mixed(name, row, column),
    };
    place.write("huge.safetensors", base(huge));
    for temperature in ["0", "1"] {
        let flags = ["generate", "--base", "huge.safetensors", "--prompt", "ab", "--temperature", temperature];
        place.refuse(&flags, 1, &["after 2 tokens", "not finite", "`layers.0.mlp.up_proj`"]);
    }
    // The adapter's numbers can be too large as well.
    place.write("base.safetensors", base(mixed));
    let flags = ["init", "peft-false", "--base", "base.safetensors", "--alpha", "1e38", "--rank", "1"];
    place.succeed(&[&flags[..], &["--target-modules", "down_proj", "--output", "out"]].concat());
    let flags = ["generate", "--base", "base.safetensors", "--adapter", "out", "--prompt", "a"];
    place.refuse(&flags, 1, &["not finite", "of `layers.0.mlp.down_proj`"]);
}

/// A file that has tensors for some of the modules that its configuration names leaves the others as they are.
#[test]
fn an_adapter_of_some_layers_is_laid_on_those() {
    let place = Place::new();
    place.succeed(&["init", "peft-false", "--base", "nano", "--rank", "2", "--alpha", "64", "--output", "out"]);
    let tensors = std::fs::read(place.path("out/adapter_model.safetensors")).expect("the tensors");
    let whole = Adapter::from_peft(&place.read("out/adapter_config.json"), &tensors).expect("an adapter");
    let is_first = |name: &str| name.contains(".layers.0.");
    let (mut some, mut muted) = (whole.clone(), whole);
    some.modules.retain(|module| is_first(&module.name));
    muted.modules.iter_mut().filter(|module| !is_first(&module.name)).for_each(|module| module.b.fill(0.0));
    let write = |name: &str, adapter: &Adapter| {
        let files = adapter.to_peft().expect("a sound adapter");
        std::fs::create_dir(place.path(name)).expect("a folder");
        place.write(&format!("{name}/adapter_config.json"), files.config_json);
        place.write(&format!("{name}/adapter_model.safetensors"), files.safetensors);
        let flags = ["generate", "--adapter", name, "--prompt", "Emma took", "--count", "40"];
        place.succeed(&flags)
    };
    let [some, muted] = [write("some", &some), write("muted", &muted)];
    assert_eq!(some.stdout, muted.stdout);
    let [base, whole] = [&["--base", "nano"][..], &["--adapter", "out"]]
        .map(|flags| place.succeed(&[&["generate", "--prompt", "Emma took", "--count", "40"], flags].concat()).stdout);
    assert!(some.stdout != base && some.stdout != whole, "{}", some.stdout);
    assert!(some.stderr.contains("no tensors for 7 of the 14"), "{}", some.stderr);
}
