//! The page's end of its worker.

use js_sys::Array;
use loralab_experiment::{Device, Request};
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
        // A text, or one with bytes beside it, which are only passed on.
        let (text, bytes) = match event.data().dyn_into::<Array>() {
            Ok(both) => (both.get(0), both.get(1)),
            Err(text) => (text, JsValue::UNDEFINED),
        };
        with_page(|page| match serde_json::from_str(&text.as_string().unwrap_or_default()) {
            Ok(message) => page.receive(message, bytes),
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
pub fn send(worker: &Worker, request: &Request) {
    worker.post_message(&text(request)).expect("a text can be posted");
}

/// The same with bytes beside the text.
pub fn send_with(worker: &Worker, request: &Request, bytes: &JsValue) {
    worker.post_message(&Array::of2(&text(request), bytes)).expect("a text and bytes can be posted");
}

fn text(request: &Request) -> JsValue {
    JsValue::from_str(&serde_json::to_string(request).expect("a request is JSON"))
}

/// Ends a worker, which may have messages on their way.
pub fn end(worker: &Worker) {
    worker.set_onmessage(None);
    worker.set_onerror(None);
    worker.terminate();
}
