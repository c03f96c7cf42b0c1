use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::*;
use loralab_linalg::Stream;
use serde_json::Value;

fn random(name: &str, length: usize) -> Vec<f32> {
    let mut values = vec![0.0; length];
    Stream::new(1, name).normal(1.0, &mut values);
    values
}

fn module(name: &str, inputs: usize, outputs: usize, rank: usize) -> Module {
    Module {
        name: name.to_owned(),
        inputs,
        outputs,
        a: random(&format!("{name} A"), rank * inputs),
        b: random(&format!("{name} B"), outputs * rank),
        factor: 1.0,
        frozen: None,
    }
}

fn adapter() -> Adapter {
    Adapter {
        base: "org/base".to_owned(),
        quantised_base: None,
        rank: 2,
        alpha: 3.0,
        use_rslora: false,
        dropout: 0.05,
        target_modules: vec!["q_proj".to_owned(), "down_proj".to_owned()],
        modules: vec![
            module("model.layers.0.mlp.down_proj", 5, 3, 2),
            module("model.layers.0.self_attn.q_proj", 3, 4, 2),
        ],
        saved: vec![],
    }
}

fn read(files: &PeftFiles) -> Result<Adapter, AdapterError> {
    Adapter::from_peft(&files.config_json, &files.safetensors)
}

fn written(adapter: &Adapter) -> PeftFiles {
    adapter.to_peft().expect("a sound adapter")
}

/// The sentence of the error that `adapter` cannot be written for.
fn refusal(change: impl Fn(&mut Adapter)) -> String {
    let mut adapter = adapter();
    change(&mut adapter);
    adapter.to_peft().expect_err("a broken adapter").to_string()
}

/// The sentence of the error that a configuration with one setting changed gives.
fn config_refusal(key: &str, value: Value) -> String {
    let PeftFiles { config_json, safetensors } = written(&adapter());
    let mut config: Value = serde_json::from_str(&config_json).expect("our own JSON");
    config[key] = value;
    Adapter::from_peft(&config.to_string(), &safetensors).expect_err("a refused setting").to_string()
}

fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|&(name, dtype, shape, bytes)| {
        (name, TensorView::new(dtype, shape.to_vec(), bytes).expect("bytes that fit"))
    });
    safetensors::serialize(views, None).expect("a small file")
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const CONFIG: &str = r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 16, "target_modules": ["proj"]}"#;
const A: &str = "base_model.model.proj.lora_A.weight";
const B: &str = "base_model.model.proj.lora_B.weight";

/// W + s·B·A − s·B₀·A₀ without W, in f64.
fn product(adapter: &Adapter, module: &Module) -> Vec<f64> {
    let multiply = |b: &[f32], a: &[f32], out: usize, column: usize| -> f64 {
        let terms =
            (0..adapter.rank).map(|r| f64::from(b[out * adapter.rank + r]) * f64::from(a[r * module.inputs + column]));
        terms.sum()
    };
    let places = (0..module.outputs).flat_map(|out| (0..module.inputs).map(move |column| (out, column)));
    let values = places.map(|(out, column)| {
        let frozen = module.frozen.as_ref().map_or(0.0, |(a, b)| multiply(b, a, out, column));
        adapter.scale() * module.factor * (multiply(&module.b, &module.a, out, column) - frozen)
    });
    values.collect()
}

#[test]
fn comes_back_as_it_went() {
    for use_rslora in [false, true] {
        let adapter = Adapter { use_rslora, ..adapter() };
        assert_eq!(read(&written(&adapter)).expect("our own files"), adapter);
    }
    let fraction = Adapter { alpha: 0.75, base: String::new(), ..adapter() };
    assert_eq!(read(&written(&fraction)).expect("our own files"), fraction);
}

#[test]
fn config_is_what_peft_writes() {
    let config: Value = serde_json::from_str(&written(&adapter()).config_json).expect("JSON");
    let expected = json!({
        "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "org/base", "bias": "none",
        "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
        "layers_to_transform": null, "lora_alpha": 3, "lora_dropout": 0.05, "modules_to_save": null,
        "peft_type": "LORA", "r": 2, "rank_pattern": {}, "revision": null,
        "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM", "use_rslora": false,
    });
    assert_eq!(config, expected);
}

