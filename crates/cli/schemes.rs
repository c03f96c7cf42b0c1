//! `loralab schemes`: lists the initialisation schemes.

use loralab_core::lora::init::{self, Choice};

use crate::terminal::print;

/// Lists the schemes with description, source, required input, and options with their defaults.
pub fn schemes() -> anyhow::Result<()> {
    let width = init::ALL.iter().map(|scheme| scheme.name.len()).max().unwrap_or(0);
    for scheme in init::ALL {
        let needs = scheme.rule.needs();
        print(format_args!(
            "{:width$}  {}\n{:width$}  {}; needs: {needs}",
            scheme.name, scheme.about, "", scheme.source
        ))?;
        for Choice { name, about, default, .. } in scheme.options.iter().map(|option| option.described()) {
            print(format_args!("{:width$}  {}.{name}={}: {about}", "", scheme.name, default.number()))?;
        }
    }
    Ok(())
}
