//! How the runs of an experiment begin, scheme by scheme, without training any.

use loralab_core::{device::Machine, lab::begin};
use loralab_experiment::{Cell, Experiment, Message, SchemeBeginning};

use crate::{Control, Host, base, train, words};

/// Tells of the start of every scheme, with the first seed. A training that begins meanwhile ends it.
pub(crate) async fn inspect(
    experiment: &Experiment,
    data: Option<&str>,
    machine: &Machine,
    control: &Control,
    host: &dyn Host,
) -> Result<(), String> {
    let experiment = train::resolved(experiment)?;
    let name = train::base_name(&experiment);
    let base = base(name, host).await?;
    let data = train::split(&experiment, data)?;
    train::available(&base, &experiment, &data).map_err(words)?;
    let make_device = |plan, base| machine.make(plan, base);
    let cells = experiment.cells();
    let first = |scheme: &String| cells.iter().find(|cell| cell.scheme == *scheme);
    let firsts: Vec<&Cell> = experiment.schemes.iter().filter_map(first).collect();
    for (done, &cell) in firsts.iter().enumerate() {
        if control.is_busy() {
            return Ok(());
        }
        let began = host.seconds();
        let begun = begin(&base, name, &experiment, cell, &data.train, &make_device).await.map_err(words)?;
        let start = SchemeBeginning {
            scheme: cell.scheme.clone(),
            scale: begun.adapter.scale(),
            layers: begun.layers,
            tokens: begun.tokens,
            seconds: host.seconds() - began,
        };
        host.post(Message::Begun { start, left: firsts.len() - 1 - done });
        host.breathe().await;
    }
    Ok(())
}