#[test]
fn a_classifier_is_saved_whole() {
    let tensor = |name: &str, shape: &[usize]| SavedTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: random(name, shape.iter().product()),
    };
    let saved = vec![tensor("classifier.dense.weight", &[3, 3]), tensor("classifier.dense.bias", &[3])];
    let adapter = Adapter { saved, ..adapter() };
    let files = written(&adapter);
    let config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
    assert_eq!((&config["modules_to_save"], &config["task_type"]), (&json!(["classifier"]), &json!("SEQ_CLS")));
    let file = SafeTensors::deserialize(&files.safetensors).expect("a sound file");
    let bias = file.tensor("base_model.model.classifier.dense.bias").expect("PEFT's name");
    assert_eq!(bias.shape(), [3]);
    let mut again = read(&files).expect("what was written");
    again.saved.sort_by_key(|tensor| std::cmp::Reverse(tensor.name.clone()));
    assert_eq!(again.saved, adapter.saved);

    // PEFT names both of its classifiers' usual names; without the setting, the tensors are strangers.
    let with = |value: Value| {
        let config = Value::Object(
            config
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .chain([("modules_to_save".to_owned(), value)])
                .collect(),
        );
        Adapter::from_peft(&config.to_string(), &files.safetensors)
    };
    assert_eq!(with(json!(["classifier", "score"])).expect("PEFT's own").saved.len(), 2);
    assert!(matches!(with(Value::Null), Err(AdapterError::Unexpected(_))));
    assert!(matches!(with(json!(["classifier", "lm_head"])), Err(AdapterError::Unsupported { .. })));
}

#[test]
fn tensors_have_pefts_names_and_shapes() {
    let bytes = written(&adapter()).safetensors;
    let file = SafeTensors::deserialize(&bytes).expect("a sound file");
    let mut tensors: Vec<_> = file.iter().map(|(name, view)| (name, view.shape().to_vec(), view.dtype())).collect();
    tensors.sort();
    let expected = [
        ("base_model.model.model.layers.0.mlp.down_proj.lora_A.weight", vec![2, 5], Dtype::F32),
        ("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight", vec![3, 2], Dtype::F32),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", vec![2, 3], Dtype::F32),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", vec![4, 2], Dtype::F32),
    ];
    assert_eq!(tensors, expected);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a sound file");
    let format = metadata.metadata().as_ref().and_then(|entries| entries.get("format").cloned());
    assert_eq!(format.as_deref(), Some("pt"));
}

#[test]
fn frozen_pair_becomes_the_second_half_of_a_plain_adapter() {
    for use_rslora in [false, true] {
        let mut adapter = Adapter { use_rslora, ..adapter() };
        adapter.modules[1].frozen = Some((random("A0", 6), random("B0", 8)));
        let wide = read(&written(&adapter)).expect("our own files");
        assert_eq!((wide.rank, wide.use_rslora), (4, false));
        assert!((wide.scale() / adapter.scale() - 1.0).abs() < 1e-15);
        for (wide_module, module) in wide.modules.iter().zip(&adapter.modules) {
            for (value, expected) in product(&wide, wide_module).iter().zip(product(&adapter, module)) {
                assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
            }
        }
    }
}

