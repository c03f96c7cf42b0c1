//! Training over a base whose linear maps are kept in few bits: the same as over the values that these bits stand for.

use std::sync::Arc;

use loralab_core::{
    device::{Cpu, Gpu, wait},
    graph::memory::{Data, Quantiser, Tensor},
    models::Base,
};

use super::{NANO, Trace, run, train_on};
use crate::gpu;

/// The same weights in 32 bits each.
fn decoded(base: &Base) -> Arc<[Tensor]> {
    let wide = |tensor: &Tensor| Tensor { data: Data::F32(tensor.data.to_f32().into_owned().into()), ..tensor.clone() };
    base.tensors.iter().map(wide).collect()
}

fn losses_on_cpu(tensors: &Arc<[Tensor]>, threads: usize) -> Vec<Trace> {
    let runs = [run("init-ab", 0, 4e-3), run("init-ab-subtract", 1, 4e-3)];
    train_on(&runs, 6, |plan| Box::new(Cpu::<f32>::new(plan, tensors.clone(), Some(threads))))
}

#[test]
fn few_bits_count_as_their_values_to_the_last_bit() {
    for quantiser in Quantiser::ALL {
        let base = NANO.quantised(quantiser);
        let packed = losses_on_cpu(&base.tensors, 2);
        assert_eq!(packed, losses_on_cpu(&decoded(&base), 1), "{quantiser}");
        assert_ne!(packed, losses_on_cpu(&NANO.tensors, 2), "{quantiser} loses nothing");
    }
}

#[test]
fn a_gpu_reads_the_same_weights() {
    let accelerator = gpu::native();
    let runs = [run("init-ab-subtract", 1, 1e-3)];
    for quantiser in Quantiser::ALL {
        let base = NANO.quantised(quantiser);
        let on_gpu = train_on(&runs, 8, |plan| {
            let device = wait(Gpu::new(accelerator.clone(), plan, base.tensors.clone()));
            Box::new(device.expect("nano runs on every GPU"))
        });
        let on_cpu = train_on(&runs, 8, |plan| Box::new(Cpu::<f32>::new(plan, base.tensors.clone(), Some(2))));
        for (step, (gpu, cpu)) in on_gpu[0].losses.iter().zip(&on_cpu[0].losses).enumerate() {
            // Of the first step rounding alone; Adam amplifies it.
            let tolerance = if step == 0 { 1e-5 } else { 1e-3 };
            assert!((gpu / cpu - 1.0).abs() <= tolerance, "{quantiser}, step {step}: {gpu} and {cpu}");
        }
    }
}

/// Matrices in the middle of a layer, and nothing else.
#[test]
fn only_linear_maps_are_quantised() {
    for quantiser in Quantiser::ALL {
        let base = NANO.quantised(quantiser);
        assert_eq!((NANO.quantiser(), base.quantiser()), (None, Some(quantiser)));
        for (tensor, stored) in base.tensors.iter().zip(NANO.tensors.iter()) {
            let is_linear = tensor.name.ends_with("_proj.weight");
            assert_eq!(tensor.data.dtype() == quantiser.dtype(), is_linear, "{}", tensor.name);
            assert!(is_linear || tensor == stored, "{}", tensor.name);
            assert_eq!((tensor.shape, tensor.data.len()), (stored.shape, stored.data.len()));
        }
        assert_eq!(base.bytes(), NANO.quantised_bytes(quantiser));
        assert!(base.bytes() < NANO.bytes(), "{} and {} bytes", base.bytes(), NANO.bytes());
        // The written weights are those that are computed with.
        let written = Base::from_safetensors(base.to_safetensors().expect("tensors of their shapes")).expect("a base");
        for (tensor, packed) in written.tensors.iter().zip(base.tensors.iter()) {
            assert_eq!(tensor.data.to_f32(), packed.data.to_f32(), "{}", tensor.name);
        }
    }
}

#[test]
fn tensors_that_are_quantised_as_they_are_read_are_the_same() {
    let file = loralab_checkpoint::read_safetensors(&NANO.to_safetensors().expect("tensors of their shapes"));
    let file = file.expect("a file");
    for quantiser in Quantiser::ALL {
        let read = Base::quantised_from(&file, Some(quantiser)).expect("a base");
        assert_eq!(read.tensors, NANO.quantised(quantiser).tensors);
    }
}
