//! `loralab export`: an adapter in the file format of llama.cpp.

use std::fs;

use anyhow::{Context, Result, bail};
use loralab_checkpoint::{Bytes, Format, GgufAdapter, GgufModule, read_gguf_adapter, write_gguf_adapter};
use loralab_core::{
    lab::residual_of,
    lora::peft::{Adapter, Module},
    models::{Linear, Model},
};

use crate::{
    args::ExportArguments, base, dry_run::counted, durable::write_whole, failure::usage, results::lock_output, source,
    terminal::print,
};

/// Writes the file, and reads it again.
pub fn export(arguments: &ExportArguments) -> Result<()> {
    let ExportArguments { adapter: folder, gguf: output, model, format } = arguments;
    if output.exists() {
        return Err(usage(format_args!("`{}` exists; choose another file for `--gguf`", output.display())));
    }
    let adapter = source::adapter(folder)?;
    let name = model.clone().unwrap_or_else(|| adapter.base.clone());
    if let Some(quantised) = &adapter.quantised_base {
        bail!(
            "the adapter belongs to a quantised copy of `{}`, which llama.cpp does not have; train an adapter of the model itself",
            quantised.base
        );
    }
    if residual_of(&name).is_some() || name.is_empty() {
        return Err(usage("the adapter does not say which model it belongs to; name it with `--model`"));
    }
    if let Some(tensor) = adapter.saved.first() {
        bail!("the adapter holds the whole module `{}`, which llama.cpp's adapters have no place for", tensor.module());
    }
    let config = base::config(&name)?;
    let model = Model::from_json(&config).with_context(|| format!("the model `{name}` cannot be used"))?;
    check(&adapter, &model).with_context(|| {
        format!("the adapter `{}` was not made for `{name}`; choose its model with `--model`", folder.display())
    })?;
    let exported = exported(&adapter);
    let format = if format == "f16" { Format::F16 } else { Format::F32 };
    let file = write_gguf_adapter(&config, &exported, &format)
        .with_context(|| format!("the adapter `{}` cannot be exported", folder.display()))?;
    let _lock = lock_output(output)?;
    write_whole(output, &file)?;
    let again = fs::read(output).with_context(|| format!("`{}` cannot be read again", output.display()))?;
    let read = read_gguf_adapter(&Bytes::from(again), &config).context("what was written cannot be read again")?;
    let written = GgufAdapter { alpha: f64::from(exported.alpha as f32), ..exported };
    if format == Format::F32 && read != written {
        bail!(
            "`{}` holds other values than were written; the disk may be failing, so choose another",
            output.display()
        );
    }
    print(format_args!(
        "{}: {} of rank {}, for llama.cpp's flag --lora, beside `{name}` as GGUF.",
        output.display(),
        counted(adapter.modules.len(), "module"),
        adapter.rank
    ))?;
    Ok(())
}

/// Refuses modules that the model does not have.
fn check(adapter: &Adapter, model: &Model) -> Result<()> {
    let linears = model.linears();
    for Module { name, inputs, outputs, .. } in &adapter.modules {
        match linears.iter().find(|linear| linear.name == *name) {
            None => bail!("its `{name}` is no linear layer of that model"),
            Some(Linear { inputs: columns, outputs: rows, .. }) if [inputs, outputs] != [columns, rows] => bail!(
                "its `{name}` is for a layer of {inputs} inputs and {outputs} outputs, but the model's has {columns} and {rows}"
            ),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The adapter with the one α that such a file has: llama.cpp divides it by the rank of each module, which is the same here for all. B makes up for modules
/// of another scale.
fn exported(adapter: &Adapter) -> GgufAdapter {
    let module = |module: &Module| GgufModule {
        name: module.name.clone(),
        shape: [adapter.rank, module.inputs, module.outputs],
        a: module.a.clone(),
        b: module.b.iter().map(|x| (f64::from(*x) * module.factor) as f32).collect(),
    };
    let alpha = adapter.scale() * adapter.rank as f64;
    GgufAdapter { alpha, modules: adapter.modules.iter().map(module).collect() }
}