/// Ranks of zeros at a module's end are cut, a module of zeros is left out, and the adapter computes the same when it is read back.
#[test]
fn modules_have_ranks_of_their_own() {
    for frozen in [false, true] {
        let mut adapter = adapter();
        adapter.modules.push(module("model.layers.1.self_attn.q_proj", 3, 4, 2));
        let (short, gone) = (1, 2);
        let cut = |module: &mut Module, from: usize| {
            module.a[from * module.inputs..].fill(0.0);
            module.b.chunks_exact_mut(2).for_each(|row| row[from..].fill(0.0));
        };
        cut(&mut adapter.modules[short], 1);
        cut(&mut adapter.modules[gone], 0);
        if frozen {
            adapter.modules[short].frozen = Some((adapter.modules[short].a.clone(), adapter.modules[short].b.clone()));
        }
        let files = written(&adapter);
        let config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
        let wide = if frozen { 2 } else { 1 };
        let name = &adapter.modules[short].name;
        assert_eq!(config["rank_pattern"], json!({name: wide}), "{config}");
        assert_eq!(config["alpha_pattern"], json!({name: 1.5 * f64::from(wide)}));
        assert_eq!(config["target_modules"].as_array().map(Vec::len), Some(2));
        let back = read(&files).expect("our own files");
        assert_eq!((back.modules.len(), back.rank, back.scale()), (2, 2 * wide as usize, 1.5));
        for (found, module) in back.modules.iter().zip(&adapter.modules) {
            assert_eq!(found.name, module.name);
            for (value, expected) in product(&back, found).iter().zip(product(&adapter, module)) {
                assert!((value - expected).abs() < 1e-12, "{value}, not {expected}");
            }
        }
    }
}

#[test]
fn scales_of_their_own_are_made_up_for() {
    let adapter = adapter();
    let files = written(&adapter);
    let mut config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
    config["alpha_pattern"] = json!({"q_proj": 6});
    let back = Adapter::from_peft(&config.to_string(), &files.safetensors).expect("a pattern");
    let [plain, doubled] =
        [0, 1].map(|index: usize| (product(&back, &back.modules[index]), product(&adapter, &adapter.modules[index])));
    assert_eq!(plain.0, plain.1);
    assert!(doubled.0.iter().zip(&doubled.1).all(|(found, half)| (found - 2.0 * half).abs() < 1e-12));
}

/// PEFT's `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", name)`, the first key of the file that fits. PEFT 0.21.2 gave the expected values.
#[test]
fn patterns_are_regular_expressions_of_names() {
    let name = "model.layers.0.self_attn.q_proj";
    for (pattern, expected) in [
        (json!({"q_proj": 5}), Some(5.0)),
        (json!({"self.attn.q.proj": 5}), Some(5.0)),
        (json!({"_proj": 5}), None),
        (json!({"q_pro": 5}), None),
        (json!({"attn.q_proj": 5}), None),
        (json!({r".*layers\.0.*": 5}), Some(5.0)),
        (json!({r"layers\.[1-9]+\..*": 5}), None),
        (json!({"^q_proj": 5}), None),
        (json!({"^model.layers.0.self_attn.q_proj": 5}), Some(5.0)),
        (json!({"k_proj|q_proj": 5}), Some(5.0)),
        (json!({"q_proj": 5, "model.layers.0.self_attn.q_proj": 6}), Some(5.0)),
        (json!({"model.layers.0.self_attn.q_proj": 6, "q_proj": 5}), Some(6.0)),
        (json!({}), None),
        (json!(null), None),
    ] {
        let found = pattern::Pattern::<f64>::parse("alpha_pattern", &pattern).expect("expressions").value_for(name);
        assert_eq!(found, expected, "{pattern}");
    }
}

/// A scale of 0 is one like any other.
#[test]
fn modules_of_scale_0_add_nothing() {
    let adapter = adapter();
    let files = written(&adapter);
    let mut config: Value = serde_json::from_str(&files.config_json).expect("our own JSON");
    config["lora_alpha"] = json!(0);
    let read = |config: &Value| {
        let back = Adapter::from_peft(&config.to_string(), &files.safetensors).expect("a pattern");
        [0, 1].map(|index: usize| product(&back, &back.modules[index]))
    };
    assert!(read(&config).iter().flatten().all(|x| *x == 0.0));
    config["alpha_pattern"] = json!({"q_proj": 3});
    let [none, some] = read(&config);
    assert!(none.iter().all(|x| *x == 0.0));
    assert_eq!(some, product(&adapter, &adapter.modules[1]));
    // However far the scales are apart, B stays within 32 bits.
    config["lora_alpha"] = json!(1e-30);
    config["alpha_pattern"] = json!({"q_proj": 1e30});
    assert!(read(&config).iter().flatten().all(|x| x.is_finite()));
}

