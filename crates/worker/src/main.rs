//! The worker's ends in the browser: messages in, messages out, and a clock.

#[cfg(target_family = "wasm")]
mod browser {
    use std::panic;

    use js_sys::global;
    use loralab_experiment::Message;
    use loralab_worker::{Host, answer};
    use wasm_bindgen::{JsCast, JsValue, closure::Closure};
    use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, Performance};

    /// The worker's own thread in the browser.
    struct Browser {
        scope: DedicatedWorkerGlobalScope,
        clock: Performance,
    }

    impl Browser {
        fn here() -> Browser {
            let scope: DedicatedWorkerGlobalScope = global().unchecked_into();
            let clock = scope.performance().expect("every worker has a clock");
            Browser { scope, clock }
        }
    }

    impl Host for Browser {
        fn seconds(&self) -> f64 {
            self.clock.now() / 1000.0
        }

        fn post(&mut self, message: Message) {
            let text = serde_json::to_string(&message).expect("messages hold nothing that JSON has no word for");
            self.scope.post_message(&JsValue::from_str(&text)).expect("a text can be posted");
        }
    }

    /// Waits for experiments.
    pub fn listen() {
        panic::set_hook(Box::new(|fault| {
            let reason = format!("loralab has a fault, and the training could not go on: {fault}");
            Browser::here().post(Message::Refused { reason });
        }));
        let mut browser = Browser::here();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
            answer(&event.data().as_string().unwrap_or_default(), &mut Browser::here());
        });
        browser.scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // It listens for as long as the worker lives.
        on_message.forget();
        browser.post(Message::Ready);
    }
}

#[cfg(target_family = "wasm")]
fn main() {
    browser::listen();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("the worker runs in a browser: `cargo xtask web` builds the page around it and serves it");
}
