//! `loralab devices`: lists the devices of this machine.

use anyhow::Result;
use loralab_core::device::{wait, webgpu::adapters};
use loralab_experiment::Bytes;

use crate::{device::given, dry_run::counted, memory, terminal::print};

/// Lists the CPU and every GPU, with their names for `--device`.
pub fn devices() -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let threads = counted(threads, "thread");
    print(format_args!("cpu\n    {threads}, {} of memory free", Bytes(2 * memory::available(None))))?;
    let found = wait(adapters());
    for (index, gpu) in found.iter().enumerate() {
        let limits = gpu.limits();
        let features = gpu.features();
        let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
        let memory = if gpu.discrete { "its own, the driver does not say how much" } else { "shared with the CPU" };
        print(format_args!(
            "gpu:{index} or gpu:{}\n    {}, {}, driver {}\n    memory: {memory}\n    limits: {} a buffer, {} a binding, {} bindings, {} \
             invocations and {} a workgroup\n    can: {features}",
            gpu.name,
            gpu.kind,
            gpu.backend,
            gpu.driver,
            Bytes(limits.max_buffer_size),
            Bytes(limits.max_storage_buffer_binding_size),
            limits.max_storage_buffers_per_shader_stage,
            limits.max_compute_invocations_per_workgroup,
            Bytes(limits.max_compute_workgroup_storage_size.into()),
        ))?;
    }
    let none = found.is_empty();
    let (found, words) = given(found)?;
    if let Some(words) = words {
        print(format_args!("\n{words}"))?;
    }
    let real = found.iter().find(|gpu| !gpu.software);
    print(match (real, none) {
        (Some(gpu), _) => format!("\n`--device auto` takes {}.", gpu.name),
        (None, false) => {
            "\n`--device auto` takes the CPU: a GPU that is software only is used when it is asked for.".to_owned()
        }
        (None, true) => {
            "\nThere is no GPU that Vulkan, Metal or DirectX 12 knows of; `--device auto` takes the CPU.".to_owned()
        }
    })?;
    Ok(())
}
