//! Holds the bits that wasm computes equal to the native ones, also where sizes are beyond its 32 bits.

use std::path::Path;
use std::process::Command;

use loralab_core::lora::init::{ALL, Rule};
use loralab_linalg::from_rows;
use loralab_wasm_probe::{TOO_LARGE, shuffled, split_text, start_bits};
use wasmi::{Config, Engine, Error, ExternType, Instance, Linker, Module, Store, WasmParams};

const TARGET: &str = "wasm32-unknown-unknown";

/// The probe as a wasm module, built next to this test's own build.
fn build() -> Vec<u8> {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp lies in the target directory");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs, as it runs this test");
    assert!(status.success(), "the wasm build failed; if the target is missing: rustup target add {TARGET}");
    let file = target_dir.join(TARGET).join("debug/loralab_wasm_probe.wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

struct Probe {
    store: Store<()>,
    instance: Instance,
}

impl Probe {
    fn new() -> Self {
        // A browser refuses a whole module for one instruction that it does not know: none may be younger than vectors, which the page needs.
        let mut known = Config::default();
        known.wasm_relaxed_simd(false).wasm_tail_call(false).wasm_multi_memory(false).wasm_extended_const(false);
        let engine = Engine::new(&known);
        let module = Module::new(&engine, build()).expect("a valid module of what browsers know");
        let mut store = Store::new(&engine, ());
        // The core can talk to a browser, so the module imports what that takes; what is probed asks for none of it.
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            if let ExternType::Func(kind) = import.ty() {
                let unasked = |_: wasmi::Caller<'_, ()>, _: &[wasmi::Val], _: &mut [wasmi::Val]| {
                    Err(Error::new("the probe asked the browser that it is not in"))
                };
                linker.func_new(import.module(), import.name(), kind.clone(), unasked).expect("a name of its own");
            }
        }
        let instance = linker.instantiate_and_start(&mut store, &module);
        Self { instance: instance.expect("a module whose imports are functions"), store }
    }

    /// Calls an export that returns the address of a count and as many words.
    fn call(&mut self, name: &str, parameters: impl WasmParams) -> Vec<u32> {
        let function = self.instance.get_typed_func(&self.store, name).expect("an export of the probe");
        let address: u32 = function.call(&mut self.store, parameters).expect("a call that returns");
        let memory = self.instance.get_memory(&self.store, "memory").expect("a memory");
        let words = memory.data(&self.store)[address as usize..].as_chunks().0;
        let mut words = words.iter().map(|&bytes| u32::from_le_bytes(bytes));
        let count = words.next().expect("a count") as usize;
        words.take(count).collect()
    }
}

/// A decomposition's last bits are the processor's, and rounding to f32 hides most of them but not all. The last two words are a norm.
fn assert_near(wasm: &[u32], native: &[u32], what: &str) {
    assert_eq!(wasm.len(), native.len());
    let (wasm, native) = (values(wasm), values(native));
    let largest = native.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    for (wasm, native) in wasm.iter().zip(&native) {
        assert!((wasm - native).abs() <= 1e-6 * largest, "{what}: {wasm} in wasm, {native} natively");
    }
}

fn values(words: &[u32]) -> Vec<f32> {
    words[..words.len() - 2].iter().map(|&word| f32::from_bits(word)).collect()
}

/// Of triplets from products in f32, those with values close together turn into each other by what is rounded; what they span does not, and B A is what
/// it holds of the weight. It is in f32's rounding, the ten products' together.
fn assert_products_near(wasm: &[u32], native: &[u32], [inputs, outputs, rank]: [usize; 3], what: &str) {
    let [wasm, native] = [wasm, native].map(|words| {
        let values = values(words);
        let (trained, frozen) = values.split_at(values.len() / 2);
        assert!(trained == frozen, "{what}: the frozen pair is another");
        let (a, b) = trained.split_at(rank * inputs);
        from_rows(b, outputs, rank) * from_rows(a, rank, inputs)
    });
    let apart = (&wasm - &native).norm_max() / native.norm_max();
    assert!(apart <= 1e-6, "{what}: products are {apart:e} apart");
}

#[test]
fn wasm_and_native_give_the_same_bits() {
    let mut probe = Probe::new();
    // Those that read data are made from what a device says, which has bounds of its own.
    for (scheme, about) in (0..).zip(ALL).filter(|(_, about)| !about.rule.reads_data()) {
        for (seed, inputs, outputs, rank) in [(0, 64, 48, 4), (42, 7, 5, 4), (u64::MAX, 1000, 33, 16)] {
            let wasm = probe.call("probe_start_bits", (scheme, seed, inputs, outputs, rank));
            let native = start_bits(scheme, seed, inputs, outputs, rank);
            assert!(native.len() > ((inputs + outputs) * rank) as usize);
            let what = format!("{} at seed {seed}, {inputs} × {outputs}, rank {rank}", about.name);
            match about.rule {
                Rule::Fill(_) | Rule::Draw(_) => assert!(wasm == native, "{what} differs"),
                Rule::Triplets { .. } => {
                    assert_products_near(&wasm, &native, [inputs, outputs, rank].map(|size| size as usize), &what);
                }
                _ => assert_near(&wasm, &native, &what),
            }
        }
    }
    for (seed, count) in [(0, 10), (7, 100_000)] {
        assert!(probe.call("probe_shuffled", (seed, count)) == shuffled(seed, count), "the order of {count} differs");
    }
}

#[test]
fn a_text_of_a_twentieth_of_what_32_bits_count_is_cut_as_natively() {
    // 20 pieces of 2³²/20 bytes are more than 32 bits count, and so are 20 000 places among as many sequences as a tenth of the text has.
    let (length, sequences) = (230_000_000_u32, 20_000_u32);
    assert!(Probe::new().call("probe_split_text", (length, sequences)) == split_text(length, sequences));
}

#[test]
fn what_32_bits_cannot_count_is_refused() {
    let mut probe = Probe::new();
    for (place, settings) in (0..).zip(TOO_LARGE) {
        let text = |words: Vec<u32>| String::from_utf8(words.iter().map(|&word| word as u8).collect()).expect("a text");
        let said = text(probe.call("probe_refusal", place));
        // Starts, which are looked at first, may be small where a training is not.
        let refused = |line: &str| line.contains("may be used");
        assert!(said.lines().all(|line| line.is_empty() || refused(line)), "{settings}: {said}");
        assert!(said.lines().last().is_some_and(refused), "{settings}: {said}");
    }
}
