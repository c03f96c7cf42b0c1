//! How much memory there is, and experiments that could never fit in it.

use loralab_core::model::{Config, MODULES};
use loralab_experiment::{Bytes, Resolved};

use crate::failure::usage;

/// What a machine surely has, for systems that do not say.
const ASSUMED: u64 = 2 << 30;

/// Bytes that may be used: what was asked for, else half of what is free, so that other programs keep room.
pub fn available(asked: Option<Bytes>) -> u64 {
    asked.map_or_else(|| free().map_or(ASSUMED, |free| free / 2), |Bytes(bytes)| bytes)
}

/// What Linux calls available: free, or freed when asked for.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Refuses settings whose batch, position tables and adapters alone are larger than memory, before anything of that size
/// is made. What a cohort needs to the byte is decided later, by the device.
pub fn check(experiment: &Resolved, config: &Config, available: u64) -> anyhow::Result<()> {
    let Resolved { batch_size, tokens, rank, .. } = *experiment;
    let product =
        |factors: &[usize]| factors.iter().fold(1u128, |product, &factor| product.saturating_mul(factor as u128));
    let columns: usize = MODULES
        .iter()
        .filter(|name| experiment.target_modules.iter().any(|module| module.name() == **name))
        .map(|name| config.module_shape(name).iter().sum::<usize>())
        .sum();
    let terms = [
        ("a batch", "`batch_size` or `tokens`", product(&[12, batch_size, tokens])),
        ("the tables of positions", "`tokens`", product(&[8, tokens, config.head_size()])),
        ("the adapters of one run", "`rank`", product(&[4, rank, columns, config.layers])),
    ];
    for (what, setting, bytes) in terms {
        if bytes > u128::from(available) {
            let bytes = Bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
            return Err(usage(format_args!(
                "{what} alone would take {bytes}, but only {} may be used. Lower {setting}, or raise `memory`.",
                Bytes(available)
            )));
        }
    }
    Ok(())
}
