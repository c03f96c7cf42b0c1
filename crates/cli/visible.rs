//! The GPU that an engine gave to this process.
//!
//! Slurm, Ray and others say it in `CUDA_VISIBLE_DEVICES`, which CUDA obeys and Vulkan does not know. Its entries are numbers in CUDA's order, or UUIDs
//! (<https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables>); both lead to a place on the PCI bus, which Vulkan tells.
//! GPUs of others than NVIDIA are left as they are: what engines set for them has no order that could be relied on.

use std::{collections::HashMap, fs};

/// The variable that engines set.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The folder in which NVIDIA's driver describes each GPU, in folders named by their places on the bus
/// (<https://download.nvidia.com/XFree86/Linux-x86_64/580.95.05/README/procinterface.html>).
const DRIVER: &str = "/proc/driver/nvidia/gpus";

/// A GPU as Vulkan lists it.
#[derive(Clone, Copy, Debug)]
pub struct Gpu<'a> {
    /// Its name.
    pub name: &'a str,
    /// True if it is NVIDIA's.
    pub nvidia: bool,
    /// True if it is a software renderer.
    pub software: bool,
    /// Its place on the bus; empty if the driver does not say it.
    pub bus: &'a str,
}

/// The UUID of each GPU of NVIDIA, with its place on the bus; empty where the driver does not say them.
pub fn uuids() -> HashMap<String, String> {
    let folders = fs::read_dir(DRIVER).into_iter().flatten().flatten();
    let uuid = |text: String| text.lines().find_map(|line| Some(line.strip_prefix("GPU UUID:")?.trim().to_owned()));
    let described = folders.filter_map(|folder| {
        let uuid = uuid(fs::read_to_string(folder.path().join("information")).ok()?)?;
        Some((uuid, folder.file_name().to_string_lossy().into_owned()))
    });
    described.collect()
}

