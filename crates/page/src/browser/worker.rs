//! The page's end of its worker.

use loralab_experiment::{Ask, Device};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::with_page;

/// Starts a worker that waits to be asked; one that was ended does not come back.
pub fn start(device: Device) -> Worker {
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&format!("start.js?device={}", device.name()), &options)
        .expect("a browser that runs this has workers");
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        with_page(|page| match serde_json::from_str(&text) {
            Ok(message) => page.hear(message),
            Err(error) => {
                page.refuse(&format!("the worker said what the page doesn't understand ({error}); reload the page"));
            }
        });
    });
    let on_error = Closure::<dyn FnMut(web_sys::Event)>::new(|event: web_sys::Event| {
        let why = event.dyn_ref::<ErrorEvent>().map(|error| format!(" ({})", error.message())).unwrap_or_default();
        with_page(|page| page.refuse(&format!("the training code could not be loaded{why}; reload the page")));
    });
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // They live as long as the page; a worker is started per stop, by hand.
    on_message.forget();
    on_error.forget();
    worker
}

/// Asks something of a worker.
pub fn ask(worker: &Worker, ask: &Ask) {
    let text = serde_json::to_string(ask).expect("what is asked is JSON");
    worker.post_message(&JsValue::from_str(&text)).expect("a text can be posted");
}

/// Ends a worker, which may have messages on their way.
pub fn end(worker: &Worker) {
    worker.set_onmessage(None);
    worker.set_onerror(None);
    worker.terminate();
}