#[test]
fn equal_pairs_cancel() {
    let mut adapter = adapter();
    for module in &mut adapter.modules {
        module.frozen = Some((module.a.clone(), module.b.clone()));
    }
    let wide = read(&written(&adapter)).expect("our own files");
    assert_eq!(wide.alpha, 6.0);
    for module in &wide.modules {
        assert!(product(&wide, module).iter().all(|value| value.abs() < 1e-12));
    }
}

#[test]
fn reads_half_precision_and_patterns() {
    let a: Vec<u8> = [1.5, -0.25].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let b: Vec<u8> = [3.0, -128.0].iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    let bytes = file(&[(A, Dtype::F16, &[1, 2], &a), (B, Dtype::BF16, &[2, 1], &b)]);
    let config = CONFIG.replace(r#"["proj"]"#, r#""all-linear""#);
    let adapter = Adapter::from_peft(&config, &bytes).expect("a sound adapter");
    assert_eq!((&adapter.modules[0].a[..], &adapter.modules[0].b[..]), (&[1.5, -0.25][..], &[3.0, -128.0][..]));
    assert_eq!((adapter.target_modules, adapter.alpha), (vec!["proj".to_owned()], 16.0));
    // A choice of layers leaves others without.
    let [in_layer_a, in_layer_b] = [A, B].map(|name| name.replace("model.proj", "model.model.layers.0.proj"));
    let bytes = file(&[(&in_layer_a, Dtype::F16, &[1, 2], &a), (&in_layer_b, Dtype::BF16, &[2, 1], &b)]);
    let config = CONFIG.replace(r#""r": 1"#, r#""r": 1, "layers_to_transform": [0]"#);
    let config = config.replace(r#"["proj"]"#, r#"["proj", "up"]"#);
    let adapter = Adapter::from_peft(&config, &bytes).expect("a sound adapter");
    assert_eq!((adapter.targets("model.layers.0.proj"), adapter.targets("model.layers.1.up")), (true, false));
}

#[test]
fn damaged_files_are_errors() {
    let PeftFiles { config_json, safetensors } = written(&adapter());
    for length in 0..safetensors.len() {
        let error = Adapter::from_peft(&config_json, &safetensors[..length]).expect_err("a cut file");
        assert!(matches!(error, AdapterError::Unreadable(_)), "{length}: {error}");
    }
    for length in 0..config_json.trim_end().len() {
        let error = Adapter::from_peft(&config_json[..length], &safetensors).expect_err("a cut file");
        assert!(matches!(error, AdapterError::Config(_)), "{length}: {error}");
    }
    for place in 0..safetensors.len() {
        let mut damaged = safetensors.clone();
        damaged[place] ^= 0x55;
        let _ = Adapter::from_peft(&config_json, &damaged); // an adapter or an error, and no panic
    }
}

#[test]
fn tensors_that_do_not_fit_are_errors() {
    let two = little_endian(&[1.0, 2.0]);
    let refused = |tensors: &[(&str, Dtype, &[usize], &[u8])]| {
        Adapter::from_peft(CONFIG, &file(tensors)).expect_err("a refused file").to_string()
    };
    let (a, b): (&[usize], &[usize]) = (&[1, 2], &[2, 1]);
    assert_eq!(
        refused(&[(A, Dtype::F32, a, &two)]),
        format!("adapter_model.safetensors has no tensor \"{B}\", the other half of a pair that it holds")
    );
    assert_eq!(
        refused(&[(A, Dtype::F32, b, &two), (B, Dtype::F32, b, &two)]),
        format!("the tensor \"{A}\" has shape [2, 1]; (1, inputs) is needed")
    );
    assert_eq!(
        refused(&[(A, Dtype::F32, a, &two), (B, Dtype::F32, a, &two)]),
        format!("the tensor \"{B}\" has shape [1, 2]; (outputs, 1) is needed")
    );
    assert_eq!(
        refused(&[(A, Dtype::F32, &[2], &two), (B, Dtype::F32, b, &two)]),
        format!("the tensor \"{A}\" has shape [2]; a matrix is needed")
    );
    assert_eq!(
        refused(&[(A, Dtype::I32, a, &two), (B, Dtype::F32, b, &two)]),
        format!("the tensor \"{A}\" is stored as I32; F32, F16 or BF16 is needed")
    );
    assert_eq!(
        refused(&[(A, Dtype::F32, a, &little_endian(&[0.0, f32::NAN])), (B, Dtype::F32, b, &two)]),
        format!("the tensor \"{A}\" holds NaN at position 1; an adapter needs finite numbers, so its run diverged")
    );
    let magnitude = "base_model.model.proj.lora_magnitude_vector";
    assert!(refused(&[(magnitude, Dtype::F32, &[2], &two)]).contains(magnitude));
    assert!(refused(&[]).starts_with("the adapter has no LoRA tensors"));
}

#[test]
fn settings_that_change_the_mathematics_are_refused() {
    assert_eq!(
        config_refusal("use_dora", json!(true)),
        "adapter_config.json sets \"use_dora\" to true, which cannot be run here: DoRA rescales the base weights; \
         train the adapter without it"
    );
    for (key, value) in [
        ("peft_type", json!("IA3")),
        ("bias", json!("lora_only")),
        ("modules_to_save", json!(["lm_head"])),
        ("alora_invocation_tokens", json!([111, 119])),
        ("alpha_pattern", json!({"(?!self_attn)q_proj": 128})),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("use_qalora", json!(true)),
        ("arrow_config", json!({"top_k": 3})),
        ("layers_to_transform", json!([1, 2])),
        ("layers_to_transform", json!(1)),
        ("exclude_modules", json!(["q_proj"])),
    ] {
        let sentence = config_refusal(key, value.clone());
        assert!(sentence.contains(&format!("sets \"{key}\" to {value}")), "{sentence}");
    }
    assert!(config_refusal("r", json!("two")).contains("invalid type"));
    assert!(config_refusal("alpha_pattern", json!({"q_proj": "much"})).contains("invalid type"));
    assert!(config_refusal("rank_pattern", json!({"q_proj": 1.5})).contains("invalid type"));
    assert!(config_refusal("rank_pattern", json!({"q_proj": 7})).contains("(7, inputs) is needed"));
    assert!(config_refusal("lora_alpha", json!(1e39)).contains("alpha 1000000000000000000000000000000000000000"));
    assert!(config_refusal("r", json!(0)).contains("rank 0"));
    assert!(config_refusal("r", json!(3)).contains("(3, inputs) is needed"));
}

#[test]
fn broken_adapters_are_not_written() {
    let down = "model.layers.0.mlp.down_proj";
    assert_eq!(
        refusal(|adapter| adapter.modules[0].b[4] = f32::INFINITY),
        format!(
            "B of the module \"{down}\" holds inf at position 4; an adapter needs finite numbers, so its run diverged"
        )
    );
    assert_eq!(
        refusal(|adapter| adapter.modules[0].a.truncate(9)),
        format!("A of the module \"{down}\" has 9 values; 2 × 5 are needed")
    );
    assert_eq!(
        refusal(|adapter| adapter.modules[0].frozen = Some((vec![0.0; 10], vec![]))),
        format!("frozen B of the module \"{down}\" has 0 values; 3 × 2 are needed")
    );
    assert_eq!(
        refusal(|adapter| drop(adapter.target_modules.pop())),
        format!(
            "the module \"{down}\" matches none of the target modules; name it, or the last part of its name, there"
        )
    );
    assert!(refusal(|adapter| adapter.target_modules[1] = "own_proj".to_owned()).contains("matches none"));
    assert!(refusal(|adapter| adapter.modules.push(adapter.modules[0].clone())).contains("twice"));
    assert!(refusal(|adapter| adapter.modules.clear()).contains("no LoRA tensors"));
    assert!(refusal(|adapter| adapter.alpha = f64::NAN).contains("alpha NaN"));
    assert!(refusal(|adapter| adapter.rank = 0).contains("rank 0"));
}