/// The places, in the list of all GPUs, of those that the engine gave, the first of its choice before the others, and of those that it says nothing about; with
/// a sentence. None if it chose none.
///
/// # Errors
/// If it gave a GPU that cannot be found in the list.
pub fn chosen(
    variable: impl Fn(&str) -> Option<String>,
    gpus: &[Gpu<'_>],
    uuids: &HashMap<String, String>,
) -> Result<Option<(Vec<usize>, String)>, String> {
    let Some(value) = variable(VISIBLE) else { return Ok(None) };
    let said = format!("`{VISIBLE}={value}`");
    let of_nvidia: Vec<usize> = (0..gpus.len()).filter(|index| gpus[*index].nvidia).collect();
    let others = (0..gpus.len()).filter(|index| !gpus[*index].nvidia);
    if of_nvidia.is_empty() {
        // The processor is not taken for the GPU that was given.
        let others = others.filter(|index| !gpus[*index].software);
        let words = format!(
            "{said} names GPUs of NVIDIA, but Vulkan lists none; in a container, `NVIDIA_DRIVER_CAPABILITIES` must have graphics."
        );
        return Ok(is_given(&value).then(|| (others.collect(), words)));
    }
    if !is_given(&value) {
        return Ok(Some((others.collect(), format!("{said} gives this process no GPU of NVIDIA."))));
    }
    let refused = |why: &str| {
        format!(
            "{said} says which GPU this process may use, but {why}; name it by `--device gpu:N`, as `loralab devices` lists them"
        )
    };
    // CUDA ends the list at the first entry that is no GPU.
    let first = value.split(',').next().unwrap_or_default().trim();
    if first.starts_with("MIG-") {
        return Err(refused("this is a part of one (MIG), which Vulkan does not know"));
    }
    let mut places: Vec<&str> = of_nvidia.iter().map(|index| gpus[*index].bus).collect();
    places.sort_unstable();
    places.dedup();
    let bus = match first.parse::<usize>() {
        // Whatever the order, it is the only one.
        _ if of_nvidia.len() == 1 => places[0].to_owned(),
        Ok(_) if places.contains(&"") => return Err(refused("Vulkan does not say where its GPUs are on the PCI bus")),
        Ok(number) => {
            let alike = of_nvidia.iter().all(|index| gpus[*index].name == gpus[of_nvidia[0]].name);
            if !alike && variable("CUDA_DEVICE_ORDER").as_deref() != Some("PCI_BUS_ID") {
                return Err(refused(
                    "its number is in CUDA's own order, in which unlike GPUs are sorted by speed, unless `CUDA_DEVICE_ORDER=PCI_BUS_ID`",
                ));
            }
            let place = places.get(number).ok_or_else(|| refused("Vulkan lists fewer"))?;
            (*place).to_owned()
        }
        Err(_) => {
            let mut found = uuids.iter().filter(|(uuid, _)| uuid.starts_with(first)).map(|(_, bus)| bus);
            let bus = found.next().filter(|_| found.next().is_none());
            bus.ok_or_else(|| refused("the driver does not say where on the PCI bus that is"))?.to_ascii_lowercase()
        }
    };
    let at = of_nvidia.iter().copied().find(|index| gpus[*index].bus == bus);
    let at = at.ok_or_else(|| refused("Vulkan does not list it"))?;
    let place = if bus.is_empty() { String::new() } else { format!(" at {bus} on the PCI bus") };
    let words = format!("{said} gives this process {}{place}.", gpus[at].name);
    Ok(Some(([at].into_iter().chain(others).collect(), words)))
}

/// False for the values by which CUDA sees no GPU, Slurm's among them.
fn is_given(value: &str) -> bool {
    !["", "-1", "NoDevFiles"].contains(&value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Gpu<'_> = Gpu { name: "NVIDIA H100", nvidia: true, software: false, bus: "" };
    const SOFTWARE: Gpu<'_> = Gpu { name: "llvmpipe", nvidia: false, software: true, bus: "" };

    fn at(bus: &str) -> Gpu<'_> {
        Gpu { bus, ..H100 }
    }

    /// The places in the list; or the sentence that refuses.
    fn indices(variables: &[(&str, &str)], gpus: &[Gpu<'_>]) -> Result<Option<Vec<usize>>, String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let uuids = [("GPU-aaaa1111", "0000:65:00.0"), ("GPU-aabb2222", "0000:C1:00.0")];
        let uuids = uuids.map(|(uuid, bus)| (uuid.to_owned(), bus.to_owned())).into();
        chosen(variable, gpus, &uuids).map(|chosen| chosen.map(|(indices, _)| indices))
    }

    #[test]
    fn a_gpu_is_found_by_its_number_or_uuid() {
        let gpus = [at("0000:c1:00.0"), at("0000:17:00.0"), at("0000:65:00.0"), SOFTWARE];
        for (value, index) in [("0", 1), ("1", 2), ("2", 0), ("2,0", 0), ("GPU-aaaa1111", 2), ("GPU-aab,0", 0)] {
            assert_eq!(indices(&[(VISIBLE, value)], &gpus), Ok(Some(vec![index, 3])), "{value}");
        }
        assert_eq!(indices(&[], &gpus), Ok(None));
        for value in ["", "-1", "NoDevFiles"] {
            assert_eq!(indices(&[(VISIBLE, value)], &gpus), Ok(Some(vec![3])), "{value}");
        }
    }

    #[test]
    fn numbers_of_unlike_gpus_need_the_order_of_the_bus() {
        let gpus = [Gpu { name: "NVIDIA T4", ..at("0000:17:00.0") }, at("0000:65:00.0")];
        assert!(indices(&[(VISIBLE, "0")], &gpus).is_err_and(|why| why.contains("CUDA_DEVICE_ORDER")));
        let ordered = [(VISIBLE, "1"), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID")];
        assert_eq!(indices(&ordered, &gpus), Ok(Some(vec![1])));
        assert_eq!(indices(&[(VISIBLE, "GPU-aaaa")], &gpus), Ok(Some(vec![1])));
    }

    #[test]
    fn what_cannot_be_found_is_refused_and_never_another() {
        let gpus = [at("0000:17:00.0"), at("0000:65:00.0")];
        for value in ["2", "GPU-aa", "GPU-cccc", "GPU-aabb2222", "MIG-1", "x"] {
            let refused = indices(&[(VISIBLE, value)], &gpus);
            assert!(refused.is_err_and(|why| why.contains("`--device gpu:N`")), "{value}");
        }
        assert!(indices(&[(VISIBLE, "0")], &[H100, H100]).is_err());
    }

    #[test]
    fn where_there_is_one_there_is_no_question() {
        for value in ["0", "3", "GPU-cccc"] {
            assert_eq!(indices(&[(VISIBLE, value)], &[SOFTWARE, H100]), Ok(Some(vec![1, 0])), "{value}");
        }
        assert!(indices(&[(VISIBLE, "MIG-1")], &[H100]).is_err());
        // Vulkan sees none of NVIDIA's.
        let intel = Gpu { name: "Intel", software: false, ..SOFTWARE };
        assert_eq!(indices(&[(VISIBLE, "0")], &[intel, SOFTWARE]), Ok(Some(vec![0])));
        assert_eq!(indices(&[(VISIBLE, "")], &[SOFTWARE]), Ok(None));
    }
}
