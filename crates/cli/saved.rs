//! Checks a saved adapter by reading it again.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use loralab_core::lora::peft::{Adapter, AdapterError, PeftFiles};

use crate::results::{ADAPTER_CONFIG, ADAPTER_TENSORS};

/// Reads an adapter that was just written, compares its files with what they should be, and parses them.
///
/// # Errors
/// If a file cannot be read, differs, or is no adapter.
pub fn read_back(folder: &Path, written: &PeftFiles) -> Result<()> {
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("`{name}` cannot be read again"));
    let (config, tensors) = (read(ADAPTER_CONFIG)?, read(ADAPTER_TENSORS)?);
    let same = config == written.config_json.as_bytes() && tensors == written.safetensors;
    // PEFT reads modules of any ranks, this program only those that are not too far apart.
    if let Err(error) = Adapter::from_peft(&String::from_utf8_lossy(&config), &tensors)
        && !matches!(error, AdapterError::Ranks { .. })
    {
        return Err(error.into());
    }
    if !same {
        bail!(
            "`{}` holds other values than were written; the disk may be failing, so choose another",
            folder.display()
        );
    }
    Ok(())
}
